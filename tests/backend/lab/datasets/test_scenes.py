"""Tests of scene sets on disk: round trip, refusing and continuing a damaged set, labels that agree with the meshes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import QUERY_SCALE, bones_from_keypoints
from im2hands.geometry.hand_model import HandModel
from im2hands.lab.datasets import scenes as scenes_module
from im2hands.lab.datasets.scene import RIGHT, Scene, SetInfo, read_info
from im2hands.lab.datasets.scene_points import scene_hands
from im2hands.lab.datasets.scene_shards import shard_path
from im2hands.lab.datasets.scenes import SceneSet, SceneWriter
from scene_pictures import make_scene, make_set

COUNT = 6


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(k, 90, (True, k != 3)) for k in range(COUNT)]


INFO = SetInfo(5, 4, 256, 90, ("beside",), {"made_by": "tests"})


def _write(folder: Path, scenes: list[Scene]) -> Path:
    with SceneWriter(folder, INFO) as writer:
        for scene in scenes:
            writer.append(scene)
    return folder


@pytest.fixture
def folder(tmp_path: Path, scenes: list[Scene]) -> Path:
    return _write(tmp_path / "set", scenes)


def _same(one: Scene, two: Scene) -> None:
    for name in Scene.__dataclass_fields__:
        a, b = getattr(one, name), getattr(two, name)
        assert (a == b) if isinstance(a, bytes) or a is None else np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_what_is_written_is_read(folder: Path, scenes: list[Scene]) -> None:
    found = SceneSet(folder)
    assert len(found) == COUNT and found.info.modes == ("beside",) and found.info.seed == 5
    for k in (5, 0, 3):
        _same(found.scene(k), scenes[k])
    batch = found.batch([4, 3])
    assert batch["points"].shape == (2, 2, 90, 3) and batch["points"].dtype == np.float16
    assert batch.present.tolist() == [[True, True], [True, False]]
    assert "detected" not in batch.arrays
    found.check()
    with pytest.raises(IndexError):
        found.scene(COUNT)


def test_pictures_and_labels_show_the_hands(folder: Path) -> None:
    scene = SceneSet(folder).scene(0)
    image, labels = scene.image(), scene.label_image()
    assert image.shape == (256, 256, 3) and labels.shape == (256, 256)
    assert image[labels > 0].mean() > image[labels == 0].mean() + 20
    pixels = scene.keypoints[1] @ scene.intrinsics.T
    u, v = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    assert (labels[v, u] == RIGHT).mean() > 0.6


def test_only_shards_in_use_stay_open(folder: Path, monkeypatch: pytest.MonkeyPatch, scenes: list[Scene]) -> None:
    monkeypatch.setattr(scenes_module, "_OPEN_SHARDS", 1)
    found = SceneSet(folder)
    assert not found._open
    for k in (0, 5, 1):
        _same(found.scene(k), scenes[k])
        assert list(found._open) == [k // 4]


def test_a_detector_may_have_found_some_hands(tmp_path: Path, scenes: list[Scene]) -> None:
    from dataclasses import replace

    detected = np.full((2, 21, 3), np.nan, np.float32)
    detected[0] = scenes[0].keypoints[0] + 0.001
    found = SceneSet(_write(tmp_path, [replace(scenes[0], detected=detected), scenes[1]]))
    assert np.array_equal(found.scene(0).detected, detected, equal_nan=True)  # type: ignore[arg-type]
    assert np.isnan(found.scene(1).detected).all()  # type: ignore[arg-type]


def test_sets_without_points(tmp_path: Path) -> None:
    found = SceneSet(make_set(tmp_path, 2, points=0))
    assert found.scene(1).points.shape == (2, 0, 3) and found.scene(1).image().shape == (256, 256, 3)


def test_going_on_gives_the_same_set(tmp_path: Path, folder: Path, scenes: list[Scene]) -> None:
    again = _write(tmp_path / "again", scenes[:5])  # a full shard and one scene
    writer = SceneWriter(again, INFO)
    assert writer.count == 4 and len(SceneSet(again)) == 4
    for scene in scenes[4:]:
        writer.append(scene)
    writer.flush()
    for number in (0, 1):
        assert shard_path(again, number).read_bytes() == shard_path(folder, number).read_bytes()
    assert (again / "set.json").read_text() == (folder / "set.json").read_text()


def test_a_broken_shard_is_refused_and_written_anew(folder: Path, scenes: list[Scene]) -> None:
    path = shard_path(folder, 0)
    whole = path.read_bytes()
    for length in (len(whole) // 2, len(whole) - 30, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"shard_00000\.npz is cut off or damaged") as caught:
            SceneSet(folder).scene(0)
        assert "again" in caught.value.hint
    with pytest.raises(InputError, match="cut off"):
        SceneSet(folder).check()
    assert SceneWriter(folder, INFO).count == 0
    _write(folder, scenes)
    _same(SceneSet(folder).scene(0), scenes[0])


def test_a_foreign_shard_is_refused(folder: Path) -> None:
    np.savez(shard_path(folder, 0), mode=np.zeros(4, np.int8))
    with pytest.raises(InputError, match="no shard of this set: the array keypoints is missing"):
        SceneSet(folder).scene(0)
    np.savez_compressed(shard_path(folder, 0), mode=np.zeros(4, np.int8))
    with pytest.raises(InputError, match="compressed"):
        SceneSet(folder).scene(0)
    shard_path(folder, 0).unlink()
    with pytest.raises(InputError, match="is missing"):
        SceneSet(folder).scene(0)
    assert len(SceneSet(folder).scene(5).picture) > 1000  # the other shard is unchanged


def test_a_damaged_picture_is_told(folder: Path) -> None:
    from dataclasses import replace

    scene = replace(SceneSet(folder).scene(0), picture=b"nothing")
    with pytest.raises(InputError, match="picture"):
        scene.image()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2; this program reads version 1"),
        ({"format": "coco"}, "does not describe a scene set"),
        ({"points": None}, "incomplete"),
        ({"scenes": 0}, "is empty"),
    ],
)
def test_other_sets_are_refused(folder: Path, change: dict, message: str) -> None:
    path = folder / "set.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        SceneSet(folder)


def test_an_empty_folder_and_broken_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scene set"):
        SceneSet(tmp_path)
    (tmp_path / "set.json").write_text('{"format": "im2')
    with pytest.raises(InputError, match="Cannot read"):
        SceneSet(tmp_path)


def test_other_settings_do_not_go_on(folder: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        SceneWriter(folder, SetInfo(6, 4, 256, 90, ("beside",), {"made_by": "tests"}))
    assert read_info(folder).scenes == COUNT


def test_wrong_shapes_are_not_written(tmp_path: Path, scenes: list[Scene]) -> None:
    writer = SceneWriter(tmp_path, SetInfo(5, 4, 256, 91, ("beside",), {}))
    with pytest.raises(ValueError, match="points is"):
        writer.append(scenes[0])


def test_parameters_give_the_hands(scenes: list[Scene]) -> None:
    for scene in (scenes[0], scenes[3]):
        hands = scene_hands(scene)
        assert list(hands) == [side for side, there in zip(SIDES, scene.present, strict=True) if there]
        for side, (vertices, keypoints) in hands.items():
            assert vertices.shape == (1843, 3)
            assert np.abs(keypoints - scene.keypoints[SIDES.index(side)]).max() < 1e-5


def test_labels_are_distances_to_both_hands(scenes: list[Scene]) -> None:
    scene, faces = scenes[0], HandModel().faces.numpy()
    hands = scene_hands(scene)
    for k, side in enumerate(SIDES):
        bones = bones_from_keypoints(torch.from_numpy(scene.keypoints[k]).double()[None], [side])
        points = torch.from_numpy(scene.points[k].astype(np.float64)) / QUERY_SCALE
        seen = bones.from_query_space(points[None])[0].numpy()
        for name, whose in (("distance", side), ("other", SIDES[1 - k])):
            turned = faces[:, ::-1] if whose == "left" else faces
            mesh = trimesh.Trimesh(hands[whose][0], turned, process=False)
            assert mesh.volume > 0
            samples, _ = trimesh.sample.sample_surface(mesh, 200_000, seed=1)
            expected, _ = cKDTree(samples).query(seen)
            found = getattr(scene, name)[k].astype(np.float64)
            # Leave out points within 2 mm, where the samples are too sparse. The allowed 3 % of wrong signs lie where a
            # hand intersects itself.
            clear = np.abs(found) > 0.002
            assert np.abs(np.abs(found) - expected)[clear].max() < 3e-4
            assert ((found < 0) == mesh.contains(seen))[clear].mean() > 0.97
    assert np.isnan(scenes[3].other).all() and np.isfinite(scene.other).all()
