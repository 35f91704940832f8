"""Sources as Blender knows them: dropped files, movie clips, strips, recent ones; the queue; where takes will go."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import extension_zip
import pytest
import synthetic
from test_interface import PANELS, Layout, draw, no_disk

from conftest import MODULE


@pytest.fixture(autouse=True)
def nothing_runs(addon):
    addon("running").stop()
    yield
    addon("running").stop()


@pytest.fixture
def no_backend(addon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who has only the zip: nothing is named, nothing installed."""
    monkeypatch.delenv("IM2HANDS_BACKEND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    bpy.context.preferences.addons[MODULE].preferences.environments = str(tmp_path / "own")
    addon("running").look_for_backend()
    assert not addon("running").backend().is_found


@pytest.fixture
def at_a_window(addon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked for as at a window that may go online: calls of Install Backend, which is replaced."""
    asked: list[str] = []
    operators = SimpleNamespace(im2hands=SimpleNamespace(install_backend=Asked(asked)))
    stand_in = SimpleNamespace(app=SimpleNamespace(background=False), ops=operators)
    monkeypatch.setattr(addon("operators.starts_job"), "bpy", stand_in)
    monkeypatch.setattr(addon("operators.install_backend"), "may_download", lambda: True)
    monkeypatch.setattr(addon("operators.install_backend"), "install", lambda: asked.append("at once"))
    return asked


def dialog_of(addon, told: tuple[str, ...]) -> SimpleNamespace:
    """What the dialog of a dropped file shows."""
    layout = Layout()
    addon("operators.drop_source").Im2HandsDropSource.draw(SimpleNamespace(layout=layout, _told=told), bpy.context)
    return layout.seen


@pytest.fixture
def settings() -> object:
    return bpy.context.scene.im2hands


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    synthetic.write_avi(path, [synthetic.picture(32, 24, seed) for seed in range(12)])
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "shot" / f"shot_{number:04d}.png" for number in range(5, 9)]
    for path in paths:
        synthetic.write_png(path, synthetic.picture(32, 24))
    return paths


def menu() -> SimpleNamespace:
    layout = Layout()
    bpy.types.IM2HANDS_MT_sources.draw(SimpleNamespace(layout=layout), bpy.context)
    return layout.seen


def strips(scene: bpy.types.Scene) -> object:
    editor = scene.sequence_editor_create()
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def test_the_active_movie_clip(settings, clip: Path) -> None:
    with pytest.raises(RuntimeError, match="no active movie clip"):
        bpy.ops.im2hands.use_source(kind="CLIP")
    loaded = bpy.data.movieclips.load(str(clip))
    loaded.frame_start = 101
    assert "im2hands.use_source" in menu().operators, "the only clip of the file"
    assert bpy.ops.im2hands.use_source(kind="CLIP") == {"FINISHED"}
    assert settings.source == str(clip) and (settings.use_start, settings.start_frame) == (True, 101)
    clip.unlink()
    with pytest.raises(RuntimeError, match="missing file"):
        bpy.ops.im2hands.use_source(kind="CLIP")


def test_a_movie_clip_of_pictures(settings, pictures: list[Path]) -> None:
    bpy.context.scene.active_clip = bpy.data.movieclips.load(str(pictures[0]))
    assert bpy.ops.im2hands.use_source(kind="CLIP") == {"FINISHED"}
    assert settings.source == str(pictures[0].with_name("shot_####.png"))


def test_the_selected_strip(settings, clip: Path) -> None:
    with pytest.raises(RuntimeError, match="No strip"):
        bpy.ops.im2hands.use_source(kind="STRIP")
    strip = strips(bpy.context.scene).new_movie("clip", str(clip), 1, 41)
    strip.frame_offset_start, strip.frame_final_duration = 3, 5
    bpy.context.scene.sequence_editor.active_strip = strip
    strip.select = True
    assert bpy.ops.im2hands.use_source(kind="STRIP") == {"FINISHED"}
    assert settings.source == str(clip)
    assert settings.use_range and (settings.frame_start, settings.frame_end) == (4, 8)
    assert settings.use_start and settings.start_frame == 44
    bpy.ops.im2hands.choose_source(directory=str(clip.parent), files=[{"name": clip.name}])
    assert not settings.use_range and not settings.use_start, "the handles are those of the strip"
    settings.use_start, settings.start_frame = True, 1001
    bpy.ops.im2hands.choose_source(directory=str(clip.parent), files=[{"name": clip.name}])
    assert settings.use_start, "the person's own start frame stays"


def test_a_strip_of_pictures(addon, settings, pictures: list[Path]) -> None:
    strip = strips(bpy.context.scene).new_image("shot", str(pictures[0]), 1, 10)
    for path in pictures[1:]:
        strip.elements.append(path.name)
    strip.frame_offset_start = 1
    bpy.context.scene.sequence_editor.active_strip = strip
    strip.select = True
    assert bpy.ops.im2hands.use_source(kind="STRIP") == {"FINISHED"}
    wanted = pictures[1 : 1 + int(strip.frame_final_duration)]
    assert addon("properties").inputs_of(settings) == [str(path) for path in wanted] and len(wanted) > 1
    assert settings.start_frame == 11


def test_the_dropped_endings_are_those_of_the_backend(addon) -> None:
    media = extension_zip.ROOT / "backend" / "im2hands" / "media"
    known = set()
    for name, constant in (("images.py", "PICTURE_SUFFIXES"), ("video.py", "VIDEO_SUFFIXES")):
        for node in ast.parse((media / name).read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant:
                known |= ast.literal_eval(node.value.args[0])
    handler = bpy.types.IM2HANDS_FH_source
    assert known and set(handler.bl_file_extensions.split(";")) == known
    area = SimpleNamespace(type="VIEW_3D")
    assert handler.poll_drop(SimpleNamespace(area=area)) and not handler.poll_drop(SimpleNamespace(area=None))


def test_a_dropped_file_starts(addon, settings, fake_backend, no_backend, photo: Path, tmp_path: Path) -> None:
    own = bpy.context.preferences.addons[MODULE].preferences
    own.takes = str(tmp_path / "takes")
    dropped = {"directory": str(photo.parent), "files": [{"name": photo.name}]}
    with pytest.raises(RuntimeError, match="not installed"):
        bpy.ops.im2hands.drop_source(**dropped)
    own.backend = fake_backend("good")
    assert bpy.ops.im2hands.drop_source(**dropped) == {"FINISHED"}
    running = addon("running")
    finish(running)
    assert running.reconstruction().take == tmp_path / "takes" / "photo"
    assert bpy.data.collections["photo"].all_objects
    addon("recent").read()
    assert addon("recent").sources()[0] == (str(photo),), "it is kept for the next Blender"


def test_the_dialog_of_a_dropped_file_promises_what_it_does(
    addon, settings, no_backend, at_a_window, photo: Path, monkeypatch
) -> None:
    """It is asked for at each drawing: Blender may go online, and a check may end, while it is open."""
    settings.source = str(photo)
    running, install, told = addon("running"), addon("operators.install_backend"), ("3 GB into own",)
    shown = dialog_of(addon, told)
    text = " ".join(shown.texts)
    assert photo.name in text and "It is installed first; then this starts by itself." in text and told[0] in text
    assert not shown.operators
    for name, line in (("Check", "A check is running"), ("Installation", "It is being installed")):
        task = SimpleNamespace(name=name, has_ended=False, cancel=lambda: None)
        monkeypatch.setattr(running._state, "task", task)
        text = " ".join(dialog_of(addon, told).texts)
        assert line in text and "installed first" not in text and told[0] not in text
        monkeypatch.setattr(running._state, "task", None)
    monkeypatch.setattr(install, "may_download", lambda: False)
    monkeypatch.setattr(Asked, "poll", lambda _: False)
    shown = dialog_of(addon, told)
    text = " ".join(shown.texts)
    assert "It can be installed here when" in text and "installed first" not in text and told[0] not in text
    assert "Allow Online Access" in text and shown.operators == ["extensions.userpref_allow_online"]


@pytest.mark.parametrize("background", [True, False])
def test_the_button_of_the_dialog_says_what_is_missing(
    addon, settings, no_backend, at_a_window, fake_backend, photo: Path, background: bool
) -> None:
    """It is written once, when the dialog opens: what may change meanwhile has no part in it."""
    drop, install = addon("operators.drop_source").Im2HandsDropSource, addon("operators.install_backend")
    addon("operators.starts_job").bpy.app.background = background  # as where needs_installation says no
    settings.source = str(photo)
    manager = SimpleNamespace(invoke_props_dialog=lambda operator, confirm_text, **_: (confirm_text, operator._told))
    context = SimpleNamespace(window_manager=manager, scene=bpy.context.scene)
    operator = SimpleNamespace(_choose=lambda _: None, _told=())
    assert drop.invoke(operator, context, None) == ("Install and Reconstruct", install.what_is_done())
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend = str(photo.parent / "gone")
    assert drop.invoke(operator, context, None) == ("Reconstruct", ())
    own.backend = fake_backend("good")
    assert drop.invoke(operator, context, None) == ("Reconstruct", ())


@pytest.mark.parametrize("named", ["backend", "machine", "variable"])
def test_a_backend_that_is_named_wrongly_is_not_installed(
    addon, settings, no_backend, at_a_window, photo: Path, tmp_path: Path, monkeypatch, named: str
) -> None:
    """The add-on would go on looking for it, and what waits for the installation would wait for ever."""
    starts = addon("operators.starts_job")
    own, running = bpy.context.preferences.addons[MODULE].preferences, addon("running")
    settings.source, own.takes = str(photo), str(tmp_path / "takes")
    assert starts.needs_installation()
    gone = str(tmp_path / "gone")
    if named == "variable":
        monkeypatch.setenv("IM2HANDS_BACKEND", gone)
        running.look_for_backend()
    else:
        setattr(own, named, gone)
    assert not starts.needs_installation()
    text = " ".join(dialog_of(addon, ()).texts)
    assert "is not there" in text and "Correct or clear" in text and "nstalled" not in text
    for told in ((), ("3 GB into own",)):
        reported = []
        operator = SimpleNamespace(files=(), _told=told, report=lambda _kind, message, to=reported: to.append(message))
        assert addon("operators.drop_source").Im2HandsDropSource.execute(operator, bpy.context) == {"CANCELLED"}
        assert "is not there" in reported[0]
    with pytest.raises(RuntimeError, match="is not there"):
        bpy.ops.im2hands.reconstruct("INVOKE_DEFAULT")
    assert not at_a_window and not addon("waiting").queue()


def finish(running) -> None:
    end = time.monotonic() + 60
    while running._tick() is not None:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_recent_sources(addon, settings, tmp_path: Path) -> None:
    recent = addon("recent")
    for number in range(12):
        recent.remember((str(tmp_path / f"{number}.mp4"),))
    recent.remember((str(tmp_path / "a.png"), str(tmp_path / "b.png")))
    recent.read()
    assert len(recent.sources()) == 10 and "2 files" in recent.name_of(recent.sources()[0])
    assert menu().operators.count("im2hands.use_source") == 10
    assert bpy.ops.im2hands.use_source(kind="RECENT", number=1) == {"FINISHED"}
    assert settings.source == str(tmp_path / "11.mp4")
    assert bpy.ops.im2hands.use_source(kind="RECENT", number=0) == {"FINISHED"}
    assert len(settings.inputs) == 2
    for damaged in ("", "{", "[[]]", '{"a": 1}', "\0"):
        (addon("locations").data_folder() / "recent-sources.json").write_text(damaged)
        recent.read()
        assert recent.sources() == []


def test_jobs_wait_for_each_other(addon, settings, fake_backend, tmp_path: Path) -> None:
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend, own.takes = fake_backend("good", 2), str(tmp_path / "takes")
    running = addon("running")
    assert not bpy.ops.im2hands.enqueue.poll()
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "gone", "three")]
    for path in paths:
        synthetic.write_png(path, synthetic.picture(32, 24))
    enqueue = addon("waiting").from_settings
    settings.source = str(paths[0])
    running.enqueue(enqueue(bpy.context.scene))
    for path in paths[1:]:
        settings.source = str(path)
        assert bpy.ops.im2hands.enqueue() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="already being made"):
        bpy.ops.im2hands.enqueue()
    shown = draw(PANELS[0])
    assert [text for text in shown.texts if text.startswith("Waiting")] == [
        "Waiting: two", "Waiting: gone", "Waiting: three"
    ]  # fmt: skip
    assert bpy.ops.im2hands.remove_from_queue(number=2) == {"FINISHED"}
    paths[2].unlink()
    finish(running)
    assert bpy.data.collections.get("one") and bpy.data.collections.get("two")
    assert not bpy.data.collections.get("three"), "it was taken out"
    text = " ".join(draw(PANELS[0]).texts)
    assert "gone was not started" in text and "There is no" in text


def test_without_a_backend_it_waits_for_the_installation(
    addon, settings, fake_backend, no_backend, at_a_window, photo: Path, tmp_path: Path, monkeypatch
) -> None:
    """Two clicks and one download: what was asked for starts by itself after the installation."""
    own = bpy.context.preferences.addons[MODULE].preferences
    own.takes = str(tmp_path / "takes")
    settings.source = str(photo)
    running, asked = addon("running"), at_a_window
    module = addon("operators.starts_job")
    assert module.needs_installation()
    assert module.install_first(addon("waiting").from_settings(bpy.context.scene)) == {"FINISHED"}
    assert asked == ["INVOKE_DEFAULT"] and "It starts when the backend is installed." in " ".join(draw(PANELS[0]).texts)
    button = addon("operators.reconstruct")
    monkeypatch.setattr(button, "needs_installation", lambda: True)
    assert button.Im2HandsReconstruct.invoke(SimpleNamespace(), bpy.context, None) == {"FINISHED"}
    assert asked == ["INVOKE_DEFAULT"] * 2, "the button asks, too"
    assert running._tick() is None, "nothing is polled until then"
    drop = addon("operators.drop_source")
    addon("waiting").clear()
    with pytest.raises(RuntimeError, match=r"not installed.*Install the backend in Preferences"):
        bpy.ops.im2hands.drop_source(directory=str(photo.parent), files=[{"name": photo.name}])
    assert not asked[2:], "a script has seen no dialog"
    operator = SimpleNamespace(files=(), _told=("3 GB into own",))
    assert drop.Im2HandsDropSource.execute(operator, bpy.context) == {"FINISHED"}
    assert asked[2:] == ["at once"] and len(addon("waiting").queue()) == 1, "its dialog has asked already"
    own.backend = fake_backend("good")
    if bpy.app.timers.is_registered(running._tick):  # of a test before; no timer fires here
        bpy.app.timers.unregister(running._tick)
    running.look_for_backend()
    assert not module.needs_installation() and bpy.app.timers.is_registered(running._tick), "it starts by itself"
    finish(running)
    assert bpy.data.collections["photo"].all_objects and not addon("waiting").queue()


class Asked:
    """Stands in for ``bpy.ops.im2hands.install_backend``."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def poll(self) -> bool:
        return True

    def __call__(self, how: str) -> None:
        self._asked.append(how)


def test_another_file_ends_the_queue_in_words(addon, settings, fake_backend, photo: Path, tmp_path: Path) -> None:
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend, own.takes = fake_backend("slow", 100), str(tmp_path)
    settings.source = str(photo)
    running, entry = addon("running"), addon("waiting").from_settings
    running.enqueue(entry(bpy.context.scene))
    settings.output = str(tmp_path / "second")
    running.enqueue(entry(bpy.context.scene))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert not addon("waiting").queue()
    assert "second will not be started" in " ".join(draw(PANELS[0]).texts)


def test_the_take_is_told_before_the_start(addon, settings, photo: Path, tmp_path: Path) -> None:
    bpy.context.preferences.addons[MODULE].preferences.takes = str(tmp_path / "takes")
    settings.source = str(photo)
    planned = addon("planned")
    with no_disk():
        assert any("Into a folder in" in text for text in draw(PANELS[0]).texts)
    planned.refresh()
    with no_disk():
        assert planned.told(settings) == f"Into {tmp_path / 'takes' / 'photo'}"
    synthetic.write_take(tmp_path / "takes" / "photo", {1: ("left",)})
    settings.output = str(tmp_path / "takes" / "photo")
    planned.told(settings)
    planned.refresh()
    assert planned.told(settings).startswith("Continues the take in")
    settings.output = "a" * 5000
    planned.told(settings)
    planned.refresh()
    assert "too long" in planned.told(settings)
