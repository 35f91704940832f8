"""Fingertips pinned to the other hand or to an object: they stay, the motion keeps its keys, and pins go away again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import numpy as np
import pytest
from test_clean_hands import evaluated_vertices, part
from test_interface import draw


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def take(api, tmp_path: Path) -> SimpleNamespace:
    """A take of twelve frames: the hands move little, so that a finger can stay where it is."""
    example = animated.make(12)
    for hand in example.hands.values():
        for layer in hand.layers.values():
            for values in layer.values():
                values[:] = values[5] + 0.05 * (values - values[5])
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    rigs = {side: part(collection, "rig", side) for side in ("left", "right")}
    return SimpleNamespace(folder=folder, collection=collection, rigs=rigs)


def tail(rig: bpy.types.Object, frame: float, bone: str = "f_index.03.L") -> np.ndarray:
    bpy.context.scene.frame_set(int(frame), subframe=frame % 1)
    seen = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array(seen.matrix_world @ seen.pose.bones[bone].tail)


def keys(rig: bpy.types.Object) -> list[tuple]:
    from_animation = rig.animation_data
    actions = [from_animation.action, *(strip.action for track in from_animation.nla_tracks for strip in track.strips)]
    return [
        (curve.data_path, curve.array_index, [tuple(key.co) for key in curve.keyframe_points])
        for action in actions
        for curve in (
            action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves
        )
    ]


def plate(place: np.ndarray) -> bpy.types.Object:
    """A square above a place, in reach of the finger."""
    mesh = bpy.data.meshes.new("Plate")
    corners = [(-0.1, -0.1, 0.0), (0.1, -0.1, 0.0), (0.1, 0.1, 0.0), (-0.1, 0.1, 0.0)]
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    thing = bpy.data.objects.new("Plate", mesh)
    thing.location = place + np.array([0.0, 0.0, 0.008])
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.update()
    return thing


def test_a_fingertip_stays_on_an_object(addon, api, take: SimpleNamespace) -> None:
    rig, before = take.rigs["left"], keys(take.rigs["left"])
    free = {frame: tail(rig, frame) for frame in range(1, 13)}
    thing = plate(tail(rig, 6))
    bpy.context.scene.frame_set(6)
    pin = api.pin_fingertip(take.collection, "left", "index", 5, 7, target=thing, blend=2)
    pinned = {frame: tail(rig, frame) for frame in range(1, 13)}
    place = np.array(pin.matrix_world.translation)
    assert max(np.linalg.norm(pinned[frame] - place) for frame in (5, 6, 7)) < 0.002
    assert np.linalg.norm(free[6] - place) > 0.003
    for frame in (1, 2, 3, 9, 10, 12):
        assert np.linalg.norm(pinned[frame] - free[frame]) < 1e-5, frame
    assert 0 < np.linalg.norm(pinned[4] - free[4]) < np.linalg.norm(place - free[4])
    thing.location.x += 0.004
    assert tail(rig, 6)[0] - pinned[6][0] == pytest.approx(0.004, abs=0.001), "it follows the object"
    bpy.context.scene.frame_set(6)
    skin = evaluated_vertices(part(take.collection, "hand", "left"))
    near = skin[np.linalg.norm(skin - tail(rig, 6), axis=1) < 0.012]
    assert np.abs(near[:, 2] - thing.location.z).min() < 0.003, "the skin touches"
    samples = addon("scene.sampling").sample(rig, None, [6])
    bone = samples.world[0, samples.bones.index("f_index.03.L")]
    length = rig.pose.bones["f_index.03.L"].length
    assert np.linalg.norm((bone @ (0.0, length, 0.0, 1.0))[:3] - place - (0.004, 0.0, 0.0)) < 0.002, "bakes see it"
    assert keys(rig) == before, "the motion keeps its keys"
    api.unpin_fingertip(take.collection, pin.name)
    assert np.linalg.norm(tail(rig, 6) - free[6]) < 1e-5
    assert not rig.animation_data.drivers and not rig.pose.bones["f_index.03.L"].constraints


def test_a_fingertip_stays_on_the_other_hand(api, take: SimpleNamespace) -> None:
    collection, rig = take.collection, take.rigs["left"]
    rig.location = tail(take.rigs["right"], 6, "f_middle.01.R") - tail(rig, 6)  # one finger in the other, on frame 6
    bpy.context.scene.frame_set(6)
    pin = api.pin_fingertip(collection, "left", "index", 4, 8)
    assert pin.parent == take.rigs["right"] and pin.parent_type == "BONE"
    for frame in (4, 6, 8):
        at = tail(rig, frame)
        assert np.linalg.norm(at - np.array(pin.matrix_world.translation)) < 0.004, frame
    again, problems = api.import_take(take.folder)
    assert not any("you added" in one and "Pin" in one for one in problems)
    pin = next(one for one in again.objects if one.get("im2hands_role") == "finger pin")
    rig = part(again, "rig", "left")
    assert pin.parent == part(again, "rig", "right")
    assert len(rig.pose.bones["f_index.03.L"].constraints) == 1
    at = tail(rig, 6)
    assert np.linalg.norm(at - np.array(pin.matrix_world.translation)) < 0.004, "it holds on the new hands"


def test_pins_by_buttons(api, take: SimpleNamespace) -> None:
    bpy.context.scene.frame_set(6)
    name = take.collection.name
    assert bpy.ops.im2hands.pin_fingertip(take=name, side="right", finger="thumb", first=3, last=5) == {"FINISHED"}
    assert bpy.ops.im2hands.pin_fingertip(take=name, side="right", finger="thumb", first=4, last=4) == {"FINISHED"}
    (pin,) = [one for one in take.collection.objects if one.get("im2hands_role") == "finger pin"]
    texts = draw("VIEW3D_PT_im2hands_corrections").texts
    assert any("4: right thumb on left hand" in text for text in texts)
    with pytest.raises(RuntimeError, match="run backwards"):
        bpy.ops.im2hands.pin_fingertip(take=name, side="left", finger="ring", first=5, last=3)
    with pytest.raises(RuntimeError, match="own hand"):
        mine = part(take.collection, "hand", "left").name
        bpy.ops.im2hands.pin_fingertip(take=name, side="left", finger="ring", first=5, last=6, target=mine)
    assert bpy.ops.im2hands.unpin_fingertip(take=name, pin=pin.name) == {"FINISHED"}
    with pytest.raises(RuntimeError, match="no pin"):
        bpy.ops.im2hands.unpin_fingertip(take=name, pin="Pin of nothing")


def test_pins_go_with_the_take(api, take: SimpleNamespace) -> None:
    api.pin_fingertip(take.collection, "left", "index", 4, 8)
    api.remove_take(take.collection)
    assert not [one for one in bpy.data.objects if one.name.startswith("Pin ")]
