"""A take with a template and a motion becomes rigged hands; their positions equal those computed with numpy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest

NEAR = 5e-5


@pytest.fixture
def api(addon):
    return addon("api")


def in_blender(points: np.ndarray) -> np.ndarray:
    """Convert points from the camera frame (x right, y down, z forward) to the world (+Y forward, +Z up)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def evaluated_vertices(thing: bpy.types.Object) -> np.ndarray:
    """World positions of the evaluated mesh on the current frame."""
    shown = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    values = np.empty(len(shown.data.vertices) * 3, np.float32)
    shown.data.vertices.foreach_get("co", values)
    place = np.array(shown.matrix_world)
    return values.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3]


def part(collection: bpy.types.Collection, role: str, side: str) -> bpy.types.Object:
    (found,) = (
        one for one in collection.all_objects if one.get("im2hands_role") == role and one.get("im2hands_side") == side
    )
    return found


def furthest(collection: bpy.types.Collection, example: animated.Example, layer: str = "") -> float:
    """The greatest distance of a vertex from its correct position on any frame, metres."""
    worst = 0.0
    wanted = {side: in_blender(animated.posed(example, side, layer)) for side in example.hands}
    for number, frame in enumerate(example.frames.tolist()):
        bpy.context.scene.frame_set(frame)
        for side, hand in example.hands.items():
            known = np.isfinite(hand.layers[layer]["root"][number]).all()
            if hand.status[number] and known:
                found = evaluated_vertices(part(collection, "hand", side))
                worst = max(worst, float(np.linalg.norm(found - wanted[side][number], axis=1).max()))
    return worst


def test_posed_mesh_is_linear_blend_skinning(api, tmp_path: Path) -> None:
    example = animated.make(12)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems
    assert furthest(collection, example) < NEAR
    for side, hand in example.hands.items():
        mesh = part(collection, "hand", side).data
        faces = np.empty(len(mesh.loops), np.int32)
        mesh.loops.foreach_get("vertex_index", faces)
        assert {tuple(sorted(one)) for one in faces.reshape(-1, 3).tolist()} == {
            tuple(sorted(one)) for one in example.faces[:, :3].tolist()
        }
        assert len(mesh.vertices) == len(hand.vertices) and len(mesh.uv_layers) == 1


def test_faces_look_outward_on_both_sides(api, tmp_path: Path) -> None:
    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(2)))
    for side in ("left", "right"):
        mesh = part(collection, "hand", side).data
        points = np.array([vertex.co for vertex in mesh.vertices])
        volume = sum(
            np.linalg.det(points[list(polygon.vertices[:3])] - points.mean(axis=0)) for polygon in mesh.polygons
        )
        assert volume > 1e-4, side


def imported(api, tmp_path: Path, example: animated.Example, **options) -> bpy.types.Collection:
    folder = animated.write(tmp_path / "take", example, **options)
    collection, problems = api.import_take(folder)
    assert not problems
    return collection


def curves_of(addon, datablock: bpy.types.ID) -> dict[tuple[str, int], bpy.types.FCurve]:
    return {(one.data_path, one.array_index): one for one in addon("scene.animation").curves(datablock)}


def test_the_rig_has_rigifys_names_and_the_takes_lengths(api, tmp_path: Path) -> None:
    example = animated.make(2)
    collection = imported(api, tmp_path, example)
    for side, hand in example.hands.items():
        rig = part(collection, "rig", side)
        letter = side[0].upper()
        assert {bone.name for bone in rig.data.bones} == {f"{name}.{letter}" for name in animated.BONES}
        assert {"hand.L", "palm.01.L", "thumb.01.L", "f_index.01.L", "f_pinky.03.L"} <= set(
            part(collection, "rig", "left").data.bones.keys()
        )
        for number, name in enumerate(animated.BONES):
            bone = rig.data.bones[f"{name}.{letter}"]
            np.testing.assert_allclose(bone.head_local, hand.heads[number], atol=1e-6)
            np.testing.assert_allclose(bone.tail_local, hand.tails[number], atol=1e-6)
            np.testing.assert_allclose(np.array(bone.matrix_local)[:3, :3], hand.axes[number], atol=1e-5)
        mesh = part(collection, "hand", side)
        assert {group.name for group in mesh.vertex_groups} == {bone.name for bone in rig.data.bones}
        assert mesh.parent == rig and not mesh.modifiers[0].use_deform_preserve_volume


def test_raw_and_clean_are_layers_with_a_strength(api, tmp_path: Path) -> None:
    example = animated.make(8)
    collection = imported(api, tmp_path, example)
    assert api.smoothing(collection) == 1.0
    api.set_smoothing(collection, 0.0)
    assert furthest(collection, example, "_raw") < NEAR
    assert furthest(collection, example) > 1e-3
    api.set_smoothing(collection, 0.5)
    halfway = furthest(collection, example), furthest(collection, example, "_raw")
    api.set_smoothing(collection, 0.0)
    whole = furthest(collection, example)
    assert all(0.3 * whole < one < 0.7 * whole for one in halfway)
    collection.im2hands_smoothing = 1.0
    assert furthest(collection, example) < NEAR
    collection.im2hands_smoothing = 0.25
    assert api.smoothing(collection) == pytest.approx(0.25)


def test_the_strength_survives_importing_again(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.5)
    again, _ = api.import_take(folder)
    assert api.smoothing(again) == pytest.approx(0.5)


def test_keys_say_what_is_observed_filled_and_doubtful(addon, api, tmp_path: Path) -> None:
    example = animated.make(9, missing=(8,), filled=(3, 4), doubtful=(6,))
    collection = imported(api, tmp_path, example)
    kinds = {1: "KEYFRAME", 2: "KEYFRAME", 3: "BREAKDOWN", 4: "BREAKDOWN", 5: "KEYFRAME", 6: "EXTREME", 7: "KEYFRAME"}
    kinds |= {9: "KEYFRAME"}
    rig, mesh = part(collection, "rig", "right"), part(collection, "hand", "right")
    for datablock in (rig, mesh.data.shape_keys):
        found = curves_of(addon, datablock)
        assert found
        for curve in found.values():
            assert {int(point.co[0]): point.type for point in curve.keyframe_points} == kinds
    (raw,) = [one for one in addon("scene.animation").actions_of(rig) if one["im2hands_role"] == "raw"]
    curve = addon("scene.animation").action_curves(raw)[0]
    assert [int(point.co[0]) for point in curve.keyframe_points] == [1, 2, 5, 6, 7, 9]
    markers = {marker.name: marker.frame for marker in bpy.context.scene.timeline_markers}
    assert markers == {"filled right 3-4": 3, "doubtful right 6": 6, "no right hand 8": 8}
    hidden = []
    for frame in range(1, 10):
        bpy.context.scene.frame_set(frame)
        hidden.append(mesh.hide_viewport and mesh.hide_render)
    assert hidden == [False] * 7 + [True, False]
    assert not part(collection, "hand", "left").hide_viewport


def test_quaternions_do_not_jump(addon, api, tmp_path: Path) -> None:
    example = animated.make(120, ("right",))
    example.hands["right"].layers[""]["root_rotation"][50:] *= -1.0
    collection = imported(api, tmp_path, example, surfaces=False)
    rig = part(collection, "rig", "right")
    for action in addon("scene.animation").actions_of(rig):
        for curve in addon("scene.animation").action_curves(action):
            values = addon("scene.animation").read_values(curve)[1]
            assert np.abs(np.diff(values)).max() < 0.2, curve.data_path


def test_euler_angles_on_demand(addon, api, tmp_path: Path) -> None:
    example = animated.make(60, filled=(7,))
    collection = imported(api, tmp_path, example, surfaces=False)
    api.set_rotation_mode(collection, "XYZ")
    rig = part(collection, "rig", "right")
    assert furthest(collection, example) < NEAR
    found = curves_of(addon, rig)
    assert not any("quaternion" in path for path, _ in found)
    curve = found['pose.bones["f_index.02.R"].rotation_euler', 0]
    assert [point.type for point in curve.keyframe_points][5:8] == ["KEYFRAME", "BREAKDOWN", "KEYFRAME"]
    for one in found.values():
        assert np.abs(np.diff(addon("scene.animation").read_values(one)[1])).max() < 1.0, "no jump by a whole turn"
    api.set_smoothing(collection, 0.0)
    assert furthest(collection, example, "_raw") < NEAR
    api.set_smoothing(collection, 1.0)
    api.set_rotation_mode(collection, "QUATERNION")
    assert furthest(collection, example) < NEAR
    assert not any("euler" in path for path, _ in curves_of(addon, rig))


def test_an_unknown_rotation_mode_is_told(addon, api, tmp_path: Path) -> None:
    collection = imported(api, tmp_path, animated.make(1))
    with pytest.raises(addon("errors").InputError, match="no rotation mode"):
        api.set_rotation_mode(collection, "UVW")


def test_corrective_keys_stay_within_0_and_1(addon, api, tmp_path: Path) -> None:
    collection = imported(api, tmp_path, animated.make(20, shapes=4), surfaces=False)
    blocks = part(collection, "hand", "left").data.shape_keys
    assert [block.name for block in blocks.key_blocks][:3] == ["Basis", "Corrective mean", "Corrective 01"]
    assert len(blocks.key_blocks) == 6
    found = curves_of(addon, blocks)
    assert len(found) == 4
    for curve in found.values():
        values = addon("scene.animation").read_values(curve)[1]
        assert values.min() >= 0.0 and values.max() <= 1.0 and np.ptp(values) > 0.3


def test_without_correctives_there_are_no_keys(api, tmp_path: Path) -> None:
    example = animated.make(3, shapes=0)
    collection = imported(api, tmp_path, example)
    assert part(collection, "hand", "left").data.shape_keys is None
    assert furthest(collection, example) < NEAR


def test_two_thousand_frames(addon, api, tmp_path: Path) -> None:
    """Only the result is tested; benchmarks/blender_import.py measures the time."""
    example = animated.make(2000, missing=(700, 701), filled=tuple(range(900, 910)), shapes=16)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example, surfaces=False))
    assert not problems
    rig = part(collection, "rig", "right")
    for action in addon("scene.animation").actions_of(rig):
        count = 1998 if action["im2hands_role"] == "clean" else 1988
        assert {len(one.keyframe_points) for one in addon("scene.animation").action_curves(action)} == {count}
    wanted = in_blender(animated.posed(keep(example, [0, 999, 1999]), "right"))
    for number, frame in enumerate((1, 1000, 2000)):
        bpy.context.scene.frame_set(frame)
        found = evaluated_vertices(part(collection, "hand", "right"))
        assert np.linalg.norm(found - wanted[number], axis=1).max() < NEAR
    blend = tmp_path / "long.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    assert blend.stat().st_size < 150e6


def keep(example: animated.Example, numbers: list[int]) -> animated.Example:
    """The example with only some of its frames."""
    hands = {
        side: dataclasses.replace(
            hand,
            status=hand.status[numbers],
            layers={
                name: {array: values[numbers] for array, values in layer.items()} for name, layer in hand.layers.items()
            },
        )
        for side, hand in example.hands.items()
    }
    return dataclasses.replace(example, frames=example.frames[numbers], hands=hands)


def test_provenance_is_in_the_file(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["clean"]["settings"] = {"smoothing": 1.5}
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    collection, _ = api.import_take(folder)
    assert json.loads(collection["im2hands_clean"])["settings"] == {"smoothing": 1.5}
    assert json.loads(collection["im2hands_provenance"]) == {"im2hands": "test"}


def test_evaluated_vertices_can_fail(api, tmp_path: Path) -> None:
    example = animated.make(2)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    bpy.context.scene.frame_set(1)
    found = evaluated_vertices(part(collection, "hand", "left"))
    assert np.linalg.norm(found - in_blender(animated.posed(example, "left")[1]), axis=1).max() > 1e-3
