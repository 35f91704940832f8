"""Readers of files that are no part of a take, for tests that give them damaged files; see ``attacks``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attacks import Reader
from fakes import hand_positions
from im2hands.core.hands import SIDES, HandKeypoints, TwoHands
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.held_out import true_scenes, two_hand_scenes
from im2hands.lab.evaluation.table.kept_keypoints import KeptKeypoints, _pack
from im2hands.lab.evaluation.table.made_from import keep_made_from
from im2hands.lab.evaluation.table.rows import Result, append_result, format_table, read_results, summarise
from im2hands.lab.training.initial_occupancy import RECIPES
from im2hands.lab.training.recipe import load_recipe
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.images import PictureInfo
from im2hands.weights.checkpoint_file import read_checkpoint
from im2hands.weights.compact import is_compact
from im2hands.weights.folder import BUNDLED, list_weights
from im2hands.weights.keypoint_networks import PAIR_JUDGE
from im2hands.weights.model_file import write_card
from im2hands.weights.part_occupancy import load_part_occupancy
from scene_pictures import make_set

CHECKPOINT_LIMIT = 10**6
ENTRIES = {"program": {"version": "1"}, "options": {"device": "cpu"}}
RECIPE = """base = "compact"
[network]
side = 64
channels = 16
[recipe]
batch = 2
betas = [0.9, 0.99]
[recipe.initial-occupancy]
learning_rate = 1e-4
"""


def prepare_inputs(folder: Path) -> Path:
    """Make a folder with a good file for every reader; return it."""
    folder.mkdir()
    camera = {"fx": 1200, "fy": 1200, "cx": 959.5, "cy": 539.5, "width": 1920, "height": 1080}
    _write(folder / "camera.json", camera | {"R": np.eye(3).tolist(), "t": [0, 0, 1]})
    boxes = {"left": [1, 2, 30, 40], "right": [5, 6]}
    _write(folder / "boxes.json", {"frames": {"000001": boxes, "all": {"left": [1.5, 2, 9, 9]}}})
    for name in ("pair_judge.json", "pair_judge.safetensors", "part_occupancy.safetensors"):
        (folder / name).write_bytes((BUNDLED / name).read_bytes())
    content = {"model": {"a": torch.arange(6.0), "b.c": torch.ones(2, 2)}, "it": 3, "loss_val_best": np.float64(0.1)}
    for name, modern in (("zip.pt", True), ("pickles.pt", False)):
        torch.save(content, folder / name, _use_new_zipfile_serialization=modern)
    make_set(folder / "set", 3, 40)
    one = Result(1, "near", "halo", "exact", False, True, 1.0, 5.0, float("nan"), [0.9, 0.8], [1.0, 2.0], [3.0, 5.0])
    (folder / "table").mkdir()
    append_result(folder / "table/results-1-of-1.jsonl", one)
    (folder / "made").mkdir()
    keep_made_from(folder / "made", ENTRIES)
    both = [HandKeypoints(side, hand_positions(side), np.ones((21, 2)), np.ones(21), 1.0, "x") for side in SIDES]
    _write(folder / "auto-1-7.jsonl", {"number": 3, "frames": [_pack(TwoHands(*both), 0.1)]})
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


def input_readers() -> dict[str, Reader]:
    """Return the readers by name."""
    return {
        "camera": Reader("camera.json", _camera),
        "hand boxes": Reader("boxes.json", lambda folder: HandBoxes.read(folder / "boxes.json").get(1, 100)),
        "card": Reader("pair_judge.json", list_weights, ()),
        "weights": Reader("pair_judge.safetensors", _weights),
        "part weights": Reader(
            "part_occupancy.safetensors", lambda folder: load_part_occupancy(folder / "part_occupancy.safetensors")
        ),
        "checkpoint": Reader("zip.pt", _checkpoint("zip.pt")),
        "old checkpoint": Reader("pickles.pt", _checkpoint("pickles.pt")),
        "scene set": Reader("set/set.json", _set),
        "shard": Reader("set/shard_00000.npz", _set),
        "results": Reader("table/results-1-of-1.jsonl", _results),
        "provenance": Reader("made/made_from.json", lambda folder: keep_made_from(folder / "made", ENTRIES)),
        "kept keypoints": Reader("auto-1-7.jsonl", lambda folder: KeptKeypoints(folder, "auto-1", _no_source)),
        "recipe": Reader(
            "recipe.toml", lambda folder: load_recipe(str(folder / "recipe.toml"), "initial-occupancy", RECIPES)
        ),
    }


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")


def _camera(folder: Path) -> None:
    choice = CameraChoice.from_options(folder / "camera.json", None, None)
    for size in ((1920, 1080), (960, 540)):
        choice.for_picture(PictureInfo(*size))


def _weights(folder: Path) -> None:
    """Read weights whose card fits, as a damaged download has it that somebody packed again."""
    path = folder / "pair_judge.safetensors"
    write_card(path, {})
    assert not is_compact("pair_judge", folder)
    PAIR_JUDGE.load(path)


def _checkpoint(name: str) -> Callable[[Path], Any]:
    return lambda folder: read_checkpoint(folder / name, CHECKPOINT_LIMIT)


def _set(folder: Path) -> None:
    scenes = SceneSet(folder / "set")
    scenes.check()
    scenes.present()
    scenes.batch(range(len(scenes)))
    two_hand_scenes(scenes)
    for scene in true_scenes(folder / "set", [0]):
        assert scene.frame.image.ndim == 3
    scenes.scene(0).label_image()


def _results(folder: Path) -> None:
    format_table(summarise(read_results(folder / "table", Result)))


def _no_source() -> Any:
    raise AssertionError("the keypoints of a cache are only read")
