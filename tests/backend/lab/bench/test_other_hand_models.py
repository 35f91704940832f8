"""Hands of other models: a tiny rigged hand made here, its file, the names of its bones, its poses and its row."""

from __future__ import annotations

import importlib
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import trimesh

from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_NAMES, Side
from im2hands.export.glb import GlbBuilder
from im2hands.lab.bench.bone_names import keypoint_bones, require_bones, side_in, sides_of
from im2hands.lab.bench.other_hand import HandPose, bundled_hand, other_hand, posed, poses
from im2hands.lab.bench.skinned_glb import read_skinned_glb

FOLDER = Path(__file__).parents[4] / "benchmarks"
FINGERS = ("thumb", "index-finger", "middle-finger", "ring-finger", "pinky-finger")
STEPS = ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")


def webxr_names() -> list[str]:
    """Names of the 21 keypoints' joints in file order, as WebXR has them."""
    thumb = [f"thumb-{step}" for step in STEPS if step != "phalanx-intermediate"]
    return ["wrist", *thumb, *(f"{finger}-{step}" for finger in FINGERS[1:] for step in STEPS[1:])]


def skeleton(side: Side) -> np.ndarray:
    """Keypoints (21, 3) metres of a flat hand, palm down, fingers along y."""
    points = np.zeros((21, 3))
    points[1:5] = [[-0.03, 0.03, -0.01], [-0.05, 0.055, -0.012], [-0.062, 0.08, -0.014], [-0.07, 0.1, -0.016]]
    for finger in range(1, 5):
        ends = 0.09 + np.array([0, 0.04, 0.065, 0.085])
        points[1 + 4 * finger : 5 + 4 * finger, :2] = np.column_stack([np.full(4, 0.02 * finger - 0.05), ends])
    return points * [-1 if side == "left" else 1, 1, 1]


def write_hand(path: Path, names: list[str], side: Side = "right", *, flat: bool = True, body: bool = False) -> Path:
    """Write a hand of an open box for the palm and a box on each bone."""
    glb, points = GlbBuilder(), skeleton(side)
    heads = {name: point for name, point in zip(names, points, strict=True) if name}
    palm = trimesh.creation.box([0.08, 0.09, 0.02])
    palm.apply_translation([0, 0.04, 0])
    palm.update_faces(palm.face_normals[:, 1] > -0.5)  # open at the wrist
    boxes, owners = [palm], [0]
    for k in (bone for bone in range(1, 21) if bone % 4):
        bone = points[k + 1] - points[k]
        box = trimesh.creation.box([0.014, 0.014, 0.9 * float(np.linalg.norm(bone))])
        box.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], bone))
        box.apply_translation((points[k + 1] + points[k]) / 2)
        boxes, owners = [*boxes, box], [*owners, k]
    if body:
        far = trimesh.creation.box([0.3, 0.3, 0.3])
        far.apply_translation([0, -0.6, 0])
        boxes, owners = [*boxes, far], [*owners, -1]
        heads = {"Spine": np.array([0, -0.6, 0]), "Arm": np.array([0, -0.25, 0]), **heads}
    rows, parents = list(heads), {"Arm": "Spine", names[0]: "Arm"} if body else {}
    if not flat:
        parents |= {names[k]: names[0 if k % 4 == 1 else k - 1] for k in range(1, 21)}
    for name in rows:
        above = parents.get(name)
        place = heads[name] - (heads[above] if above else 0)
        node = glb.add("nodes", {"name": name, "translation": [float(v) for v in place]})
        if above:
            glb.tree["nodes"][rows.index(above)].setdefault("children", []).append(node)
    inverse = np.tile(np.eye(4), (len(rows), 1, 1))
    inverse[:, :3, 3] = -np.array(list(heads.values()))
    skin = glb.add(
        "skins", {"joints": list(range(len(rows))), "inverseBindMatrices": glb.accessor(inverse.astype(np.float32))}
    )
    mesh: Any = trimesh.util.concatenate(boxes)
    moved = [rows.index(names[k] if k >= 0 else "Spine") for k in owners]
    joints = np.zeros((len(mesh.vertices), 4), np.uint8)
    joints[:, 0] = np.repeat(moved, [len(box.vertices) for box in boxes])
    weights = np.tile(np.array([1, 0, 0, 0], np.float32), (len(joints), 1))
    primitive = {
        "attributes": {
            "POSITION": glb.accessor(np.asarray(mesh.vertices, np.float32), bounds=True),
            "JOINTS_0": glb.accessor(joints), "WEIGHTS_0": glb.accessor(weights),
        },
        "indices": glb.accessor(np.asarray(mesh.faces, np.uint32).ravel()),
    }  # fmt: skip
    glb.add("nodes", {"mesh": glb.add("meshes", {"primitives": [primitive]}), "skin": skin})
    path.write_bytes(glb.bytes())
    return path


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("flat", [True, False])
def test_a_hand_is_read_and_its_keypoints_are_found(tmp_path: Path, side: Side, flat: bool) -> None:
    mesh = read_skinned_glb(write_hand(tmp_path / "hand.glb", webxr_names(), side, flat=flat))
    hand = other_hand(mesh, keypoint_bones(mesh.names, side), side)
    assert np.allclose(hand.keypoints, skeleton("right"), atol=1e-6)  # a left hand is mirrored
    assert trimesh.Trimesh(hand.vertices, hand.faces).volume > 0
    assert set(hand.owner) == set(range(16))
    assert hand.end == pytest.approx(0.0006, abs=1e-4)  # the nearest corner of the palm's box, from its slanted middle


def test_bones_flex_towards_the_palm_and_keep_their_lengths(tmp_path: Path) -> None:
    mesh = read_skinned_glb(write_hand(tmp_path / "hand.glb", webxr_names()))
    hand = other_hand(mesh, keypoint_bones(mesh.names, "right"), "right")
    assert np.allclose(posed(hand, poses()["open"])[0], hand.vertices)
    vertices, keypoints = posed(hand, poses()["fist"])
    bones = [np.linalg.norm(np.diff(points[5:9], axis=0), axis=1) for points in (keypoints, hand.keypoints)]
    assert np.allclose(*bones)
    assert (keypoints[[8, 12, 16, 20], 2] < -0.02).all()  # the palm faces -z
    tip = np.flatnonzero(hand.owner == 3)  # the last bone of the index moves as its keypoints do
    assert np.allclose(vertices[tip].mean(axis=0), keypoints[7:9].mean(axis=0), atol=1e-6)
    spread = posed(hand, HandPose(np.zeros((5, 3)), np.array([0.0, 10, 0, 0, -10])))[1]
    assert spread[8, 0] < hand.keypoints[8, 0] and spread[20, 0] > hand.keypoints[20, 0]


def test_tips_without_bones_lie_on_the_mesh_and_the_body_is_cut_off(tmp_path: Path) -> None:
    bare = [name if k % 4 or k == 0 else "" for k, name in enumerate(webxr_names())]
    mesh = read_skinned_glb(write_hand(tmp_path / "hand.glb", bare, body=True, flat=False))
    bones = keypoint_bones(mesh.names, "right")
    require_bones(bones, mesh.names)
    hand = other_hand(mesh, bones, "right")
    assert hand.vertices[:, 1].min() > -0.01
    corner = np.array([0.007, -0.001, 0.007])  # of the last box, which ends before the tip
    assert np.allclose(np.abs(hand.keypoints[8] - skeleton("right")[8]), np.abs(corner), atol=1e-4)


@pytest.mark.parametrize(
    ("pattern", "thumb"),
    [
        ("mixamorig:RightHand{finger}{number}", "Thumb"),
        ("right{finger}{word}", "Thumb"),
        ("{finger}_{number:02}.R", "thumb"),
        ("b_r_{finger}{number}", "thumb"),
    ],
)
def test_names_of_common_rigs(pattern: str, thumb: str) -> None:
    words, capital = ("Proximal", "Intermediate", "Distal", "Tip"), thumb[0] == "T"
    fingers = [f.capitalize() if capital else f for f in ("thumb", "index", "middle", "ring", "little")]
    names = ["mixamorig:RightHand" if "mixamo" in pattern else "wrist_R", "LeftHand", "LeftHandThumb1", "Spine2"]
    names += [
        pattern.format(finger=finger, number=level + 1, word=words[level]) for finger in fingers for level in range(4)
    ]
    found = keypoint_bones(names, "right")
    assert found == {0: 0, **{k: 3 + k for k in range(1, 21)}}
    assert sides_of(names) == {"left", "right"} and side_in("hand_left") == "left" and side_in("hand") is None


def test_metacarpals_are_no_keypoints() -> None:
    names = ["wrist", *(f"{finger}-{step}" for finger in FINGERS[1:] for step in STEPS)]
    found = keypoint_bones(names, "left")
    assert [names[found[k]] for k in (5, 8)] == ["index-finger-phalanx-proximal", "index-finger-tip"]
    with pytest.raises(InputError, match="no bones for thumb_cmc, thumb_mcp, thumb_ip"):
        require_bones(found, names)


def _edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON of a file."""
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + size])
    change(tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    path.write_bytes(struct.pack("<4s4I", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["accessors"][0].update(count=10**9), "beyond its buffer"),
        (lambda t: t["accessors"][0].update(byteOffset=-4), "byteOffset is -4"),
        (lambda t: t["bufferViews"][0].update(byteLength=10**9), "beyond its buffer"),
        (lambda t: t["buffers"][0].update(uri="http://127.0.0.1/a.bin"), "another file"),
        (lambda t: t.update(extensionsRequired=["KHR_draco_mesh_compression"]), "needs the extensions"),
        (lambda t: t["nodes"][0].update(children=[0]), "ring"),
        (lambda t: t["nodes"][0].update(children=[99]), "no node 99"),
        (lambda t: t["nodes"][0].update(children=7), "read"),
        (lambda t: t["nodes"][0].update(rotation=[0, 0, "a", 1]), "rotation"),
        (lambda t: t["nodes"][0].update(translation=[1e308 * 10, 0, 0]), "translation"),
        (lambda t: t["nodes"][-1].pop("skin"), "no mesh with a skin"),
        (lambda t: t["meshes"][0]["primitives"][0].update(mode=1), "triangles"),
        (lambda t: t["skins"][0].update(joints=[0]), "out of range|too few"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    path = write_hand(tmp_path / "hand.glb", webxr_names())
    _edited(path, change)
    with pytest.raises(InputError, match=message):
        read_skinned_glb(path)


@pytest.mark.parametrize("length", [0, 3, 19, 40, 5000])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = write_hand(tmp_path / "hand.glb", webxr_names())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError):
        read_skinned_glb(path)
    with pytest.raises(InputError):
        read_skinned_glb(tmp_path / "missing.glb")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("other_hand_models")
    sys.modules.pop("other_hand_models")


def test_bones_are_named_beside_the_model(script: ModuleType, tmp_path: Path) -> None:
    names = [f"B{k}" for k in range(21)]
    path = write_hand(tmp_path / "left.glb", names, "left")
    with pytest.raises(InputError, match="no bones for wrist"):
        script.read_hand(path, None, 1.0)
    told = dict(zip(KEYPOINT_NAMES, names, strict=True))
    path.with_suffix(".json").write_text(json.dumps(told))
    assert np.allclose(script.read_hand(path, None, 1.0).keypoints, skeleton("right"), atol=1e-6)
    with pytest.raises(InputError, match="palm of the model"):
        script.read_hand(path, None, 0.01)
    for text in ("[]", "{", '{"wrist": "B99"}', '{"elbow": "B1"}'):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(InputError):
            script.read_hand(path, None, 1.0)


def test_the_bundled_hand_is_reconstructed_nearly_exactly(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from im2hands.lab.bench import other_hand as module
    from im2hands.weights.folder import require_weights
    from im2hands.weights.part_occupancy import NAME, load_part_occupancy

    monkeypatch.setattr(module, "poses", lambda: {"open": poses()["open"]})
    decoder, reach = load_part_occupancy(require_weights(NAME, "bundled").path)
    script.print_hand("bundled", bundled_hand(), decoder, reach, tmp_path)
    mean = capsys.readouterr().out.splitlines()[-1].split()
    assert mean[0] == "mean" and float(mean[1]) > 0.95 and float(mean[3]) > 0.95 and float(mean[2]) < 0.5
    assert {path.name for path in tmp_path.glob("*.obj")} == {
        f"bundled_open_{label}.obj" for label in ("model", *script.LABELS)
    }
