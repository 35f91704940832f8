"""MANO's files and our skinning of them, on files of our own making; and the closing of the wrist."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scipy import sparse

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.sealing import boundary_loop, seal
from im2hands.lab.datasets.interhand import mano as mano_module
from im2hands.lab.datasets.interhand.mano import TIPS, load_mano
from im2hands.lab.datasets.interhand.posed import Fit, pose_hands
from im2hands.lab.datasets.interhand.sealed import hand_arrays, sealed_hand
from im2hands.lab.datasets.part_occupancy import surface_distance
from mano_files import left_hand, right_hand, write_mano

FLIP = np.array([-1.0, 1.0, 1.0])
TURN = np.tile([1.0, -1.0, -1.0], 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mano(tmp_path_factory.mktemp("mano"))


def _pose(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(48) * 0.3, rng.standard_normal(10), rng.standard_normal(3) * 0.1


def test_the_left_shape_basis_is_corrected_once(folder: Path, tmp_path: Path) -> None:
    published, mirrored = load_mano(folder), load_mano(write_mano(tmp_path / "m", mirrored_shape=True))
    assert published.fixed and "corrected" in published.note
    assert not mirrored.fixed and "as it is" in mirrored.note
    np.testing.assert_allclose(published["left"].shape_basis, mirrored["left"].shape_basis)


def test_a_left_hand_is_the_mirror_image_of_a_right_one(folder: Path) -> None:
    mano = load_mano(folder)
    pose, shape, _ = _pose(0)
    right, joints = mano["right"].pose(pose, shape, np.zeros(3))
    left, left_joints = mano["left"].pose(pose * TURN, shape, np.zeros(3))
    np.testing.assert_allclose(left, right * FLIP, atol=1e-12)
    np.testing.assert_allclose(left_joints, joints * FLIP, atol=1e-12)
    keypoints = mano.keypoints("right", right, joints)
    np.testing.assert_array_equal(keypoints[[4, 8, 12, 16, 20]], right[list(TIPS["right"])])
    np.testing.assert_array_equal(keypoints[[0, 1, 5, 9, 13, 17]], joints[[0, 13, 1, 4, 10, 7]])


def test_the_skinning_is_a_chain_of_rotations(folder: Path) -> None:
    """One joint turned: what lies behind it turns about it, and everything else stays."""
    hand = load_mano(folder)["right"]
    still = -hand.mean  # relative to the mean pose
    rest, rest_joints = hand.pose(np.concatenate([np.zeros(3), still]), np.zeros(10), np.zeros(3))
    np.testing.assert_allclose(rest, hand.template, atol=1e-12)
    np.testing.assert_allclose(rest_joints, hand.regressor @ hand.template, atol=1e-12)
    bent = still.copy()
    bent[3:6] += (0.0, 0.0, 0.5)  # the second joint of the index finger
    _, joints = hand.pose(np.concatenate([np.zeros(3), bent]), np.zeros(10), np.zeros(3))
    moved = np.linalg.norm(joints - rest_joints, axis=1) > 1e-9
    assert np.flatnonzero(moved).tolist() == [3]
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    np.testing.assert_allclose(joints[3] - joints[2], turn @ (rest_joints[3] - rest_joints[2]), atol=1e-12)


def test_a_hand_turns_about_its_wrist(folder: Path) -> None:
    """Rotating the parameters as DATASETS says gives the rotated hand."""
    hand = load_mano(folder)["left"]
    pose, shape, translation = _pose(3)
    from scipy.spatial.transform import Rotation

    turn, shift = Rotation.from_rotvec([0.3, -0.5, 1.0]), np.array([0.1, 0.2, 0.9])
    first = hand.regressor[0] @ (hand.template + hand.shape_basis @ shape)
    turned = pose.copy()
    turned[:3] = (turn * Rotation.from_rotvec(pose[:3])).as_rotvec()
    moved = turn.apply(translation) - first + turn.apply(first) + shift
    expected = turn.apply(hand.pose(pose, shape, translation)[0]) + shift
    np.testing.assert_allclose(hand.pose(turned, shape, moved)[0], expected, atol=1e-12)


def test_pose_components_give_the_pose_back(folder: Path) -> None:
    hand = load_mano(folder)["right"]
    pose = _pose(5)[0]
    np.testing.assert_allclose(hand.coefficients(pose) @ hand.components, pose[3:], atol=1e-12)


def test_npz_files_are_read_as_well(folder: Path, tmp_path: Path) -> None:
    written = load_mano(write_mano(tmp_path / "npz", form="npz"))
    for side in SIDES:
        np.testing.assert_array_equal(written[side].regressor, load_mano(folder)[side].regressor)
        np.testing.assert_array_equal(written[side].shape_basis, load_mano(folder)[side].shape_basis)


def test_arrays_of_chumpy_and_old_sparse_matrices_are_read(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """As the published files have them: an array object, and a selection of entries of another one."""
    import sys
    import types

    chumpy, ch, reordering = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch"), types.ModuleType("c.r")
    for name, module in (("chumpy", chumpy), ("chumpy.ch", ch), ("chumpy.reordering", reordering)):
        monkeypatch.setitem(sys.modules, name, module)

    class Ch:
        pass

    class Select:
        pass

    for kind, module, place in ((Ch, ch, "chumpy.ch"), (Select, reordering, "chumpy.reordering")):
        kind.__module__, kind.__qualname__ = place, kind.__name__
        setattr(module, kind.__name__, kind)
    for side, arrays in (("LEFT", left_hand()), ("RIGHT", right_hand())):
        whole = np.concatenate([arrays["shapedirs"], np.zeros((778, 3, 5))], axis=2)
        rows = np.arange(whole.size).reshape(whole.shape)[:, :, :10]
        inner, selected, template = Ch(), Select(), Ch()
        inner.__dict__["x"] = whole
        selected.__dict__.update(a=inner, idxs=rows.reshape(-1), preferred_shape=(778, 3, 10))
        template.__dict__["x"] = arrays["v_template"]
        stored = {**arrays, "shapedirs": selected, "v_template": template,
                  "J_regressor": sparse.csc_matrix(arrays["J_regressor"])}  # fmt: skip
        data = pickle.dumps(stored, 2)
        assert b"scipy.sparse._csc" in data
        data = data.replace(b"scipy.sparse._csc\n", b"scipy.sparse.csc\n")
        (tmp_path / f"MANO_{side}.pkl").write_bytes(data)
    for side in SIDES:
        ours, theirs = load_mano(folder)[side], load_mano(tmp_path)[side]
        for name in ("template", "shape_basis", "regressor", "pose_basis", "weights", "faces"):
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)


def test_a_folder_with_one_hand_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "MANO_RIGHT.pkl", tmp_path)
    with pytest.raises(InputError, match=r"has no MANO_LEFT\.pkl") as error:
        load_mano(tmp_path)
    assert "Both hands are needed" in error.value.hint


@pytest.mark.parametrize("change, reason", [
    (lambda hand: hand.pop("posedirs"), "posedirs is missing"),
    (lambda hand: hand.update(weights=np.zeros((778, 22))), r"weights has the shape \(778, 22\)"),
    (lambda hand: hand["v_template"].__setitem__((0, 0), np.nan), "v_template is not finite"),
    (lambda hand: hand.update(f=hand["f"] + 700), "faces do not fit"),
    (lambda hand: hand.update(f=hand["f"] * 0), "faces do not fit"),
    (lambda hand: hand.update(f=np.concatenate([hand["f"], hand["f"][:1]])), "no single hole at the wrist"),
    (lambda hand: hand.update(f=np.delete(hand["f"], 700, 0)), "no single hole at the wrist"),
    (lambda hand: hand.update(weights=hand["weights"] * 0), "rows of weights do not sum to 1"),
    (lambda hand: hand.update(J_regressor=hand["J_regressor"] * 0), "rows of J_regressor do not sum to 1"),
    (lambda hand: hand.update(hands_components=np.zeros((45, 45))), "hands_components does not span"),
    (lambda hand: hand.update(kintree_table=np.zeros((2, 16)) + 15), "before its parent"),
    (lambda hand: hand.update(hands_mean=np.array([None] * 45)), "type 'O8' is not allowed"),
])  # fmt: skip
def test_other_files_are_refused(folder: Path, tmp_path: Path, change: Any, reason: str) -> None:
    shutil.copy(folder / "MANO_RIGHT.pkl", tmp_path)
    hand = {name: value.copy() for name, value in left_hand().items()}
    change(hand)
    (tmp_path / "MANO_LEFT.pkl").write_bytes(pickle.dumps(hand))
    with pytest.raises(InputError, match=reason):
        load_mano(tmp_path)


def test_two_files_of_one_side_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("MANO_LEFT.pkl", "MANO_RIGHT.pkl"):
        shutil.copy(folder / "MANO_RIGHT.pkl", tmp_path / name)
    with pytest.raises(InputError, match="are hands of one side"):
        load_mano(tmp_path)


def test_a_half_written_file_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("MANO_LEFT.pkl", "MANO_RIGHT.pkl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes()[:50_000])
    with pytest.raises(InputError, match="is no MANO hand"):
        load_mano(tmp_path)


def test_our_skinning_is_that_of_smplx(folder: Path) -> None:
    smplx = pytest.importorskip("smplx")
    torch = pytest.importorskip("torch")
    for side in SIDES:
        layer = smplx.create(
            str(folder / f"MANO_{side.upper()}.pkl"), model_type="mano", is_rhand=side == "right", use_pca=False,
            flat_hand_mean=False, num_pca_comps=45,
        )  # fmt: skip
        if side == "left":
            layer.shapedirs[:, 0, :] *= -1
        pose, shape, translation = (torch.tensor(v, dtype=torch.float32)[None] for v in _pose(9))
        found = layer(global_orient=pose[:, :3], hand_pose=pose[:, 3:], betas=shape, transl=translation)
        vertices, joints = load_mano(folder)[side].pose(*(v[0].numpy() for v in (pose, shape, translation)))
        np.testing.assert_allclose(vertices, found.vertices[0].detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(joints, found.joints[0, :16].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("outward", [True, False])
def test_sealing_keeps_the_orientation(outward: bool) -> None:
    cup = trimesh.creation.cylinder(1.0, 2.0, sections=16)
    keep = ~(cup.vertices[cup.faces][..., 2] > 0.99).all(1)
    faces = cup.faces[keep] if outward else cup.faces[keep][:, ::-1]
    used = np.unique(faces)
    renumber = np.full(len(cup.vertices), -1)
    renumber[used] = np.arange(len(used))
    vertices, faces = cup.vertices[used], renumber[faces]
    assert len(boundary_loop(faces)) == 16
    closed = trimesh.Trimesh(*seal(vertices, faces), process=False)
    assert closed.is_watertight and closed.is_winding_consistent and closed.euler_number == 2
    np.testing.assert_allclose(closed.volume, cup.volume if outward else -cup.volume, rtol=1e-6)


def test_meshes_that_cannot_be_closed_are_refused() -> None:
    box = trimesh.creation.box()
    with pytest.raises(InputError, match="cannot be closed"):
        seal(box.vertices, box.faces)
    apart = np.concatenate([box.faces[1:], box.faces[1:] + 8])
    with pytest.raises(InputError, match="cannot be closed"):
        seal(np.concatenate([box.vertices] * 2), apart)


def test_both_hands_become_the_same_closed_canonical_hand(folder: Path) -> None:
    mano = load_mano(folder)
    pose, shape, translation = _pose(1)
    fits = {"right": Fit(pose, shape, translation), "left": Fit(pose * TURN, shape, translation * FLIP)}
    posed = pose_hands(mano, fits)  # type: ignore[arg-type]
    sealed = {
        side: sealed_hand(
            posed[side].vertices, posed[side].keypoints, mano[side].weights.argmax(1), mano["right"].faces, side
        )
        for side in SIDES
    }
    for side in SIDES:
        mesh = trimesh.Trimesh(sealed[side].vertices, sealed[side].faces, process=False)
        assert mesh.is_watertight and mesh.euler_number == 2 and len(mesh.vertices) == 779 and len(mesh.faces) == 1554
        assert 1.5e-4 < mesh.volume < 6e-4
    np.testing.assert_allclose(sealed["left"].vertices, sealed["right"].vertices, atol=1e-9)
    np.testing.assert_allclose(sealed["left"].transforms, sealed["right"].transforms, atol=1e-9)
    np.testing.assert_allclose(sealed["left"].wrist, posed["left"].keypoints[0] * FLIP)
    middle = sealed["right"].keypoints[9]
    np.testing.assert_allclose(middle / np.linalg.norm(middle), [-1, 0, 0], atol=1e-9)


def test_the_arrays_of_a_hand_are_in_the_published_form(folder: Path) -> None:
    mano = load_mano(folder)
    fit = Fit(*_pose(2))
    posed = pose_hands(mano, {"left": fit, "right": fit})["right"]
    hand = sealed_hand(posed.vertices, posed.keypoints, mano["right"].weights.argmax(1), mano["right"].faces, "right")
    kinds = ("meta", "points", "points_iou", "pointcloud")
    made = hand_arrays(hand, fit.shape, kinds, 100_000, np.random.default_rng(0))
    again = hand_arrays(hand, fit.shape, ("points",), 100_000, np.random.default_rng(0))
    np.testing.assert_array_equal(made["points"]["points"], again["points"]["points"])  # whatever else is made
    meta, points, cloud = made["meta"], made["points"], made["pointcloud"]
    assert meta["joints_trans"].shape == (16, 4, 4) and meta["verts"].shape == (6000, 3)
    assert meta["vert_labels"].shape == (6000,) and set(meta["vert_labels"]) == set(range(16))
    assert (
        meta["hand_joints"].shape == (21, 3) and meta["root_rot_mat"].shape == (4, 4) and meta["root_xyz"].shape == (3,)
    )
    np.testing.assert_array_equal(meta["joints_trans"][0], np.eye(4))
    assert points["points"].shape == (100_000, 3) and points["points"].dtype == np.float16
    assert points["occupancies"].dtype == np.uint8 and points["occupancies"].shape == (12_500,)
    assert points["scale"] == 1.0 and (points["loc"] == 0).all()
    np.testing.assert_allclose(points["hand_joints"] * QUERY_SCALE, meta["hand_joints"], atol=1e-7)
    np.testing.assert_allclose(points["verts"] * QUERY_SCALE, meta["verts"], atol=1e-7)
    np.testing.assert_allclose(points["joints_trans"][:, :3, :3], meta["joints_trans"][:, :3, :3] * 0.4, atol=1e-7)
    np.testing.assert_array_equal(points["joints_trans"][:, :3, 3], meta["joints_trans"][:, :3, 3])
    inside = np.unpackbits(points["occupancies"])[:100_000].astype(bool)
    mesh = trimesh.Trimesh(hand.vertices / QUERY_SCALE, hand.faces, process=False)
    box = 1.1**3
    assert abs(inside[:50_000].mean() - mesh.volume / box) < 0.001
    near = points["points"][50_000:].astype(np.float64)
    assert np.abs(points["points"][:50_000]).max() <= 0.55 + 1e-3
    away = surface_distance(near[:2000], mesh.vertices, mesh.faces)[0]
    assert (
        0.004 < away.mean() < 0.008
    )  # of a normal distribution of 0.01 across the surface: 0.008, less where it bends
    assert np.unpackbits(made["points_iou"]["occupancies"]).mean() < 0.01
    on = surface_distance(cloud["points"][:2000].astype(np.float64), mesh.vertices, mesh.faces)[0]
    assert on.max() < 5e-4 and cloud["normals"].dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(cloud["normals"].astype(np.float64), axis=1), 1, atol=2e-3)


def test_the_tips_are_a_parameter(folder: Path) -> None:
    mano = load_mano(folder)
    vertices, joints = mano["left"].pose(*_pose(4))
    halo = {**TIPS, "left": (745, 317, 445, 556, 673)}
    changed = mano.keypoints("left", vertices, joints) != mano.keypoints("left", vertices, joints, halo)
    assert np.flatnonzero(changed.any(1)).tolist() == [12]


def test_left_and_right_files_are_loaded_once(folder: Path) -> None:
    assert load_mano(folder) is load_mano(folder)
    assert mano_module.VERTICES == 778
