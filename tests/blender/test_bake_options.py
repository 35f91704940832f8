"""How a bake is written: range, offset, layer, reduced keys, own bone names; and rigs and scenes of all kinds."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
from test_interface import draw
from test_retarget import NEAR_DEGREES, character, compare, named

MAP = "mixamo"


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def take(api, tmp_path: Path):
    example = animated.make(9)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example, surfaces=False))
    return collection, example


@pytest.fixture
def target(addon, take) -> bpy.types.Object:
    return character(take[1], named(addon, MAP), bend=0.1, rolls=0.4, scale=1.0)


def curves(addon, target: bpy.types.Object, bone: str) -> list[bpy.types.FCurve]:
    return [one for one in addon("scene.animation").curves(target) if f'"{bone}"' in one.data_path]


def frames_of(curve: bpy.types.FCurve) -> list[float]:
    return [point.co[0] for point in curve.keyframe_points]


def test_a_range_leaves_the_keys_outside_it(addon, api, take, target) -> None:
    api.bake_to_rig(take[0], target)
    bone = named(addon, MAP)["left", "f_index.01"]
    before = {point.co[0]: point.co[1] for point in curves(addon, target, bone)[1].keyframe_points}
    for curve in curves(addon, target, bone):
        for point in curve.keyframe_points:
            point.co[1] += 0.1
    api.bake_to_rig(take[0], target, frames=(3, 5))
    after = {point.co[0]: point.co[1] for point in curves(addon, target, bone)[1].keyframe_points}
    assert after.keys() == before.keys()
    for frame, value in after.items():
        assert value == pytest.approx(before[frame] + (0.0 if 3 <= frame <= 5 else 0.1), abs=1e-5)


def test_an_offset_moves_the_keys(addon, api, take, target) -> None:
    api.bake_to_rig(take[0], target, frames=(1, 9), offset=100)
    bone = named(addon, MAP)["right", "thumb.02"]
    assert frames_of(curves(addon, target, bone)[0]) == list(range(101, 110))
    later = [curve.evaluate(103) for curve in curves(addon, target, bone)]
    target.animation_data_clear()
    api.bake_to_rig(take[0], target, frames=(1, 9))
    np.testing.assert_allclose([curve.evaluate(3) for curve in curves(addon, target, bone)], later, atol=1e-6)


@pytest.mark.parametrize("into", ["ACTION", "NEW", "LAYER"])
def test_where_the_keys_go(addon, api, take, target, into: str) -> None:
    """The old action stays as it was in the file, and its other motion stays effective."""
    names = named(addon, MAP)
    write = addon("scene.animation").write_curve
    write(target, "location", [1, 9], [2.0, 3.0])
    write(target, f'pose.bones["{names["left", "hand"]}"].rotation_quaternion', [1, 9], [0.5, 0.5], index=1)
    old = target.animation_data.action
    baked = api.bake_to_rig(take[0], target, into=into)
    assert compare(target, take[1], names) < NEAR_DEGREES
    bpy.context.scene.frame_set(9)
    assert target.location.x == pytest.approx(3.0)
    now = target.animation_data.action
    assert baked.action == now.name and (now == old) == (into == "ACTION")
    count = len(addon("scene.animation").action_curves(old))
    assert (count == 2) == (into != "ACTION"), "the old action has its own two curves only"
    assert old.users > 0
    again = api.bake_to_rig(take[0], target, into="LAYER" if into == "LAYER" else "ACTION")
    assert again.action == baked.action, "a layer is used again"


def test_fewer_keys_within_a_stated_error(addon, api, take, target) -> None:
    names = named(addon, MAP)
    whole = api.bake_to_rig(take[0], target)
    assert whole.key_count == whole.frame_count and whole.degrees < 1e-3 and "keys:" not in whole.told("rig")
    exact = {name: [[one.evaluate(k) for one in curves(addon, target, name)] for k in range(1, 10)]
             for name in names.values() if curves(addon, target, name)}  # fmt: skip
    baked = api.bake_to_rig(take[0], target, reduce_degrees=1.0)
    assert baked.key_count < 0.7 * baked.frame_count and 0.0 < baked.degrees <= 1.0
    assert f"{baked.key_count} of {baked.frame_count} keys: a bone is within {baked.degrees:.2f}" in baked.told("rig")
    worst = 0.0
    for name, before in exact.items():
        for frame, one in enumerate(before, start=1):
            now = np.array([curve.evaluate(frame) for curve in curves(addon, target, name)])
            cosine = abs(np.dot(now / np.linalg.norm(now), one / np.linalg.norm(one)))
            worst = max(worst, float(np.degrees(2 * np.arccos(min(1.0, cosine)))))
    assert worst == pytest.approx(baked.degrees, abs=0.05), "what is stated is measured"


def test_one_hand(api, take, target) -> None:
    assert list(api.bake_to_rig(take[0], target, sides=("right",)).bones) == ["right"]


def test_the_table_of_bone_names(addon, api, take, target, tmp_path: Path, monkeypatch) -> None:
    """It is filled by a map, changed, used, saved and loaded again."""
    names, operators = named(addon, MAP), addon("operators.load_bone_map")
    for module in (operators, addon("operators.save_bone_map")):
        monkeypatch.setattr(module, "bone_map_presets", lambda: tmp_path / "presets")
    settings = bpy.context.scene.im2hands_bake
    assert not bpy.ops.im2hands.load_bone_map.poll() and not bpy.ops.im2hands.save_bone_map.poll()
    settings.target = target
    target.data.bones[names["left", "f_index.01"]].name = "Zeigefinger"
    assert bpy.ops.im2hands.load_bone_map(chosen="AUTO") == {"FINISHED"}
    assert settings.bone_map == "TABLE" and settings.map_name == "Mixamo"
    row = settings.rows["f_index.01"]
    assert row.left == "" and row.right == names["right", "f_index.01"]
    row.left, settings.map_name = "Zeigefinger", "Mein Rig"
    assert bpy.ops.im2hands.bake_to_rig(target=target.name, bone_map="TABLE") == {"FINISHED"}
    assert curves(addon, target, "Zeigefinger")
    assert compare(target, take[1], {**names, ("left", "f_index.01"): "Zeigefinger"}) < NEAR_DEGREES
    assert bpy.ops.im2hands.save_bone_map() == {"FINISHED"}
    (saved,) = operators.saved_maps()
    assert draw("IM2HANDS_MT_bone_maps").operators.count("im2hands.load_bone_map") == 7
    settings.rows.clear()
    assert bpy.ops.im2hands.load_bone_map(chosen=str(saved)) == {"FINISHED"}
    assert settings.rows["f_index.01"].left == "Zeigefinger" and settings.map_name == "Mein Rig"
    assert api.bake_to_rig(take[0], target, bone_map=saved).map_name == "Mein Rig"


def test_a_rig_with_bones_missing(addon, api, take) -> None:
    """A hand of three fingers, and no right hand: what is there is keyed, what is not is told."""
    names = {key: name for key, name in named(addon, MAP).items()
             if key[0] == "left" and not key[1].startswith(("f_ring", "f_pinky", "thumb.03"))}  # fmt: skip
    target = character(take[1], names, bend=0.1, rolls=0.4, scale=1.0)
    baked = api.bake_to_rig(take[0], target)
    assert list(baked.bones) == ["left"] and len(baked.bones["left"]) == len(names)
    told = baked.told("rig")
    assert all(name in told for name in ("f_ring.01", "f_pinky.03", "thumb.03", "no such bones"))
    assert compare(target, take[1], names) < NEAR_DEGREES


def test_a_library_override(addon, api, take, target, tmp_path: Path) -> None:
    """The action of the linked character cannot be changed: its override gets a copy."""
    addon("scene.animation").write_curve(target, "location", [1, 9], [2.0, 3.0])
    blend = tmp_path / "character.blend"
    bpy.data.libraries.write(str(blend), {target})
    bpy.data.objects.remove(target)
    with bpy.data.libraries.load(str(blend), link=True) as (there, here):
        here.objects = [name for name in there.objects if name.startswith("Character")]
    (linked,) = here.objects
    with pytest.raises(addon("errors").InputError, match="linked from another file"):
        api.bake_to_rig(take[0], linked)
    override = linked.override_create()
    bpy.context.scene.collection.objects.link(override)
    for into in ("ACTION", "LAYER"):
        api.bake_to_rig(take[0], override, into=into)
        assert override.animation_data.action.library is None
        assert compare(override, take[1], named(addon, MAP)) < NEAR_DEGREES
    assert linked.animation_data.action.library is not None
    assert len(addon("scene.animation").action_curves(linked.animation_data.action)) == 1


def test_a_scene_in_feet_at_23_976(addon, api, tmp_path: Path) -> None:
    scene = bpy.context.scene
    scene.unit_settings.scale_length = 0.3048
    scene.render.fps, scene.render.fps_base = 24, 1.001
    scene.frame_end = 300
    example = animated.make(9)
    folder = animated.write(tmp_path / "take", example, kind="video", surfaces=False)
    collection, _ = api.import_take(folder, set_scene=False, timing=api.Timing(is_conformed=True))
    rig = next(one for one in collection.all_objects if one.name == "Rig.L")
    target = character(example, named(addon, MAP), bend=0.1, rolls=0.4, scale=1.0)
    api.bake_to_rig(collection, target, frames=(1, 8))
    name = named(addon, MAP)["left", "f_middle.02"]
    for frame in range(1, 9):
        scene.frame_set(frame)
        ours = np.array((rig.matrix_world @ rig.pose.bones["f_middle.02.L"].matrix).to_3x3().col[1].normalized())
        theirs = np.array((target.matrix_world @ target.pose.bones[name].matrix).to_3x3().col[1].normalized())
        assert np.degrees(np.arccos(np.clip(ours @ theirs, -1, 1))) < NEAR_DEGREES


def test_the_settings_of_the_panel_are_those_of_the_bake(addon) -> None:
    scene = bpy.context.scene
    settings, options_of = scene.im2hands_bake, addon("bake_settings").options_of
    usual = options_of(settings, scene)
    assert usual["frames"] is None
    given = {"bone_map": "mixamo", "wrist": False, "offset": 3, "into": "NEW", "reduce_degrees": 1.5}
    for name, value in {**given, "use_range": True, "first": 2, "last": 5}.items():
        setattr(settings, name, value)
    assert options_of(settings, scene) == {**given, "frames": (2, 5), "scene": scene}


def test_the_character_follows_live(addon, api, take, target) -> None:
    """It is baked again after a change that rests, and only then; timers do not fire here."""
    live, settings = addon("live_bake"), bpy.context.scene.im2hands_bake
    assert not bpy.ops.im2hands.follow_take.poll()
    settings.target = target
    assert bpy.ops.im2hands.follow_take() == {"FINISHED"} and live.is_on()
    names = named(addon, MAP)
    assert compare(target, take[1], names) < NEAR_DEGREES
    target.animation_data_clear()
    for _ in range(3):
        live._tick()
    assert target.animation_data is None, "nothing changed"
    api.set_smoothing(take[0], 0.0)
    live._tick()
    assert target.animation_data is None, "it has just changed"
    assert live._tick() is not None
    assert target.animation_data.action is not None and compare(target, take[1], names) > NEAR_DEGREES
    target.animation_data_clear()
    next(one for one in take[0].objects if one.name.endswith("Origin")).location.x += 0.1
    bpy.context.view_layer.update()
    live._tick(), live._tick()
    assert target.animation_data is not None, "the take was moved"
    settings.into = "NEW"
    live._tick(), live._tick()
    assert not live.is_on(), "it ends in words"
    settings.into = "LAYER"
    assert bpy.ops.im2hands.follow_take() == {"FINISHED"} and bpy.ops.im2hands.follow_take() == {"FINISHED"}
    assert not live.is_on() and not bpy.app.timers.is_registered(live._tick)
    assert bpy.ops.im2hands.follow_take() == {"FINISHED"} and live.is_on()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert not live.is_on(), "its scene is gone"


def test_the_panels(addon, api, take, target) -> None:
    shown = draw("VIEW3D_PT_im2hands_bake")
    assert {"im2hands.bake_to_rig", "im2hands.follow_take"} <= set(shown.operators)
    assert draw("IM2HANDS_MT_characters").operators == ["im2hands.choose_character"]
    assert bpy.ops.im2hands.choose_character(target=target.name) == {"FINISHED"}
    bpy.ops.im2hands.load_bone_map(chosen=MAP)
    shown = draw("VIEW3D_PT_im2hands_bake")
    assert {"left", "right"} <= set(shown.properties) and "im2hands.save_bone_map" in shown.operators
    rig = next(one for one in take[0].all_objects if one.type == "ARMATURE")
    with pytest.raises(RuntimeError, match="armature of this scene"):
        bpy.ops.im2hands.choose_character(target=rig.name)
    shown = draw("VIEW3D_PT_im2hands_motion")
    tools = ("reclean", "edit_above_clean", "hold_pose", "ease_edits", "mirror_pose", "retime")
    assert {f"im2hands.{name}" for name in tools} <= set(shown.operators)
    api.edit_above_clean(take[0])
    assert "im2hands.edit_above_clean" not in draw("VIEW3D_PT_im2hands_motion").operators
