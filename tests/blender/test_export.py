"""Exported files, read back by Blender's importers, equal the take: positions, rotations, frames and names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import addon_utils
import animated
import bpy
import numpy as np
import pytest
import synthetic
from test_clean_hands import evaluated_vertices, in_blender

NEAR_MM = 0.1
NEAR_DEGREES = 0.1
IN_PLACE_MM = 0.5
"""Wider than ``NEAR_MM``: files of the command line keep four skin weights a vertex."""
FIRST, LAST = 3, 9


@pytest.fixture
def api(addon):
    return addon("api")


def fresh() -> bpy.types.Scene:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 25
    return bpy.context.scene


def import_fbx(path: Path) -> set[str]:
    """Import an FBX with the C++ importer where it exists: in 5.0 the older one loses the skin of a second armature."""
    if bpy.app.version >= (4, 5):
        return bpy.ops.wm.fbx_import(filepath=str(path), anim_offset=0.0)
    return bpy.ops.import_scene.fbx(filepath=str(path), anim_offset=0.0)


def read_back(path: Path) -> None:
    """Import a file into an empty scene at 25 frames a second."""
    fresh()
    importer = {
        ".fbx": lambda: import_fbx(path),
        ".glb": lambda: bpy.ops.import_scene.gltf(filepath=str(path)),
        ".gltf": lambda: bpy.ops.import_scene.gltf(filepath=str(path)),
        ".abc": lambda: bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False),
        ".bvh": lambda: bpy.ops.import_anim.bvh(filepath=str(path), frame_start=FIRST),
    }.get(path.suffix, lambda: bpy.ops.wm.usd_import(filepath=str(path)))
    for name in ("io_scene_fbx", "io_scene_gltf2", "io_anim_bvh"):
        addon_utils.enable(name)
    assert importer() == {"FINISHED"}


def of_type(kind: str) -> dict[str, bpy.types.Object]:
    """Objects by the name of their data, because USD has no dots in names and glTF's importer renames objects."""
    return {
        thing.data.name.replace("_", "."): thing
        for thing in bpy.data.objects
        if thing.type == kind and not thing.data.name.startswith("Icosphere")  # bone shapes that glTF's importer adds
    }


def keyed_frames(thing: bpy.types.Object) -> tuple[float, float]:
    first, last = thing.animation_data.action.frame_range
    return round(first, 3), round(last, 3)


def degrees_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angle between rotation matrices (..., 3, 3)."""
    turn = np.swapaxes(first, -1, -2) @ second
    sine = np.linalg.norm(
        np.stack([turn[..., i, j] - turn[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))], axis=-1), axis=-1
    )
    return np.degrees(np.arctan2(sine, np.trace(turn, axis1=-2, axis2=-1) - 1.0))


def rotation_of(matrix: object) -> np.ndarray:
    return np.array(matrix.to_3x3().normalized())


def worst_rotation(
    rig: bpy.types.Object, example: animated.Example, side: str, turn: np.ndarray, gone: tuple[int, ...] = ()
) -> float:
    """Greatest error of a bone's rotation from rest to pose on the frames that are not ``gone``, degrees.

    ``turn`` is the rotation of the imported rest pose.
    """
    wanted = animated.bones(example, side)[..., :3, :3]
    flip = np.diag([1.0, -1.0, -1.0])
    to_world = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    worst = 0.0
    for frame in (one for one in range(FIRST, LAST + 1) if one not in gone):
        bpy.context.scene.frame_set(frame)
        for number, name in enumerate(animated.BONES):
            full = f"{name}.{side[0].upper()}"
            bone = rig.pose.bones.get(full) or rig.pose.bones[full.replace(".", "_")]
            found = (
                rotation_of(rig.matrix_world @ bone.matrix) @ rotation_of(rig.matrix_world @ bone.bone.matrix_local).T
            )
            delta = to_world @ flip @ wanted[frame - 1, number] @ example.hands[side].axes[number].T @ turn
            worst = max(worst, float(degrees_between(found, delta)))
    return worst


def worst_place(mesh: bpy.types.Object, wanted: np.ndarray) -> float:
    """Greatest distance of a vertex from the take's on any frame, mm; exporters may split vertices at seams."""
    bpy.context.scene.frame_set(FIRST)
    found = evaluated_vertices(mesh)
    order = np.array([np.argmin(np.linalg.norm(wanted[FIRST - 1] - point, axis=1)) for point in found])
    assert set(order.tolist()) == set(range(wanted.shape[1])), "every vertex of the take is there"
    worst = 0.0
    for frame in range(FIRST, LAST + 1):
        bpy.context.scene.frame_set(frame)
        distances = np.linalg.norm(evaluated_vertices(mesh) - wanted[frame - 1][order], axis=1)
        worst = max(worst, 1000.0 * float(distances.max()))
    return worst


@pytest.mark.parametrize("ending", [".fbx", ".glb", ".gltf", ".usdc", ".abc"])
def test_hands_come_back(api, tmp_path: Path, ending: str) -> None:
    example = animated.make(10)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    path = tmp_path / "out 手" / f"hands{ending}"
    written = api.export_take(collection, path, frames=(FIRST, LAST))
    assert path in written and all(one.is_file() for one in written)
    read_back(path)
    meshes, rigs = of_type("MESH"), of_type("ARMATURE")
    letters = {"left": "L", "right": "R"}
    for side, letter in letters.items():
        mesh = meshes[f"Hand.{letter}"]
        assert worst_place(mesh, in_blender(animated.posed(example, side))) < NEAR_MM
        assert mesh.data.uv_layers
        if ending == ".abc":
            continue
        rig = rigs[f"Rig.{letter}"]
        names = {bone.name for bone in rig.data.bones}
        dots = (lambda name: name.replace(".", "_")) if ending == ".usdc" else str
        assert names == {dots(f"{name}.{letter}") for name in animated.BONES}
        assert worst_rotation(rig, example, side, np.eye(3)) < NEAR_DEGREES
        assert keyed_frames(rig) == (FIRST, LAST)
    assert len(meshes) == 2


@pytest.mark.parametrize("missing", [(), (5, 6)])
def test_bvh_comes_back(api, tmp_path: Path, missing: tuple[int, ...]) -> None:
    """BVH cannot hide a hand, so its rig moves on to where the hand comes back."""
    example = animated.make(10, missing=missing)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    written = api.export_take(collection, tmp_path / "hands.bvh", frames=(FIRST, LAST))
    assert [one.name for one in written] == ["hands_L.bvh", "hands_R.bvh"]
    for path, side in zip(written, ("left", "right"), strict=True):
        read_back(path)
        (rig,) = of_type("ARMATURE").values()
        letter = side[0].upper()
        assert {bone.name for bone in rig.data.bones} == {f"{name}.{letter}" for name in animated.BONES}
        assert keyed_frames(rig) == (FIRST, LAST)
        text = path.read_text()
        assert f"Frames: {LAST - FIRST + 1}" in text and "Frame Time: 0.040000" in text
        poses = animated.bones(example, side)
        heads = in_blender(poses[..., :3, 3])
        # The importer rotates y-up to z-up, including the rest pose.
        turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        gone = missing if side == "right" else ()
        assert worst_rotation(rig, example, side, turn, gone) < NEAR_DEGREES
        for frame in range(FIRST, LAST + 1):
            if frame in gone:
                continue
            bpy.context.scene.frame_set(frame)
            for number, name in enumerate(animated.BONES):
                found = rig.matrix_world @ rig.pose.bones[f"{name}.{letter}"].head
                assert np.linalg.norm(np.array(found) - heads[frame - 1, number]) * 1000 < NEAR_MM


@pytest.mark.parametrize("ending", [".abc", ".usdc"])
def test_surfaces_come_back(api, tmp_path: Path, ending: str) -> None:
    """Their topology changes, and on some frames a hand is missing."""
    frames = {1: ("left", "right"), 2: ("left",), 3: ("left", "right"), 4: (), 5: ("left", "right")}
    folder = synthetic.write_take(tmp_path / "take", frames)
    arrays = dict(np.load(folder / "frames/000003.npz"))
    arrays["left_vertices"], arrays["left_faces"] = arrays["left_vertices"][:22], arrays["left_faces"][:40]
    np.savez(folder / "frames/000003.npz", **arrays)
    collection, problems = api.import_take(folder)
    assert not problems
    (path,) = api.export_take(collection, tmp_path / f"surfaces{ending}", what="SURFACES")
    read_back(path)
    meshes = of_type("MESH")
    for frame, sides in frames.items():
        bpy.context.scene.frame_set(frame)
        for side in ("left", "right"):
            letter = side[0].upper()
            mesh = meshes[f"Surface.{letter}"]
            found = evaluated_vertices(mesh)
            if side not in sides:
                assert not len(found), (frame, side)
                continue
            wanted = np.load(folder / f"frames/{frame:06d}.npz")[f"{side}_vertices"]
            assert found.shape == wanted.shape
            assert np.linalg.norm(found - in_blender(wanted), axis=1).max() * 1000 < NEAR_MM


def test_what_is_seen_is_exported(api, tmp_path: Path) -> None:
    """With another strength of the smoothing, a moved origin, and frames without the hand."""
    example = animated.make(10, missing=(5,))
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    api.set_smoothing(collection, 0.0)
    origin = next(thing for thing in collection.objects if thing.name.endswith("Origin"))
    origin.location = (1.0, 2.0, 3.0)
    origin.scale = (2.0, 2.0, 2.0)
    api.export_take(collection, tmp_path / "hands.abc", frames=(FIRST, LAST))
    api.export_take(collection, tmp_path / "hands.glb", frames=(FIRST, LAST))
    wanted = 2.0 * in_blender(animated.posed(example, "right", "_raw")) + (1.0, 2.0, 3.0)
    wanted[4] = wanted[3]
    for ending in (".abc", ".glb"):
        read_back(tmp_path / f"hands{ending}")
        mesh = of_type("MESH")["Hand.R"]
        bpy.context.scene.frame_set(4)
        found = evaluated_vertices(mesh)
        assert max(np.linalg.norm(wanted[3] - point, axis=1).min() for point in found[::50]) * 1000 < NEAR_MM


GONE = range(6, 13)
"""Frames on which the right hand is missing in the tests below."""


def seen_size(mesh: bpy.types.Object, frame: int | None) -> float:
    """Greatest extent of what is seen of a mesh on a frame, metres; 0 if it is hidden or has no faces.

    ``frame`` is None for the current frame.
    """
    if frame is not None:
        bpy.context.scene.frame_set(frame)
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    if shown.hide_render or shown.hide_viewport or not len(shown.data.polygons):
        return 0.0
    return float(np.ptp(evaluated_vertices(mesh), axis=0).max())


def gaps_are_seen(meshes: dict[str, bpy.types.Object], example: animated.Example, start: int = 1) -> None:
    """Check that the right hand is away exactly on the frames ``GONE``, and the left hand never.

    ``start`` is the scene frame of the take's frame 1.
    """
    right, left = (next(one for name, one in meshes.items() if name.startswith(f"Hand.{side}")) for side in "RL")
    for frame in (1, 5, *GONE, 13, 16):
        there = frame not in GONE
        size = seen_size(right, frame - 1 + start)
        assert size > 0.1 if there else size == 0.0, frame
        assert seen_size(left, frame - 1 + start) > 0.1, frame
        for mesh, side in ((left, "left"), (right, "right")):
            if there or side == "left":
                wanted = in_blender(animated.posed(example, side))[frame - 1]
                found = evaluated_vertices(mesh)[::50]
                assert max(np.linalg.norm(wanted - one, axis=1).min() for one in found) * 1000 < IN_PLACE_MM


@pytest.mark.parametrize("ending", [".fbx", ".glb", ".gltf", ".usdc", ".usda", ".abc"])
def test_a_missing_hand_is_not_seen(api, tmp_path: Path, ending: str) -> None:
    example = animated.make(16, missing=tuple(GONE))
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    api.export_take(collection, tmp_path / f"hands{ending}")
    read_back(tmp_path / f"hands{ending}")
    gaps_are_seen(of_type("MESH"), example)
    if ending in (".glb", ".gltf"):
        right = next(one for name, one in of_type("MESH").items() if name.startswith("Hand.R"))
        for frame, there in ((5, True), (12, False)):
            bpy.context.scene.frame_set(frame, subframe=0.9)
            assert (seen_size(right, None) > 0.1) == there, "it neither shrinks nor grows between two frames"


def test_scales_in_fbx_change_in_steps(addon, api, tmp_path: Path) -> None:
    """Read from the file itself, because Blender's importers join all keys linearly."""
    example = animated.make(16, missing=tuple(GONE))
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    (path,) = api.export_take(collection, tmp_path / "hands.fbx")
    from io_scene_fbx import parse_fbx

    root, _ = parse_fbx.parse(str(path))
    parts = {part.id: part.elems for part in root.elems if part is not None}
    names = {one.props[0]: one.props[1].split(b"\0")[0] for one in parts[b"Objects"] if one.id == b"AnimationCurveNode"}
    kinds = {one.props[1]: names[one.props[2]] for one in parts[b"Connections"] if one.props[2] in names}
    held: dict[bytes, set[bool]] = {}
    for one in parts[b"Objects"]:
        if one.id == b"AnimationCurve":
            flags = next(part for part in one.elems if part.id == b"KeyAttrFlags").props[0]
            held.setdefault(kinds[one.props[0]], set()).add(all(flag & 2 and not flag & 12 for flag in flags))
    assert held[b"S"] == {True} and held[b"R"] == {False} and held[b"T"] == {False}


@pytest.mark.parametrize("ending", [".abc", ".usdc"])
def test_missing_surfaces_are_not_seen(api, tmp_path: Path, ending: str) -> None:
    example = animated.make(16, missing=tuple(GONE))
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    api.export_take(collection, tmp_path / f"surfaces{ending}", what="SURFACES")
    read_back(tmp_path / f"surfaces{ending}")
    meshes = of_type("MESH")
    for frame in (5, *GONE, 13):
        assert (seen_size(meshes["Surface.R"], frame) > 0.05) == (frame not in GONE)
        assert seen_size(meshes["Surface.L"], frame) > 0.05


@pytest.mark.parametrize("mesh", ["clean", "surface"])
def test_a_missing_hand_is_not_seen_in_files_of_the_command_line(real_backend: str, tmp_path: Path, mesh: str) -> None:
    example = animated.make(16, missing=tuple(GONE))
    folder = animated.write(tmp_path / "take", example)
    options = [str(folder), "--mesh", mesh, "--output"]
    for kind, target in (("glb", "hands.glb"), ("obj", "obj"), ("ply", "ply")):
        command = [real_backend, "-m", "im2hands", "export", *options, str(tmp_path / target), "--to", kind]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    read_back(tmp_path / "hands.glb")
    if mesh == "clean":
        gaps_are_seen(of_type("MESH"), example, start=0)
    for frame in (5, *GONE, 13):
        # The first frame of such a file is at 0 seconds.
        hands = [one for one in bpy.data.objects if one.type == "MESH" and one.name.startswith("Hand")]
        seen = [one.name[:6] for one in hands if seen_size(one, frame - 1) > 0.05]
        assert sorted(seen) == (["Hand.L"] if frame in GONE else ["Hand.L", "Hand.R"]), frame
        text = (tmp_path / "obj" / f"{frame:06d}.obj").read_text()
        assert ("Hand.R" in text) == (frame not in GONE) and "Hand.L" in text
        assert (tmp_path / "ply" / f"{frame:06d}_right.ply").exists() == (frame not in GONE)


def test_exporting_leaves_nothing_behind(api, tmp_path: Path) -> None:
    from datablocks import counted
    from test_import import described

    folder = animated.write(tmp_path / "take", animated.make(4))
    collection, _ = api.import_take(folder)
    other, _ = api.import_take(animated.write(tmp_path / "other", animated.make(3)))
    bpy.context.scene.frame_set(2)
    before, seen, names = counted(), described(other), sorted(bpy.data.objects.keys())
    bpy.context.scene.frame_set(2)
    for one, name in ((collection, "one"), (other, "two")):
        for ending in (".fbx", ".glb", ".abc", ".usdc", ".bvh"):
            api.export_take(one, tmp_path / f"{name}{ending}")
    api.export_take(collection, tmp_path / "surfaces.abc", what="SURFACES")
    assert bpy.context.scene.frame_current == 2
    assert counted() == before and sorted(bpy.data.objects.keys()) == names and described(other) == seen
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".im2hands")]
    read_back(tmp_path / "two.fbx")
    assert {"Hand.L", "Rig.R"} <= set(bpy.data.objects.keys()), "the take's names, whoever had them first"


def test_paths_and_formats_that_cannot_be(addon, api, tmp_path: Path) -> None:
    error = addon("errors").InputError
    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(2)))
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.fbx").mkdir()
    for path, text in (
        (tmp_path / "file" / "hands.fbx", "Cannot write"),
        (tmp_path / "folder.fbx", "is a folder"),
        (Path("/proc/nowhere/hands.glb"), "Cannot write"),
        (tmp_path / "hands.doc", "is not a known format"),
    ):
        with pytest.raises(error, match=text):
            api.export_take(collection, path)
    for ending in (".fbx", ".glb", ".bvh"):
        with pytest.raises(error, match="change their topology"):
            api.export_take(collection, tmp_path / f"hands{ending}", what="SURFACES")
    with pytest.raises(error, match="no frames"):
        api.export_take(collection, tmp_path / "hands.fbx", frames=(5, 2))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder.fbx", "take"]


def test_a_take_without_hands_or_surfaces(addon, api, tmp_path: Path) -> None:
    error = addon("errors").InputError
    older, _ = api.import_take(synthetic.write_take(tmp_path / "older", {1: ("left",)}))
    with pytest.raises(error, match="no rigged hands"):
        api.export_take(older, tmp_path / "hands.fbx")
    bare, _ = api.import_take(animated.write(tmp_path / "bare", animated.make(2), surfaces=False))
    with pytest.raises(error, match="no surfaces"):
        api.export_take(bare, tmp_path / "surfaces.abc", what="SURFACES")
