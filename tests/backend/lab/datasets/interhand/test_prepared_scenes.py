"""A prepared split read as a scene set, and every training on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.mesh_file import read_mesh_file
from im2hands.lab.datasets.hand_pool import pool_of_set
from im2hands.lab.datasets.interhand.annotation import read_annotation
from im2hands.lab.datasets.interhand.layout import hand_name, joints_path, read_hand, write_ply
from im2hands.lab.datasets.interhand.prepare import PrepareSettings, prepare
from im2hands.lab.datasets.interhand.scenes import PreparedScenes
from im2hands.lab.datasets.open_set import card_terms, open_scenes
from im2hands.lab.datasets.part_occupancy import signed_distance
from im2hands.lab.datasets.scene import LEFT, RIGHT
from im2hands.lab.datasets.scene_points import scene_hands
from im2hands.lab.datasets.scene_shards import ARRAYS, shape_of
from im2hands.lab.datasets.scenes import SceneSet, SceneWriter
from im2hands.networks.configuration import compact
from interhand_files import KEPT, write_interhand
from scene_pictures import make_set

SMALL = """
base = "compact"
[network]
side = 64
channels = 16
[recipe]
batch = 2
steps = 2
log_every = 2
checkpoint_every = 2
validate_every = 2
held_out = 2
warmup = 1
[recipe.initial-occupancy]
points = 64
[recipe.refined-occupancy]
points = 64
"""


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    mini = write_interhand(folder)
    prepare(PrepareSettings(mini.root, "test", mini.mano, folder / "out", points=20_000))
    return folder / "out" / "test"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_prepared_split_is_a_scene_set(split: Path, tmp_path: Path) -> None:
    scenes = open_scenes(split)
    assert isinstance(scenes, PreparedScenes) and len(scenes) == KEPT and scenes.present().all()
    assert type(open_scenes(make_set(tmp_path / "set", 1, 8))) is SceneSet
    scenes.check()
    scene = scenes.scene(3)
    for name, (dtype, _) in ARRAYS.items():
        if name != "detected":
            assert getattr(scene, name).dtype == dtype and getattr(scene, name).shape == shape_of(
                name, scenes.info.points
            )
    assert scene.image().shape == (256, 256, 3) and scene.detected is None and scene_hands(scene) == {}
    again = scenes.scene(3)
    np.testing.assert_array_equal(scene.points, again.points)
    with pytest.raises(IndexError):
        scenes.scene(KEPT)


def test_keypoints_points_and_labels_of_a_scene_agree(split: Path) -> None:
    """As in a synthetic set: points in the canonical frame of the scene's keypoints, labels over the hands."""
    scenes = open_scenes(split)
    for index in (0, 4, 10):
        scene, annotation = scenes.scene(index), read_annotation(split / "anno" / f"{index}.pkl")
        labels = scene.label_image()
        for hand, side in enumerate(SIDES):
            name = hand_name(annotation.sample.capture, annotation.sample.frame, side)
            prepared = read_hand(split, name)
            vertices, faces = read_mesh_file(split / "mesh" / f"{name}.off")
            seen = annotation.camera.to_camera(prepared.to_world(vertices))
            bones = bones_from_keypoints(torch.from_numpy(scene.keypoints[hand]).double()[None], [side])
            canonical = bones.to_query_space(torch.from_numpy(seen)[None])[0].numpy() * 0.4
            np.testing.assert_allclose(canonical, vertices, atol=1e-5)
            distance = signed_distance(scene.points[hand].astype(np.float64), vertices, faces)[0]
            np.testing.assert_allclose(scene.distance[hand], distance, atol=2e-4)
            third = len(distance) // 3
            assert np.abs(distance[:third]).max() < 0.0025 and np.abs(distance[third : 2 * third]).max() > 0.004
            assert 0.02 < (distance[2 * third :] < 0).mean() < 0.3
            assert set(scene.part[hand]) == set(range(16))
            pixels = seen @ annotation.camera.matrix.T
            pixels = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int)
            own, other = (LEFT, RIGHT) if side == "left" else (RIGHT, LEFT)
            shown = labels[pixels[:, 1].clip(0, 255), pixels[:, 0].clip(0, 255)]
            assert np.isin(shown, [own, other]).mean() > 0.97 and (shown == own).mean() > 0.7
            there = annotation.camera.to_camera(prepared.to_world(scene.points[hand].astype(np.float64)))
            second = read_hand(split, hand_name(annotation.sample.capture, annotation.sample.frame, SIDES[1 - hand]))
            mesh = read_mesh_file(
                split / "mesh" / f"{hand_name(annotation.sample.capture, annotation.sample.frame, SIDES[1 - hand])}.off"
            )
            world = (there - annotation.camera.translation) @ annotation.camera.rotation
            np.testing.assert_allclose(
                scene.other[hand], signed_distance(second.from_world(world), *mesh)[0], atol=3e-4
            )  # fmt: skip


def test_files_of_another_program_without_meshes_are_enough(split: Path, tmp_path: Path) -> None:
    """Only pictures, annotations, ``meta``, ``points``: distances come from surface points, labels from discs."""
    copy = tmp_path / "test"
    shutil.copytree(split, copy)
    for name in ("mesh", "pointcloud", "gt_joints"):
        shutil.rmtree(copy / name)
    for name in ("samples.jsonl", "datalist.txt"):
        (copy / name).unlink()
    ours, theirs = open_scenes(split).scene(2), open_scenes(copy).scene(2)
    np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
    assert (ours.label_image() == theirs.label_image()).mean() > 0.97
    assert np.isnan(theirs.other).all() and np.isfinite(theirs.distance).all()
    third = theirs.points.shape[1] // 3
    np.testing.assert_array_equal(ours.points[:, third : 2 * third], theirs.points[:, third : 2 * third])
    gap = np.abs(ours.distance.astype(float) - theirs.distance)[:, third : 2 * third]
    assert np.median(gap) < 0.0005
    assert (np.sign(ours.distance) == np.sign(theirs.distance))[:, third : 2 * third].mean() > 0.99


def test_detected_keypoints_of_another_program_are_read(split: Path, tmp_path: Path) -> None:
    copy = tmp_path / "test"
    shutil.copytree(split, copy)
    annotation = read_annotation(copy / "anno" / "1.pkl")
    hand = read_hand(copy, hand_name(annotation.sample.capture, annotation.sample.frame, "right"))
    world = hand.to_world(hand.keypoints)
    path = joints_path(copy, 1, "right", "pred_joints")
    path.parent.mkdir()
    for points in (world, world - world[0]):  # absolute, or relative to the wrist
        path.write_bytes(write_ply(points))
        scene = open_scenes(copy).scene(1)
        assert scene.detected is not None and np.isnan(scene.detected[0]).all()
        np.testing.assert_allclose(scene.detected[1], scene.keypoints[1], atol=1e-6)
    path.write_bytes(write_ply(world[:20]))
    with pytest.raises(InputError, match="has 20 points, not 21"):
        open_scenes(copy).scene(1)


def test_damaged_splits_are_named(split: Path, tmp_path: Path) -> None:
    copy = tmp_path / "test"
    shutil.copytree(split, copy)
    path = copy / "points" / "0_20625_left.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"0_20625_left\.npz is cut off or damaged"):
        open_scenes(copy).check()
    path.unlink()
    with pytest.raises(InputError, match=r"0_20625_left\.npz is missing"):
        open_scenes(copy).check()
    path.write_bytes(whole)
    (copy / "img" / "5.jpg").unlink()
    with pytest.raises(InputError, match=r"5\.jpg is missing"):
        open_scenes(copy).check()
    for path in (copy / "anno").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="has no crops"):
        open_scenes(copy)


def test_a_prepared_split_can_be_copied_into_a_scene_set(split: Path, tmp_path: Path) -> None:
    """A scene set is read faster, and holds detected keypoints."""
    scenes = open_scenes(split)
    with SceneWriter(tmp_path / "set", scenes.info) as writer:
        for index in range(3):
            writer.append(scenes.scene(index))
    copied = SceneSet(tmp_path / "set")
    assert len(copied) == 3
    np.testing.assert_array_equal(copied.scene(2).points, scenes.scene(2).points)


def _train(network: str, split: Path, output: Path, *more: str) -> dict:
    common = ["--data", str(split), "--output", str(output), "--threads", "1", "--device", "cpu"]
    assert main(["train", network, *common, *more]) == 0
    cards = [json.loads(path.read_text("utf-8")) for path in output.glob("*.json")]
    return next(card for card in cards if "recipe" in card and "--" not in str(card["network"]))


def test_all_trainings_of_surfaces_take_a_prepared_split(split: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL, "utf-8")
    small = ("--config", str(config))
    initial = tmp_path / "initial"
    card = _train("initial-occupancy", split, initial, *small)
    assert "CC BY-NC 4.0" in card["licence"] and card["data"]["generator"]["crops"] == KEPT
    start = ("--start-from", str(initial))
    for network in ("refined-occupancy", "aligned-occupancy", "keypoint-refinement"):
        card = _train(network, split, tmp_path / network, *small, *start)
        assert "CC BY-NC 4.0" in card["licence"]
        assert (tmp_path / network / f"{network.replace('-', '_')}.safetensors").is_file()
    assert compact(side=64, channels=16)  # the sizes of the configuration file


def test_the_keypoint_baseline_takes_both_kinds_of_sets(split: Path, tmp_path: Path) -> None:
    pool = pool_of_set(open_scenes(split), 9, 1000, 3)
    assert pool.points.shape == (9, 1000, 3) and pool.keypoints.shape == (9, 21, 3)
    assert torch.allclose(pool.keypoints[:, 0], torch.zeros(3, dtype=torch.float64), atol=1e-9)
    assert (pool.keypoints[:, 9, 0] < -0.05).all() and 0.1 < (pool.distance < 0).float().mean() < 0.7
    again = pool_of_set(open_scenes(split), 9, 1000, 3)
    assert torch.equal(pool.points, again.points)
    synthetic = pool_of_set(open_scenes(make_set(tmp_path / "set", 2, 60)), 99, 99, 0)
    assert synthetic.points.shape == (4, 60, 3)
    with pytest.raises(InputError, match="no labelled points"):
        pool_of_set(open_scenes(make_set(tmp_path / "bare", 1, 0)), 4, 10, 0)


def test_training_the_keypoint_baseline(split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from im2hands.lab.training import part_occupancy

    monkeypatch.setattr(part_occupancy, "evaluate", lambda *_: [])  # its figures have a test of their own
    card = _train("part-occupancy", split, tmp_path / "run", "--steps", "2", "--pool", "20", "--hands", "2")
    assert "CC BY-NC 4.0" in card["licence"] and card["data"]["test"]["generator"]["crops"] == KEPT


def test_terms_are_said_only_where_they_bind() -> None:
    assert card_terms({"generator": {"renderer": "raster"}}) == {}
    assert card_terms({"a": {"generator": {"terms": "X"}}, "b": {"generator": {"terms": "Y"}}})["licence"].endswith(
        "X; Y"
    )
