"""Takes and environments lie in the person's own folders, which outlive the extension, and the person sees which."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import blf
import bpy
import pytest
import synthetic
from test_interface import PANELS, Layout, draw, draw_preferences

from conftest import MODULE


@pytest.fixture
def locations(addon):
    return addon("locations")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    return tmp_path / "home"


def words(shown: SimpleNamespace) -> str:
    """All texts without spaces, because a long path is wrapped anywhere."""
    return "".join(shown.texts).replace(" ", "")


def test_nothing_lies_in_the_extensions_folder(locations, home: Path, photo: Path) -> None:
    doomed = Path(bpy.utils.extension_path_user(MODULE))
    for place in (locations.default_take([str(photo)]), locations.own_environment()):
        assert not place.is_relative_to(doomed) and MODULE.split(".")[-1] not in str(place)
    assert locations.default_take([str(photo)]) == home / "Im2Hands" / "takes" / "photo"


@pytest.mark.parametrize(
    ("system", "variable", "wanted"),
    [
        ("linux", "", ".local/share/im2hands"),
        ("linux", "relative", ".local/share/im2hands"),
        ("linux", "/data", "/data/im2hands"),
        ("darwin", "", "Library/Application Support/Im2Hands"),
        ("win32", "", "AppData/Local/Im2Hands"),
        ("win32", "/local", "/local/Im2Hands"),
    ],
)
def test_the_folder_for_data(locations, home: Path, monkeypatch, system: str, variable: str, wanted: str) -> None:
    monkeypatch.setattr(locations, "sys", SimpleNamespace(platform=system))
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, variable)
    assert locations.data_folder() == home / wanted


def test_the_folders_are_shown_and_can_be_chosen(addon, locations, home: Path, tmp_path: Path, photo: Path) -> None:
    assert str(home / "Im2Hands" / "takes") in words(draw(PANELS[0]))
    assert str(locations.environment_folder()).replace(" ", "") in words(draw_preferences(addon))
    own = bpy.context.preferences.addons[MODULE].preferences
    own.takes, own.environments = str(tmp_path / "shots"), str(tmp_path / "big")
    assert locations.default_take([str(photo)]) == tmp_path / "shots" / "photo"
    assert locations.own_environment().parent == tmp_path / "big"
    assert str(tmp_path / "shots") in words(draw(PANELS[0]))
    shown = draw_preferences(addon)
    assert {"takes", "environments"} <= set(shown.properties)
    assert str(tmp_path / "shots") in words(shown) and str(tmp_path / "big") in words(shown)
    bpy.context.scene.im2hands.output = str(tmp_path / "here")
    assert str(tmp_path / "shots") not in words(draw(PANELS[0]))
    bpy.context.scene.im2hands.output = ""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert str(tmp_path / "takes") in words(draw(PANELS[0]))


@pytest.mark.skipif(sys.platform != "linux", reason="a shell script as Python")
def test_an_old_environment_is_found_and_told_of(addon, locations, monkeypatch) -> None:
    installed = addon("process.installed")
    old = locations.old_environment()
    folder = installed.next_folder(old)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    installed.make_current(old, folder, "im2hands.whl")
    monkeypatch.delenv("IM2HANDS_BACKEND", raising=False)
    try:
        addon("running").look_for_backend()
        assert "older add-on" in " ".join(draw(PANELS[0]).texts)
        shown = " ".join(draw_preferences(addon).texts)
        assert "Uninstalling the extension deletes it" in shown
    finally:
        installed.remove(folder)
        addon("running").look_for_backend()


def test_old_takes_are_told_of_and_can_be_moved(addon, locations, home: Path) -> None:
    old = locations.old_takes_folder()
    first = synthetic.write_take(old / "one", {1: ("left", "right")})
    synthetic.write_take(old / "two", {1: ("left",)})
    synthetic.write_take(locations.takes_folder() / "one", {1: ("right",)})
    collection, _ = addon("api").import_take(first)
    addon("running").look_for_backend()
    for shown in (draw(PANELS[0]), draw_preferences(addon)):
        assert "2 takes lie in the extension's folder" in " ".join(shown.texts)
        assert "im2hands.move_old_takes" in shown.operators
    assert bpy.ops.im2hands.move_old_takes() == {"FINISHED"}
    there = locations.takes_folder()
    assert sorted(one.name for one in there.iterdir()) == ["one", "one 2", "two"], "the take of that name stays"
    assert not list(old.iterdir())
    assert collection["im2hands_take"] == str(there / "one 2"), "the take in the scene knows its new place"
    addon("api").import_take(there / "one 2")
    assert len(addon("api").takes()) == 1
    assert "im2hands.move_old_takes" not in draw(PANELS[0]).operators


def test_takes_that_cannot_be_moved_stay(addon, locations, home: Path) -> None:
    old = locations.old_takes_folder()
    take = synthetic.write_take(old / "one", {1: ("left", "right")})
    (home / "Im2Hands").mkdir(parents=True)
    (home / "Im2Hands" / "takes").write_text("in the way")
    try:
        with pytest.raises(RuntimeError, match="cannot be moved"):
            bpy.ops.im2hands.move_old_takes()
        assert (take / "take.json").is_file()
    finally:
        (home / "Im2Hands" / "takes").unlink()
        assert bpy.ops.im2hands.move_old_takes() == {"FINISHED"}


@pytest.mark.parametrize("width", [60, 291, 1200])
def test_texts_fit_into_the_panel(addon, width: int) -> None:
    """In a real window a label of a panel 291 pixels wide shows 210 of text; the letters have different widths."""
    wrapping = addon("scene.wrapped_text")
    context = SimpleNamespace(region=SimpleNamespace(width=width), preferences=bpy.context.preferences)
    for text in (
        "self-test: MediaPipe cannot be started: libGLESv2.so.2: cannot open the file. " * 4,
        "The view shows the take alone, because the default cube lies around the hands.",
        "On Debian or Ubuntu: sudo apt install libgles2. " + "WWWW MMMM " * 9 + "/a/very/long/path" * 9,
    ):
        layout = Layout()
        wrapping.draw_wrapped(layout, text, "ERROR", context)
        assert "".join(layout.seen.texts).replace(" ", "") == text.replace(" ", ""), "nothing is cut off"
        blf.size(0, bpy.context.preferences.ui_styles[0].widget.points)
        longest = max(blf.dimensions(0, line)[0] for line in layout.seen.texts)
        assert longest <= max(width - 81, 100), width
        assert width < 291 or all(word in " ".join(layout.seen.texts) for word in text.split() if len(word) < 20)
