"""Hold, retime, mirror and ease: what is seen on each frame, and that the clean motion below stays as it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from test_clean_hands import part

NEAR = 2e-4
FINGER, ROOT = "f_index.02", "forearm"


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def collection(api, tmp_path: Path) -> bpy.types.Collection:
    return api.import_take(animated.write(tmp_path / "take", animated.make(30), surfaces=False))[0]


def local(collection: bpy.types.Collection, side: str, bone: str) -> np.ndarray:
    """The pose of a bone in its parent's space on frames 1 to 30: (30, 4, 4)."""
    found = []
    for frame in range(1, 31):
        bpy.context.scene.frame_set(frame)
        rig = part(collection, "rig", side).evaluated_get(bpy.context.evaluated_depsgraph_get())
        pose = rig.pose.bones[f"{bone}.{side[0].upper()}"]
        found.append(np.array(pose.parent.matrix.inverted() @ pose.matrix if pose.parent else pose.matrix))
    return np.array(found)


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one - other).max(axis=(-1, -2))


@pytest.mark.parametrize(("mode", "smoothing"), [("QUATERNION", 0.5), ("XYZ", 1.0)])
def test_hold(api, collection, mode: str, smoothing: float) -> None:
    api.set_smoothing(collection, smoothing)
    api.set_rotation_mode(collection, mode)
    before = {(side, bone): local(collection, side, bone) for side in ("left", "right") for bone in (FINGER, ROOT)}
    api.hold(collection, 12, 10, 15, ease=4, sides=("left",))
    after = {key: local(collection, *key) for key in before}
    held = after["left", FINGER]
    assert apart(held[9:15], before["left", FINGER][11]).max() < NEAR
    assert apart(held, before["left", FINGER])[[*range(6), *range(18, 30)]].max() < NEAR, "not outside"
    step = apart(held[1:], held[:-1]).max()
    assert step < 2.5 * apart(before["left", FINGER][1:], before["left", FINGER][:-1]).max(), "it fades"
    for key in (("left", ROOT), ("right", FINGER), ("right", ROOT)):
        assert apart(after[key], before[key]).max() < NEAR
    api.hold(collection, 20, 20, 22, ease=2, sides=("left",), bones="ALL")
    assert apart(local(collection, "left", ROOT)[19:22], before["left", ROOT][19]).max() < NEAR


def test_the_tools_wait_for_a_take(api, collection) -> None:
    operators = [getattr(bpy.ops.im2hands, name) for name in
                 ("hold_pose", "ease_edits", "mirror_pose", "retime", "edit_above_clean")]  # fmt: skip
    assert all(operator.poll() for operator in operators)
    assert bpy.ops.im2hands.hold_pose(frame=4, first=3, last=5, side="left") == {"FINISHED"}
    assert bpy.ops.im2hands.mirror_pose(first=3, last=5) == {"FINISHED"}
    assert bpy.ops.im2hands.retime(frame=4, to=5, first=2, last=9, side="right") == {"FINISHED"}
    with pytest.raises(RuntimeError, match="longer range"):
        bpy.ops.im2hands.retime(frame=4, to=15, first=2, last=9)
    api.remove_take(collection)
    assert not any(operator.poll() for operator in operators)


def test_a_button_begins_around_the_current_frame(addon) -> None:
    scene = SimpleNamespace(use_preview_range=False, frame_current=50, frame_preview_start=7, frame_preview_end=9)
    context = SimpleNamespace(
        scene=scene, window_manager=SimpleNamespace(invoke_props_dialog=lambda _operator: "asked")
    )
    invoke = addon("operators.motion_range").MotionRange.invoke
    tool, plain = SimpleNamespace(reach=10, frame=0, to=0), SimpleNamespace(reach=10)
    assert invoke(tool, context, None) == invoke(plain, context, None) == "asked"
    assert vars(tool) == {"reach": 10, "frame": 50, "to": 50, "first": 40, "last": 60}
    assert vars(plain) == {"reach": 10, "first": 40, "last": 60}
    scene.use_preview_range = True
    invoke(plain, context, None)
    assert (plain.first, plain.last) == (7, 9)


def test_selected_bones(api, addon, collection) -> None:
    rig = part(collection, "rig", "left")
    for bone in rig.pose.bones:
        owner = bone if hasattr(bone, "select") else bone.bone
        owner.select = bone.name == f"{FINGER}.L"
    api.hold(collection, 12, 10, 15, bones="SELECTED")
    keyed = {curve.data_path.split('"')[1] for curve in addon("scene.animation").curves(rig)}
    assert keyed == {f"{FINGER}.L"}


def test_retime(api, collection) -> None:
    before = {bone: local(collection, "right", bone) for bone in (FINGER, ROOT)}
    api.retime(collection, 10, 14, 4, 20)
    for bone in (FINGER, ROOT):
        after = local(collection, "right", bone)
        assert apart(after[13], before[bone][9]) < NEAR
        assert apart(after[8], before[bone][6]) < 5e-3, "half-way before: frame 9 shows frame 7"
        assert apart(after, before[bone])[[*range(4), *range(19, 30)]].max() < NEAR


def test_mirror(api, collection) -> None:
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    before = {bone: local(collection, "right", bone) for bone in (FINGER, ROOT)}
    rigs = {side: part(collection, "rig", side) for side in ("left", "right")}
    rests = {}
    for side, rig in rigs.items():
        bone = rig.data.bones[f"{FINGER}.{side[0].upper()}"]
        rests[side] = np.array(bone.matrix_local), np.array(bone.parent.matrix_local)
    api.mirror(collection, "left", 10, 12, ease=3)
    left, right = local(collection, "left", FINGER), local(collection, "right", FINGER)
    for row in (9, 10, 11):
        # The motion from the rest pose on, in the space of the rig: that of one hand is the other's in a mirror.
        motions = [
            rests[side][1] @ pose[row] @ np.linalg.inv(rests[side][0])
            for side, pose in (("left", left), ("right", right))
        ]
        np.testing.assert_allclose((flip @ motions[0] @ flip)[:3, :3], motions[1][:3, :3], atol=1e-4)
    assert apart(right, before[FINGER])[[*range(6), *range(15, 30)]].max() < NEAR
    assert apart(right, before[FINGER])[9:12].min() > 0.01
    assert apart(local(collection, "right", ROOT), before[ROOT]).max() < NEAR


def test_ease(api, addon, collection) -> None:
    before = local(collection, "left", FINGER)
    with pytest.raises(addon("errors").InputError, match="Nothing is keyed"):
        api.ease_out(collection, 15, 10, 20)
    api.edit_above_clean(collection)
    bpy.context.scene.frame_set(15)
    bone = part(collection, "rig", "left").pose.bones[f"{FINGER}.L"]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), 0.8)
    bone.keyframe_insert("rotation_quaternion", frame=15)
    keyed = local(collection, "left", FINGER)
    assert apart(keyed, before).min() > 0.1, "one key of a layer holds everywhere"
    assert bpy.ops.im2hands.ease_edits(first=10, last=20, frame=15) == {"FINISHED"}
    eased = local(collection, "left", FINGER)
    assert apart(eased[14], keyed[14]) < NEAR
    assert apart(eased, before)[[*range(10), *range(19, 30)]].max() < NEAR
    assert 0.05 < apart(eased[11], before[11]) < apart(eased[13], before[13])


def test_what_cannot_be(api, addon, collection, tmp_path: Path) -> None:
    error = addon("errors").InputError
    for work, text in (
        (lambda: api.hold(collection, 5, 9, 3), "run backwards"),
        (lambda: api.hold(collection, 5, 3, 9, ease=0), "at least one frame"),
        (lambda: api.hold(collection, 5, 3, 9, bones="SELECTED"), "selected"),
        (lambda: api.retime(collection, 5, 25, 3, 20), "not between"),
        (lambda: api.mirror(collection, "middle", 3, 9), "only one hand"),
    ):
        with pytest.raises(error, match=text):
            work()
    part(collection, "rig", "left").animation_data.action_blend_type = "REPLACE"
    with pytest.raises(error, match="replaces the clean motion"):
        api.edit_above_clean(collection)
        part(collection, "rig", "left").animation_data.action_blend_type = "REPLACE"
        api.hold(collection, 5, 3, 9)


def test_a_linked_or_overridden_take(api, addon, collection, tmp_path: Path) -> None:
    blend = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(blend), link=True) as (there, here):
        here.collections = [name for name in there.collections if name == "take"]
    (linked,) = here.collections
    bpy.context.scene.collection.children.link(linked)
    overridden = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    for one in (linked, overridden):
        for work in (
            lambda one=one: api.edit_above_clean(one), lambda one=one: api.hold(one, 5, 3, 9),
            lambda one=one: api.mirror(one, "left", 3, 9), lambda one=one: api.ease_out(one, 5, 3, 9),
            lambda one=one: api.reclean(one, smoothing=0.1), lambda one=one: api.retime(one, 5, 6, 3, 9),
        ):  # fmt: skip
            with pytest.raises(addon("errors").InputError, match="linked"):
                work()
