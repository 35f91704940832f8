"""Synthetic scenes: contact by mode, joint limits, penetration, cameras, labels, and sets of scenes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import igl
import numpy as np
import pytest
import torch
from recovered_angles import angles_from_rotations

from im2hands.app.cli.main import main
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.geometry.signed_distance import ClosedMesh
from im2hands.lab.datasets.scene_points import label_points, scene_hands
from im2hands.lab.datasets.scene_shards import shard_path
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.synthesis import clips as clips_module
from im2hands.lab.synthesis import pairs as pairs_module
from im2hands.lab.synthesis import settings as settings_module
from im2hands.lab.synthesis.blocks import in_camera
from im2hands.lab.synthesis.cameras import Jitter, aim, crop_camera
from im2hands.lab.synthesis.clips import ClipMaker
from im2hands.lab.synthesis.generate import generate
from im2hands.lab.synthesis.interaction_modes import SHARES, TOUCHING_MODES, TWO_HAND_MODES, start
from im2hands.lab.synthesis.joint_angles import LIMITS, rotations_from_angles
from im2hands.lab.synthesis.labelling import PointLabeller
from im2hands.lab.synthesis.modes.placement import TIPS
from im2hands.lab.synthesis.pairs import PENETRATION, Pair, PairMaker
from im2hands.lab.synthesis.poses import random_shape
from im2hands.lab.synthesis.scene import rebuild
from im2hands.lab.synthesis.settings import MODES, Settings

BLOCK = 36
PLAIN = Settings(renderer="none", points=48, size=64, seed=3)


@pytest.fixture(scope="module")
def maker() -> PairMaker:
    return PairMaker()


@pytest.fixture(scope="module")
def pairs(maker: PairMaker) -> list[Pair]:
    """A block with equal shares of the two-hand modes, and some single hands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_module, "BLOCK", BLOCK)
        patch.setattr("im2hands.lab.synthesis.interaction_modes.SHARES", dict.fromkeys(SHARES, 1 / len(SHARES)))
        made, tally = maker.block(11, 0, singles=0.12)
    assert sum(tally.accepted.values()) >= BLOCK and 0 <= tally.rejected < 0.5
    return made


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pairs_module, settings_module):
        monkeypatch.setattr(module, "BLOCK", 4)


def _distances(maker: PairMaker, pair: Pair) -> np.ndarray:
    """Signed distances of each hand's vertices to the other's mesh, by the exact winding number of libigl."""
    signed = []
    for hand in (0, 1):
        mesh, faces = np.ascontiguousarray(pair.vertices[hand]), maker.faces[hand]
        points = np.ascontiguousarray(pair.vertices[1 - hand])
        distance = np.sqrt(igl.point_mesh_squared_distance(points, mesh, faces)[0])
        near = distance < 0.02
        inside = np.zeros(len(points), dtype=bool)
        if near.any():
            inside[near] = igl.winding_number(mesh, faces, np.ascontiguousarray(points[near])) > 0.5
        signed.append(np.where(inside, -distance, distance))
    return np.concatenate(signed)


def test_hands_touch_as_their_mode_says_and_never_lie_deep_in_each_other(maker, pairs):
    two = [pair for pair in pairs if pair.present.all()]
    assert len(two) >= 24 and {pair.mode for pair in two} == set(TWO_HAND_MODES)
    for pair in two:
        distance = _distances(maker, pair)
        assert distance.min() >= -PENETRATION - 1e-6, pair.mode
        if pair.mode in TOUCHING_MODES:
            assert distance.min() <= 0.003, pair.mode
        if pair.mode == "apart":
            assert distance.min() >= 0.030
        if pair.mode == "near":
            assert 0.003 < distance.min() <= 0.030
        assert pair.depth == pytest.approx(max(0.0, -distance.min()), abs=1e-4)


def test_joints_stay_within_their_limits(maker, pairs):
    """The angles are recovered from the rotations, so they are independent of the solver's angles."""
    for pair in pairs:
        _, heads = maker.model.rest(pair.shape)
        angles = angles_from_rotations(maker.model, heads, pair.rotations)[torch.from_numpy(pair.present)]
        assert (angles >= LIMITS[:, 0] - 1e-5).all() and (angles <= LIMITS[:, 1] + 1e-5).all()


def test_angles_come_back_from_turns(maker):
    generator = torch.Generator().manual_seed(0)
    _, heads = maker.model.rest(random_shape(8, generator))
    share = torch.rand(8, 24, generator=generator, dtype=torch.float64)
    angles = LIMITS[:, 0] + share * (LIMITS[:, 1] - LIMITS[:, 0])
    turns = rotations_from_angles(maker.model, heads, angles)
    assert torch.allclose(angles_from_rotations(maker.model, heads, turns), angles, atol=1e-9)


def test_one_hand_closes_on_itself_where_it_should(maker):
    """Thumb and finger of a pinch touch; the finger tips of a fist lie on the palm."""
    names = ["pinch"] * 6 + ["fist"] * 4
    starts = [start(name, np.random.default_rng((5, k))) for k, name in enumerate(names)]
    posed = maker.solver.solve(starts, random_shape(2 * len(names), torch.Generator().manual_seed(0)))
    moved_by = maker.model._weights.argmax(dim=1).numpy()
    for row, begun in enumerate(starts):
        hand = int(np.argmax(begun.present))
        points = posed.keypoints[row, hand].numpy()
        if begun.mode == "pinch":
            ends = [FINGER_BONES[TIPS.index(pull[1])][2] for pull in begun.within]
            skin = posed.vertices[row, hand, :-1].numpy()
            fingers = np.ascontiguousarray(skin[np.isin(moved_by, ends)])
            faces = maker.faces[hand]
            thumb = np.isin(faces, np.flatnonzero(moved_by == FINGER_BONES[0][2])).all(axis=1)
            squared = igl.point_mesh_squared_distance(fingers, skin, np.ascontiguousarray(faces[thumb]))[0]
            assert np.sqrt(squared.min()) < 0.004
        else:
            palm = np.linalg.norm(points[9] - points[0])
            for tip in (8, 12, 16):
                assert np.linalg.norm(points[tip] - points[tip - 3 : tip - 2].mean(axis=0)) < 0.75 * palm


def test_hands_of_one_person_are_alike(pairs):
    difference = [float((p.shape.length[0] - p.shape.length[1]).abs().max()) for p in pairs]
    alike = np.mean(np.array(difference) < 0.02)
    assert 0.6 < alike < 0.95


def test_left_hands_are_left_hands(pairs):
    """Seen with the fingers up and the palm towards the viewer, a right hand's thumb points to the viewer's left."""
    for pair in pairs:
        for hand in np.flatnonzero(pair.present):
            points = pair.keypoints[hand]
            along, across = points[9] - points[0], points[5] - points[17]
            # Fingers bend towards the palm, so their bend gives the palm's side.
            rest = np.cross(along, across)
            bent = sum(float((points[tip] - points[tip - 3]) @ rest) for tip in (8, 12, 16, 20))
            flexed = abs(bent) > 1e-6 * 0.05
            if flexed and abs(bent) / np.linalg.norm(rest) > 0.03:
                assert (bent > 0) == (hand == 0), pair.mode


def test_crops_hold_the_hands_and_follow_the_convention(pairs):
    for k, pair in enumerate(pairs):
        rng = np.random.default_rng(k)
        points = pair.keypoints[pair.present].reshape(-1, 3)
        view = aim(points, rng, "crop", pair.view)
        seen = points @ view.rotation.T + view.translation
        assert seen[:, 2].min() > 0.05
        exact = crop_camera(view.camera, seen, Jitter()).project(seen)
        extent = (exact.max(axis=0) - exact.min(axis=0)).max()
        assert 0.55 * 256 < extent < 0.8 * 256  # the box has a margin of flesh around the keypoints
        middle = (exact.max(axis=0) + exact.min(axis=0)) / 2
        assert np.abs(middle - 128).max() < 12
        jittered = crop_camera(view.camera, seen, Jitter.draw(rng), 128).project(seen)
        assert (jittered > 0).all() and (jittered < 128).all()


def test_a_view_moves_the_hands_without_changing_them(maker, pairs):
    pair = next(p for p in pairs if p.present.all())
    view = aim(pair.keypoints.reshape(-1, 3), np.random.default_rng(0))
    scene = in_camera(pair, view.rotation, view.translation, view.camera)
    vertices, keypoints = rebuild(maker.model, scene)
    assert np.abs(vertices - scene.vertices).max() < 1e-9 and np.abs(keypoints - scene.keypoints).max() < 1e-9
    assert np.linalg.det(view.rotation) == pytest.approx(1)


def test_labels_are_those_of_the_set_format(maker, pairs):
    pair = next(p for p in pairs if p.mode in TOUCHING_MODES)
    meshes = [ClosedMesh(v, f) for v, f in zip(pair.vertices, maker.faces, strict=True)]
    mine = PointLabeller(maker.model).label(meshes, pair.keypoints, 300, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    for hand, side in enumerate(SIDES):
        other = label_points(pair.vertices[hand], pair.keypoints[hand], side, 300, rng, pair.vertices[1 - hand])
        same = (mine.points[hand] == other.points).all(axis=1)  # a few points round differently: other order of sums
        assert same.mean() > 0.98
        assert np.abs(mine.distance[hand] - other.distance)[same].max() < 2e-4
        assert np.abs(mine.other[hand] - other.other)[same].max() < 2e-4
        assert (mine.part[hand] == other.part)[same].mean() > 0.97


def test_a_set_reads_back_and_its_meshes_are_those_of_its_parameters(tmp_path, small_blocks):
    report = generate(tmp_path / "set", 6, PLAIN)
    assert report.scenes == 6 and set(report.seconds) == {"poses", "pictures", "encoding", "labels"}
    scenes = SceneSet(tmp_path / "set")
    assert len(scenes) == 6 and scenes.info.modes == MODES
    model = HandModel()
    for index in range(6):
        scene = scenes.scene(index)
        labels = scene.label_image()
        assert scene.image().shape == (64, 64, 3) and labels.shape == (64, 64)
        for side, (vertices, keypoints) in scene_hands(scene).items():
            row = SIDES.index(side)
            assert np.abs(keypoints - scene.keypoints[row]).max() < 1e-4
            assert (labels == row + 1).any()
            # The stored distances belong to this mesh, in the canonical frame of the stored keypoints.
            faces = model.faces.numpy() if side == "right" else model.faces.numpy()[:, ::-1]
            mesh = ClosedMesh(vertices, faces)
            bones = generate_bones(scene.keypoints[row], side)
            points = bones.from_query_space(torch.from_numpy(scene.points[row].astype(float))[None] / 0.4)[0]
            points = points.numpy()
            assert np.abs(mesh.signed_distance(points) - scene.distance[row]).max() < 3e-4
        pixels = np.einsum("ij,hkj->hki", scene.intrinsics, scene.keypoints)
        pixels = pixels[..., :2] / pixels[..., 2:]
        seen = scene.visible.astype(bool)
        assert seen.any()
        column, row_ = np.round(pixels[seen]).astype(int).T
        assert (labels[row_, column] > 0).mean() > 0.9


def generate_bones(keypoints, side):
    from im2hands.geometry.bones import bones_from_keypoints

    return bones_from_keypoints(torch.from_numpy(keypoints.astype(float))[None], [side])


def test_a_cut_off_set_is_gone_on_with_and_comes_out_the_same(tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr(settings_module, "_BLOCKS_IN_SHARD", 1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    generate(whole, 10, PLAIN)
    generate(cut, 6, PLAIN)
    data = shard_path(cut, 1).read_bytes()
    shard_path(cut, 1).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="--resume"):
        generate(cut, 10, PLAIN)
    done = []
    generate(cut, 10, PLAIN, resume=True, progress=lambda n, total: done.append((n, total)))
    assert done[-1] == (10, 10)
    for number in range(3):
        assert shard_path(whole, number).read_bytes() == shard_path(cut, number).read_bytes()
    assert generate(cut, 10, PLAIN, resume=True).scenes == 0


def test_two_processes_make_the_same_set_as_one(tmp_path):
    settings = replace(PLAIN, together=2, points=8)
    for workers in (1, 2):
        report = generate(tmp_path / str(workers), 5, settings, workers)
        assert report.scenes == 5 and sum(report.tally.tried.values()) >= 6
    files = {workers: sorted((tmp_path / str(workers)).iterdir()) for workers in (1, 2)}
    assert (
        [p.name for p in files[1]] == [p.name for p in files[2]] == ["set.json", "shard_00000.npz", "shard_00001.npz"]
    )
    for one, two in zip(files[1], files[2], strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_what_a_process_lacks_is_told_and_leaves_no_set(tmp_path):
    """The worker processes open the folder of skins, so the error comes from them."""
    (tmp_path / "skins").mkdir()
    settings = replace(PLAIN, renderer="raster", skins=tmp_path / "skins", together=1)
    with pytest.raises(InputError, match="holds no") as caught:
        generate(tmp_path / "set", 2, settings, workers=2)
    assert caught.value.hint and not (tmp_path / "set").exists()


def test_without_a_graphics_driver_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    def fails(**settings):
        raise Exception("libEGL is not there")

    monkeypatch.setattr("moderngl.create_standalone_context", fails)
    folder = tmp_path / "set"
    assert main(["synthesize", "--output", str(folder), "--scenes", "2"]) == 3
    printed = capsys.readouterr()
    assert "libEGL is not there" in printed.err and "libgl1-mesa-dri" in printed.err
    assert "Traceback" not in printed.err + printed.out and not folder.exists()


def test_another_seed_gives_other_scenes(maker, monkeypatch):
    monkeypatch.setattr(pairs_module, "BLOCK", 3)
    (one, _), (two, _), (other, _) = maker.block(1, 0), maker.block(1, 0), maker.block(2, 0)
    assert all(np.array_equal(a.vertices, b.vertices, equal_nan=True) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0].vertices, other[0].vertices, equal_nan=True)


def test_whole_pictures_hold_no_one_or_two_small_hands(tmp_path, small_blocks, monkeypatch):
    for module in (pairs_module, settings_module):
        monkeypatch.setattr(module, "BLOCK", 24)
    generate(tmp_path / "set", 24, Settings("whole", 1, 0, 160, "none"))
    scenes = SceneSet(tmp_path / "set")
    hands = [int(scenes.scene(k).present.sum()) for k in range(24)]
    assert set(hands) == {0, 1, 2}
    assert len({tuple(scenes.scene(k).size) for k in range(24)}) > 3
    assert scenes.scene(hands.index(0)).label_image().max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"renderer": "oil"}, "renderer oil"),
        ({"kind": "film"}, "film"),
        ({"size": 4}, "4 pixels"),
        ({"seed": -1}, "-1"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        generate(tmp_path / "set", 1, Settings(**{"renderer": "none", **change}))


def test_another_set_is_not_mixed_with(tmp_path, small_blocks):
    generate(tmp_path / "set", 2, PLAIN)
    with pytest.raises(InputError, match="seed"):
        generate(tmp_path / "set", 4, Settings(renderer="none", points=48, size=64, seed=4), resume=True)
    shutil.rmtree(tmp_path / "set")
    (tmp_path / "set").mkdir()
    np.savez(tmp_path / "set" / "mine.npz", a=1)
    with pytest.raises(InputError, match="other files"):
        generate(tmp_path / "set", 2, PLAIN)


def test_a_clip_moves_smoothly_and_keeps_the_limit(maker, monkeypatch):
    monkeypatch.setattr(clips_module, "CLIP", 16)
    frames, tally = ClipMaker(maker).clip(0, 1)
    assert len(frames) == 16 and sum(tally.tried.values()) >= 1
    assert max(pair.depth for pair in frames) <= PENETRATION
    assert len({pair.mode for pair in frames}) > 1  # this one comes together and parts
    points = np.stack([pair.keypoints for pair in frames])
    step = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    bend = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)
    assert 0.001 < step.max() < 0.05 and bend.max() < 0.02
    lengths = np.linalg.norm(points[:, :, 6] - points[:, :, 5], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-9


def test_crops_may_hold_no_hands(tmp_path, small_blocks, monkeypatch):
    monkeypatch.setattr("im2hands.lab.synthesis.blocks._EMPTY", {"crop": 1.0})
    monkeypatch.setattr("im2hands.lab.synthesis.blocks._SINGLES", {"crop": 0.0})
    generate(tmp_path / "set", 3, PLAIN)
    for scene in (SceneSet(tmp_path / "set").scene(k) for k in range(3)):
        assert not scene.present.any() and not scene.label_image().any() and scene.image().shape == (64, 64, 3)
        assert scene.intrinsics[0, 0] == scene.intrinsics[1, 1]
