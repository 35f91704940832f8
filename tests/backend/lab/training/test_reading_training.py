"""Tests of the reading network training: crops and targets agree, learning, exact resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.hypothesis import READING as SOURCE
from im2hands.keypoints.placing.joint_definitions import to_own_definition
from im2hands.keypoints.placing.lifting_features import turn_to_ray
from im2hands.keypoints.reading.crops import CROP_PIXELS
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.keypoints import camera_of
from im2hands.lab.training.reading_network import RECIPE, ReadingTask, reading_losses
from im2hands.lab.training.reading_samples import (
    PALM_M,
    draw_crop,
    hand_of_crop,
    hands_in_picture,
    make_batch,
    make_sample,
)
from im2hands.lab.training.runner import Runner
from im2hands.networks.reading_network import CropReadings
from im2hands.weights.keypoint_networks import READING
from scene_pictures import make_scene, make_set

TINY = replace(
    RECIPE,
    steps=4,
    batch=4,
    held_out=2,
    frozen_blocks=14,
    seed=5,
    warmup=0,
    learning_rate=3e-5,
    log_every=2,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("reading") / "set", 8, 0, single=True)


def test_what_is_to_be_read_leads_back_to_the_scenes_keypoints() -> None:
    """Targets in the network's joint definitions can be converted back to the true ones in picture and space."""
    for seed in range(4):
        scene = make_scene(seed)
        hands, camera = hands_in_picture(scene), camera_of(scene)
        assert hands.right.tolist() == [False, True]
        for k in range(len(SIDES)):
            true = scene.keypoints[k].astype(float)
            seen = camera.project(true)
            pixels, shape = to_own_definition(hands.pixels[k], hands.shape[k], SIDES[k], SOURCE)
            assert np.linalg.norm(pixels - seen, axis=1).max() < 0.03 * hands.palm[k]
            palm = np.linalg.norm(true[MIDDLE_MCP] - true[WRIST])
            turn = turn_to_ray(camera.unproject(seen, 1.0).mean(axis=0))
            back = (shape - shape[WRIST]) * (palm / PALM_M) @ turn.T + true[WRIST]
            assert np.linalg.norm(back - true, axis=1).max() < 0.03 * palm


def test_a_crop_belongs_to_the_hand_it_lies_along_and_to_none_where_it_is_off() -> None:
    hands = hands_in_picture(make_scene(1))
    for k in range(2):
        crop, own = hands.crops[k], 1 if hands.right[k] else -1
        assert hand_of_crop(hands, crop, 0) == (k, 1.0) and hand_of_crop(hands, crop, own) == (k, 1.0)
        assert hand_of_crop(hands, crop, -own)[1] == 0.0  # the other hand has another crop
        size = crop[2]
        turned, aside = (crop + np.array(by) for by in ((0, 0, 0, 2.5), (0.6 * size, 0.6 * size, 0, 0)))
        assert hand_of_crop(hands, turned, own)[1] == 0.0 and hand_of_crop(hands, aside, own)[1] == 0.0
        assert np.isnan(hand_of_crop(hands, crop + np.array((0.25 * size, 0, 0, 0)), own)[1])
    empty = replace(make_scene(1), keypoints=np.full((2, 21, 3), np.nan, np.float32))
    none = hands_in_picture(empty)
    assert hand_of_crop(none, hands.crops[0], 0)[1] == 0.0
    crop, side = draw_crop(none, (256, 256), np.random.default_rng(0))
    assert np.isfinite(crop).all() and side in (-1, 0, 1)


def test_keypoints_of_a_sample_lie_on_the_hand_in_its_picture_mirrored_or_not() -> None:
    """Palm keypoints lie on light pixels: the skin is painted lighter than the background."""
    scene = make_scene(3)
    rng, met, sides = np.random.default_rng(2), 0, set()
    for _ in range(24):
        picture, side, there, right, pixels, shape, palm = make_sample(scene, rng)
        assert picture.shape == (CROP_PIXELS, CROP_PIXELS, 3) and picture.dtype == np.uint8
        if there != 1:
            continue
        met += 1
        sides.add(bool(right))
        assert side in (0.0, 1.0 if right else -1.0)
        length = np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST])
        assert 0.7 * PALM_M < length < 1.4 * PALM_M and palm > 10
        flat, seen = shape[:, :2] - shape[:, :2].mean(axis=0), pixels - pixels.mean(axis=0)
        turn = float((flat[:, 0] * seen[:, 1] - flat[:, 1] * seen[:, 0]).sum() / (flat * seen).sum())
        assert abs(turn) < 0.25  # shape and pixels are turned and mirrored alike
    assert met >= 12 and sides == {False, True}


def test_the_loss_counts_hands_that_are_there_and_grows_with_their_error() -> None:
    samples = [make_sample(make_scene(2), np.random.default_rng(seed), plain=True) for seed in range(12)]
    batch = make_batch(samples)
    known = batch.hand == 1
    assert known.any()
    count = len(samples)

    def losses(pixels: torch.Tensor, shape: torch.Tensor, hand: float) -> dict[str, float]:
        told = torch.where(known, hand, -hand)
        right = torch.where(batch.right, 8.0, -8.0)
        made = CropReadings(told, right, pixels, shape, torch.full((count, 21), 0.1))
        return {name: float(value) for name, value in reading_losses(made, batch).items()}

    noise = torch.randn(count, 21, 3, generator=torch.Generator().manual_seed(0))
    exact = losses(batch.pixels, batch.shape, 8.0)
    rough = losses(batch.pixels + 20 * noise[..., :2], batch.shape + 0.02 * noise, -1.0)
    assert exact["shape"] == pytest.approx(0, abs=1e-6) and exact["hand"] < 0.01 and exact["right"] < 0.01
    assert all(rough[name] > exact[name] + 0.05 for name in ("pixels", "shape", "hand"))
    shifted = losses(batch.pixels, batch.shape + 0.3, 8.0)
    assert shifted["shape"] == pytest.approx(exact["shape"], abs=1e-5)  # the origin of the shape does not matter
    absent = ~known
    if absent.any():
        moved = torch.where(absent[:, None, None], batch.pixels + 50, batch.pixels)
        assert losses(moved, batch.shape, 8.0)["pixels"] == pytest.approx(exact["pixels"])


def _task(scenes: Path, steps: int = 4) -> ReadingTask:
    torch.manual_seed(5)
    return ReadingTask(replace(TINY, steps=steps), [SceneSet(scenes)], None, torch.device("cpu"))


def test_training_lowers_the_loss_and_leaves_the_first_blocks_alone(scenes: Path, tmp_path: Path) -> None:
    task = _task(scenes, 100)
    runner = Runner(task, task.recipe, tmp_path, torch.device("cpu"))
    batch = task.prepare(0)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    losses = [runner.train_step(batch) for _ in range(8)]
    assert losses[-1] < losses[0] - 0.3
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"pixels.weight", "last.weight"} <= changed
    assert not [name for name in changed if name.startswith(("stem.", "blocks.0.", "blocks.13."))]


def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(scenes: Path, tmp_path: Path) -> None:
    def runner(folder: str) -> Runner:
        task = _task(scenes)
        return Runner(task, task.recipe, tmp_path / folder, torch.device("cpu"))

    through = runner("a")
    figures = through.run()
    assert set(figures) == set(ReadingTask.figures) and 0 <= figures["right_side"] <= 1
    stop_after = iter([False, True])
    assert runner("b").run(cancelled=lambda: next(stop_after)) == {}
    second = runner("b")
    second.run(resume=True)
    for name, value in through.task.model.state_dict().items():
        assert torch.equal(value, second.task.model.state_dict()[name]), name


def test_what_is_saved_lies_on_the_way_back_to_where_the_training_began(scenes: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, steps=2, ema=0.0, learning_rate=0.1, towards_start=0.25)
    task = ReadingTask(recipe, [SceneSet(scenes)], None, torch.device("cpu"))
    start = task.model.pixels.weight.detach().clone()
    Runner(task, recipe, tmp_path, torch.device("cpu")).run()
    trained = task.model.pixels.weight.detach()
    saved = READING.load(tmp_path / "reading_network.safetensors").pixels.weight.detach()
    change = float((trained - start).abs().max())
    assert change > 0.01
    torch.testing.assert_close(saved, trained + 0.25 * (start - trained), rtol=1e-3, atol=0.02 * change)


def test_the_command_writes_weights_with_a_card(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "reading-network", "--data", str(scenes), "--output", str(tmp_path / "run"), "--steps", "1"]
    arguments += ["--batch", "2", "--held-out", "2", "--frozen", "15", "--device", "cpu"]
    assert main(arguments) == 0
    card = json.loads((tmp_path / "run" / "reading_network.json").read_text())
    assert card["licence"] == "Apache-2.0" and "MediaPipe" in card["sources"] and "pixel_error" in card["figures"]
    taught = READING.load(tmp_path / "run" / READING.file)
    taught.add_skin()
    READING.save(taught, tmp_path / "run", {})
    again = [*arguments[:5], str(tmp_path / "more"), *arguments[6:], "--start-from", str(tmp_path / "run")]
    assert main(again) == 0
    assert READING.load(tmp_path / "more" / READING.file).skin is None  # it was taught another trunk's features
    few = [*arguments[:5], str(tmp_path / "few"), *arguments[6:], "--held-out", "8"]
    assert main(few) == 2 and "no more scenes than are held out" in capsys.readouterr().err
    assert main([*few, "--towards-start", "1.5"]) == 2 and "it must be 0 to 1" in capsys.readouterr().err
