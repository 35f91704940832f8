"""Conventions of Blender: tooltips and reasons everywhere, lists instead of typed names, units, manual, presets."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import extension_zip
import pytest
from test_interface import PANELS, draw

from conftest import MODULE

INHERITED = {"filepath", "check_existing", "filter_glob", "name", "remove_name", "remove_active"}
"""Properties of Blender's own helpers."""


def own_properties(struct: object) -> list[bpy.types.Property]:
    return [
        one
        for one in struct.properties
        if one.identifier != "rna_type" and one.identifier not in INHERITED and not one.is_hidden
    ]


def test_there_is_something_to_walk() -> None:
    texts = [path.read_text("utf-8") for path in (extension_zip.ROOT / "im2hands_addon").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r'bl_idname = "im2hands\.(\w+)"', text)}
    assert len(named) > 30 and named <= set(dir(bpy.ops.im2hands))


def test_every_operator_has_a_tooltip_and_says_why_it_is_off() -> None:
    silent = []
    for name in dir(bpy.ops.im2hands):
        operator = getattr(bpy.ops.im2hands, name)
        kind = operator.get_rna_type()
        if not kind.description:
            silent.append(name)
        silent += [f"{name}.{one.identifier}" for one in own_properties(kind) if not (one.description and one.name)]
        for one in own_properties(kind):
            if one.type == "ENUM":
                silent += [
                    f"{name}.{one.identifier}.{item.identifier}" for item in one.enum_items if not item.description
                ]
        if not operator.poll():
            with pytest.raises(RuntimeError) as caught:
                operator()
            if "context is incorrect" in str(caught.value):
                silent.append(f"{name}.poll")
    assert not silent


def test_every_setting_has_a_tooltip() -> None:
    preferences = bpy.context.preferences.addons[MODULE].preferences
    settings = bpy.context.scene.im2hands.bl_rna
    silent = [
        f"{struct.identifier}.{one.identifier}"
        for struct in (settings, settings.properties["inputs"].fixed_type.bl_rna)
        for one in own_properties(struct)
        if not (one.name and one.description)
    ]
    names = [*type(preferences).__annotations__]
    silent += [name for name in names if not preferences.bl_rna.properties[name].description]
    takes = [one for one in bpy.types.Collection.bl_rna.properties if one.identifier.startswith("im2hands_")]
    assert takes
    silent += [one.identifier for one in takes if not one.description]
    assert not silent


def test_takes_and_armatures_are_picked_from_a_list(addon, tmp_path: Path) -> None:
    addon("api").import_take(animated.write(tmp_path / "take", animated.make(2)))
    of_take = addon("operators.of_take")
    assert of_take.take_names(None, bpy.context, "TA") == ["take"] and not of_take.take_names(None, bpy.context, "x")
    assert sorted(of_take.armature_names(None, bpy.context, "")) == ["Rig.L", "Rig.R"]
    hero = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    bpy.context.scene.collection.objects.link(hero)
    names = addon("operators.choose_character").character_names
    assert names(None, bpy.context, "") == ["Hero"], "nothing is baked onto the rigs of takes"
    assert of_take.armature_names(None, bpy.context, "hE") == names(None, bpy.context, "hE") == ["Hero"]
    assert not of_take.armature_names(None, bpy.context, "x") and not names(None, bpy.context, "x")


def test_numbers_have_units() -> None:
    properties = bpy.context.scene.im2hands.bl_rna.properties
    shown = {name: (properties[name].subtype, properties[name].unit) for name in ("voxel_mm", "palm_mm", "focal_px")}
    assert shown["voxel_mm"] == shown["palm_mm"] == ("DISTANCE_CAMERA", "CAMERA")
    assert shown["focal_px"][0] == "PIXEL" and "°" in properties["fov"].name


def test_f1_opens_the_manual_of_the_extension(addon) -> None:
    prefix, patterns = addon("manual_links").links()
    assert prefix.startswith("file://") and prefix.endswith("/manual/")
    lookup = bpy.types.WM_OT_doc_view_manual._lookup_rna_url
    for name, page in (
        ("bpy.ops.im2hands.reconstruct", "blender.html"),
        ("bpy.types.Im2HandsSettings.voxel_mm", "options.html"),
        ("bpy.types.Im2HandsPreferences.machine", "blender.html#set-up-the-backend"),
    ):
        assert lookup(name, verbose=False) == prefix + page
    text = (extension_zip.ROOT / "docs" / "blender.md").read_text("utf-8")
    parts = {re.sub(r"[^\w-]", "", line.lower().replace(" ", "-")) for line in re.findall(r"^#+ (.*)$", text, re.M)}
    for _, target in patterns:
        page, _, part = target.partition("#")
        assert (extension_zip.ROOT / "docs" / f"{page.removesuffix('.html')}.md").is_file()
        assert not part or part in parts, target


def test_a_preset_keeps_the_options(addon) -> None:
    settings, presets = bpy.context.scene.im2hands, addon("presets")
    panel = presets.VIEW3D_PT_im2hands_presets
    assert hasattr(bpy.types, panel.__name__) and panel.bl_region_type == "HEADER", "no tab of its own in the sidebar"
    names = [value.removeprefix("settings.") for value in presets.Im2HandsAddPreset.preset_values]
    assert {"voxel_mm", "smoothing", "refine", "step"} <= set(names)
    assert not [name for name in names if not hasattr(settings, name)]
    settings.voxel_mm, settings.refine = 3.0, False
    assert bpy.ops.im2hands.add_preset(name="Coarse") == {"FINISHED"}
    settings.voxel_mm, settings.refine = 1.0, True
    (path,) = Path(bpy.utils.user_resource("SCRIPTS", path="presets/im2hands")).glob("*.py")
    bpy.ops.script.execute_preset(filepath=str(path), menu_idname="VIEW3D_PT_im2hands_presets")
    assert settings.voxel_mm == pytest.approx(3.0) and not settings.refine
    path.unlink()


def test_only_what_changed_is_drawn(addon, fake_backend, photo: Path, tmp_path: Path, monkeypatch) -> None:
    running, drawn = addon("running"), []
    running.stop()
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("silent"))
    running.follow(started)
    now = [100.0]
    monkeypatch.setattr(running, "redraw", lambda: drawn.append(1))
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(running._state, "drawn", 0.0)
    monkeypatch.setattr(running._state, "shown", None)
    running._redraw_changes()
    before = len(drawn)
    for _ in range(5):
        running._redraw_changes()
    assert len(drawn) == before, "nothing has changed"
    started.job.progress.done, started.job.progress.total = 1, 2
    running._redraw_changes()
    assert len(drawn) == before, "it was drawn just now"
    now[0] += 1.0
    running._redraw_changes()
    assert len(drawn) == before + 1
    started.fail(addon("errors").AddonError("Out of luck."))
    assert not running.is_reconstructing()
    running._redraw_changes()
    assert len(drawn) == before + 2, "the end is drawn at once: no timer comes again"
    running.stop()


def test_a_redraw_leaves_the_picture_of_the_view_alone(addon, monkeypatch) -> None:
    tagged = []

    def thing(kind: str, **more: object) -> SimpleNamespace:
        return SimpleNamespace(type=kind, tag_redraw=lambda: tagged.append(kind), **more)

    view = thing("VIEW_3D", regions=[thing("WINDOW"), thing("UI")])
    window = SimpleNamespace(screen=SimpleNamespace(areas=[view, thing("PREFERENCES"), thing("OUTLINER")]))
    manager = SimpleNamespace(windows=[window])
    monkeypatch.setattr(addon("running"), "bpy", SimpleNamespace(context=SimpleNamespace(window_manager=manager)))
    addon("running").redraw()
    assert tagged == ["UI", "PREFERENCES"]


def test_panels_tell_long_texts_in_lines(addon, fake_backend, tmp_path: Path) -> None:
    """A label is cut off at the panel's edge: what depends on files or answers is wrapped to its width."""
    bpy.context.preferences.addons[MODULE].preferences.backend = str(tmp_path / ("long " * 30))
    lines = draw(PANELS[0]).texts
    assert max(map(len, lines)) < 60
