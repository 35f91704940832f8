"""Every panel can be drawn in every state, and uses only existing properties, operators and icons."""

from __future__ import annotations

import argparse
import builtins
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import pytest
import synthetic
from test_clean_hands import part

from conftest import MODULE

ICONS = set(bpy.types.UILayout.bl_rna.functions["prop"].parameters["icon"].enum_items.keys())
PANELS = ("VIEW3D_PT_im2hands", "VIEW3D_PT_im2hands_options", "VIEW3D_PT_im2hands_takes")


class OperatorProperties:
    """Stands in for the operator properties of a button; setting an unknown property fails."""

    def __init__(self, rna: bpy.types.Struct) -> None:
        object.__setattr__(self, "rna", rna)

    def __setattr__(self, name: str, value: object) -> None:
        assert name in self.rna.properties, f"{self.rna.identifier} has no {name}"


class Layout:
    """Stands in for a layout; checks every name against RNA and records texts and operators."""

    def __init__(self, seen: SimpleNamespace | None = None) -> None:
        self.seen = seen or SimpleNamespace(texts=[], operators=[], properties=[], progress=[])

    def _inner(self, **_options: object) -> Layout:
        return Layout(self.seen)

    row = column = box = split = _inner

    def label(self, *, text: str = "", icon: str = "NONE") -> None:
        assert icon in ICONS, icon
        assert isinstance(text, str)
        self.seen.texts.append(text)

    def prop(
        self,
        data: object,
        name: str,
        *,
        text: str | None = None,
        icon: str = "NONE",
        slider: bool = False,
        toggle: bool = False,
    ) -> None:
        assert name in data.bl_rna.properties, f"{data.bl_rna.identifier} has no {name}"
        assert icon in ICONS, icon
        self.seen.properties.append(name)

    def operator(self, identifier: str, *, text: str | None = None, icon: str = "NONE") -> OperatorProperties:
        assert icon in ICONS, icon
        module, name = identifier.split(".")
        self.seen.operators.append(identifier)
        return OperatorProperties(getattr(getattr(bpy.ops, module), name).get_rna_type())

    def menu(self, name: str, *, text: str | None = None, icon: str = "NONE") -> None:
        assert icon in ICONS, icon
        getattr(bpy.types, name).draw(SimpleNamespace(layout=self), bpy.context)

    def separator(self) -> None:
        pass

    def prop_search(self, data: object, name: str, search: object, property: str, *, text: str = "") -> None:
        assert property in search.bl_rna.properties
        self.prop(data, name, text=text)

    def progress(self, *, factor: float, text: str = "") -> None:
        assert 0.0 <= factor <= 1.0
        self.seen.progress.append(text)


def draw(panel: str) -> SimpleNamespace:
    """Draw a panel of the sidebar and return what it showed."""
    layout = Layout()
    getattr(bpy.types, panel).draw(SimpleNamespace(layout=layout), bpy.context)
    return layout.seen


def draw_preferences(addon) -> SimpleNamespace:
    layout = Layout()
    own = bpy.context.preferences.addons[MODULE].preferences
    names = [one.identifier for one in own.bl_rna.properties if one.identifier in type(own).__annotations__]
    fields = {name: getattr(own, name) for name in names}
    stand_in = SimpleNamespace(layout=layout, bl_rna=own.bl_rna, **fields)
    addon("preferences").Im2HandsPreferences.draw(stand_in, bpy.context)
    return layout.seen


@pytest.fixture(autouse=True)
def no_old_job(addon):
    addon("running").stop()
    yield
    addon("running").stop()


def follow_to_the_end(addon, started) -> None:
    """Call the timer's function until the work has ended, because timers never fire here."""
    running = addon("running")
    running.follow(started)
    end = time.monotonic() + 60
    while running._tick() is not None:
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def no_disk() -> Iterator[None]:
    """A context in which any access of Python code to the disk fails the test."""

    def refuse(*arguments: object, **_options: object) -> None:
        raise AssertionError(f"the disk is asked for {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("stat", "lstat", "access", "scandir", "listdir", "open", "mkdir"):
            patch.setattr(os, name, refuse)
        for name in ("exists", "is_file", "is_dir", "open", "stat", "glob", "iterdir", "resolve"):
            patch.setattr(Path, name, refuse)
        patch.setattr(builtins, "open", refuse)
        patch.setattr(bpy.utils, "extension_path_user", refuse)
        yield


def test_the_stand_in_can_fail() -> None:
    layout = Layout()
    with pytest.raises(AssertionError):
        layout.prop(bpy.context.scene, "no_such_property")
    with pytest.raises(AssertionError):
        layout.label(icon="NO_SUCH_ICON")
    with pytest.raises((AssertionError, KeyError)):
        layout.operator("im2hands.no_such_operator")
    with pytest.raises(AssertionError):
        layout.operator("im2hands.go_to_frame").place = 1


@pytest.mark.parametrize("panel", PANELS)
def test_empty_scene(panel: str) -> None:
    shown = draw(panel)
    assert shown.operators or shown.properties


def test_panels_are_in_the_sidebar() -> None:
    for name in PANELS:
        panel = getattr(bpy.types, name)
        assert (panel.bl_space_type, panel.bl_region_type, panel.bl_category) == ("VIEW_3D", "UI", "Im2Hands")


@pytest.mark.parametrize("keypoints", ["auto", "mediapipe", "network", "file"])
@pytest.mark.parametrize("camera", ["assumed", "focal", "fov", "file"])
def test_options(keypoints: str, camera: str) -> None:
    settings = bpy.context.scene.im2hands
    settings.use_range, settings.keypoints, settings.camera = True, keypoints, camera
    shown = draw("VIEW3D_PT_im2hands_options").properties
    assert {"frame_start", "frame_end", "step"} <= set(shown)
    assert ("keypoints_file" in shown) == (keypoints == "file")
    assert ("hands" in shown) == (keypoints != "file") == ("mirrored" in shown)
    wanted = {"focal": "focal_px", "fov": "fov", "file": "camera_file"}
    assert [name for one, name in wanted.items() if name in shown] == [wanted[one] for one in wanted if one == camera]


def test_backend_state(fake_backend, tmp_path: Path) -> None:
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend = str(tmp_path / "gone")
    shown = draw(PANELS[0])
    assert "is not there" in " ".join(shown.texts) and "preferences.addon_show" in shown.operators
    own.backend = fake_backend("good")
    shown = draw(PANELS[0])
    assert (
        "Backend: named in the preferences" in " ".join(shown.texts) and "preferences.addon_show" not in shown.operators
    )


def test_drawing_asks_nothing_of_the_disk(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    addon("api").import_take(animated.write(tmp_path / "take", animated.make(2)))
    started = addon("api").start(photo, tmp_path / "job", backend=fake_backend("good"))
    addon("running").follow(started)
    for _ in range(2):
        with no_disk():
            for panel in PANELS:
                draw(panel)
            draw_preferences(addon)
        follow_to_the_end(addon, started)
    with pytest.raises(AssertionError, match="the disk is asked"), no_disk():
        addon("running").look_for_backend()


@pytest.mark.parametrize("event", ["load", "check", "check_end", "job_end"])
def test_backend_is_looked_for_again(
    addon, fake_backend, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    monkeypatch.setenv("IM2HANDS_BACKEND", str(tmp_path / "gone"))
    addon("running").look_for_backend()
    assert "is not there" in " ".join(draw(PANELS[0]).texts)
    backend = fake_backend("good")
    environment = addon("process.environment")
    if event == "check_end":
        started = addon("process.task").check(environment.find(backend))
    elif event == "job_end":
        started = addon("api").start(photo, tmp_path / "take", backend=backend)
    monkeypatch.setenv("IM2HANDS_BACKEND", backend)
    assert "is not there" in " ".join(draw(PANELS[0]).texts), "it is kept until something happens"
    if event == "load":
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    elif event == "check":
        assert bpy.ops.im2hands.check_backend() == {"FINISHED"}
    else:
        follow_to_the_end(addon, started)
    assert "Backend: named by the variable IM2HANDS_BACKEND" in " ".join(draw(PANELS[0]).texts)


def test_a_job_from_start_to_end(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("good"))
    running = addon("running")
    running.follow(started)
    shown = draw(PANELS[0])
    assert shown.progress and "im2hands.cancel_reconstruction" in shown.operators
    assert "im2hands.reconstruct" not in shown.operators
    assert not bpy.ops.im2hands.reconstruct.poll()
    follow_to_the_end(addon, started)
    shown = draw(PANELS[0])
    assert "Done: 3 ok" in shown.texts and "im2hands.reconstruct" in shown.operators and not shown.progress
    assert any("focal length" in text for text in shown.texts)
    assert {"take", "3 ok"} <= set(draw(PANELS[2]).texts)


def test_the_timer_makes_what_the_function_makes(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    from test_import import described

    api, backend = addon("api"), fake_backend("good")
    follow_to_the_end(addon, api.start(photo, tmp_path / "one" / "take", backend=backend))
    by_timer = described(bpy.data.collections["take"])
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert described(api.reconstruct(photo, tmp_path / "two" / "take", backend=backend).collection) == by_timer


def test_a_job_that_is_cancelled(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("slow", 1000))
    addon("running").follow(started)
    while len(started.job.frames) < 2:
        addon("running")._tick()
        time.sleep(0.02)
    assert bpy.ops.im2hands.cancel_reconstruction() == {"FINISHED"}
    assert "Ending: what is done is rigged" in " ".join(draw(PANELS[0]).texts)
    follow_to_the_end(addon, started)
    assert any(text.startswith("Ended early: ") for text in draw(PANELS[0]).texts)
    assert bpy.data.collections["take"].all_objects


def test_a_job_whose_backend_dies(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    follow_to_the_end(addon, addon("api").start(photo, tmp_path / "take", backend=fake_backend("dies", 4)))
    shown = draw(PANELS[0])
    text = " ".join(shown.texts)
    assert "Stopped: 2 ok" in shown.texts and "killed" in text and "Reconstruct continues" in text
    assert "im2hands.reconstruct" in shown.operators


def test_a_backend_that_is_silent(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("silent"))
    addon("running").follow(started)
    before = started.job.clock
    started.job.clock = lambda: before() + 31
    assert "silent for" in " ".join(draw(PANELS[0]).texts)


def test_an_import_that_breaks_is_told(addon, fake_backend, photo: Path, tmp_path: Path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("good"))
    monkeypatch.setattr(started._importer, "add_frames", broken)
    follow_to_the_end(addon, started)
    assert "could not be brought in: out of luck" in " ".join(draw(PANELS[0]).texts)


def test_takes_and_doubtful_frames(addon, tmp_path: Path) -> None:
    frames = {number: ("left", "right") if number % 2 else ("left",) for number in range(1, 40)}
    addon("api").import_take(synthetic.write_take(tmp_path / "take", frames))
    shown = draw(PANELS[2])
    assert "20 ok, 19 partial" in shown.texts
    assert shown.operators.count("im2hands.go_to_frame") == 8
    assert any("and 11 more" in text for text in shown.texts)
    bpy.ops.im2hands.go_to_frame(frame=12)
    assert bpy.context.scene.frame_current == 12


def test_preferences(addon, fake_backend) -> None:
    shown = draw_preferences(addon)
    assert {"backend", "python", "compute"} <= set(shown.properties)
    assert {"im2hands.check_backend", "im2hands.install_backend"} <= set(shown.operators)
    bpy.context.preferences.addons[MODULE].preferences.backend = fake_backend("good")
    assert bpy.ops.im2hands.check_backend() == {"FINISHED"}
    assert any("Checking" in text for text in draw_preferences(addon).texts)
    follow_to_the_end(addon, addon("running").task())
    assert "3 of 3 are in order" in draw_preferences(addon).texts
    bpy.context.preferences.addons[MODULE].preferences.show_all = True
    assert "Python: 3.12" in draw_preferences(addon).texts
    assert bpy.ops.im2hands.copy_findings() == {"FINISHED"}


def test_installing_needs_permission_to_go_online(addon) -> None:
    assert not bpy.app.online_access
    assert not bpy.ops.im2hands.install_backend.poll()
    assert "Allow Online Access" in " ".join(draw_preferences(addon).texts)


def test_import_menu(addon) -> None:
    layout = Layout()
    addon("operators.import_take").draw_menu(SimpleNamespace(layout=layout), bpy.context)
    assert layout.seen.operators == ["im2hands.import_take"]


def test_takes_in_the_sidebar(addon, tmp_path: Path) -> None:
    collection, _ = addon("api").import_take(animated.write(tmp_path / "take", animated.make(2)))
    shown = draw(PANELS[2])
    assert "im2hands_smoothing" in shown.properties
    names = ("remove_take", "show_surfaces", "set_rotation_mode", "export_take")
    assert {f"im2hands.{name}" for name in names} <= set(shown.operators)
    assert bpy.ops.im2hands.set_rotation_mode(take="take", mode="XYZ") == {"FINISHED"}
    assert {bone.rotation_mode for bone in part(collection, "rig", "left").pose.bones} == {"XYZ"}
    draw(PANELS[2])


def test_every_option_of_the_table_is_offered(addon) -> None:
    """Sidebar, command line and Python API read the same table: names, defaults and limits agree."""
    table = addon("process.options").OPTIONS
    properties, settings = addon("properties"), bpy.context.scene.im2hands
    for option in table.values():
        if not option.label:
            continue
        shown = settings.bl_rna.properties[properties.property_of(option)]
        assert option.label in shown.name and shown.description.startswith(option.text)
        if option.type in ("int", "float"):
            limits = [(option.min, shown.hard_min), (option.max, shown.hard_max)]
            assert all(have == pytest.approx(want) for want, have in limits if want is not None), option.name
        if option.choices:
            assert [item.identifier for item in shown.enum_items][: len(option.values)] == list(map(str, option.values))
        if option.default is not None and option.type not in ("file", "folder"):
            assert shown.default == pytest.approx(option.default) if option.type in ("int", "float") else True
    settings.device = "mps"
    assert properties.options_of(settings)["device"] == "mps" and "device" in draw(PANELS[1]).properties
    settings.property_unset("device")
    parser = argparse.ArgumentParser()
    addon("process.options").add_arguments(parser)
    assert parser.parse_args(["--device", "cuda:1"]).device == "cuda:1"  # more than the sidebar offers
    assert vars(parser.parse_args([])) == {name: option.open_default for name, option in table.items()}
    assert vars(addon("process.options").Options()) == {name: option.open_default for name, option in table.items()}


def test_quality_in_place_of_its_parts(addon) -> None:
    properties, settings = addon("properties"), bpy.context.scene.im2hands
    assert "quality" in draw(PANELS[0]).properties
    parts = {"refine", "voxel_mm", "template_density"}
    assert not parts & set(draw("VIEW3D_PT_im2hands_options").properties)
    advanced = "VIEW3D_PT_im2hands_advanced"
    assert parts <= set(draw(advanced).properties)
    settings.quality, settings.refine, settings.voxel_mm = "draft", False, 3.0
    try:
        given = properties.options_of(settings)
        assert given["quality"] == "draft" and not {"stage", "voxel_mm", "template_density"} & set(given)
        settings.use_advanced = True
        assert parts & set(draw(advanced).properties) == {"template_density"}  # a draft has no surfaces
        assert "stage" not in properties.options_of(settings)
        settings.quality = "fine"
        given = properties.options_of(settings)
        assert (given["quality"], given["stage"], given["voxel_mm"]) == ("fine", "keypoints", 3.0)
    finally:
        for name in ("quality", "refine", "voxel_mm", "use_advanced"):
            settings.property_unset(name)


def test_an_active_armature_can_give_its_keypoints(addon) -> None:
    assert "im2hands.keypoints_from_rig" not in draw("VIEW3D_PT_im2hands_takes").operators
    rig = bpy.data.objects.new("Person", bpy.data.armatures.new("Person"))
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    assert "im2hands.keypoints_from_rig" in draw("VIEW3D_PT_im2hands_takes").operators
