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


def test_a_dropped_file_asks_and_starts(addon, settings, fake_backend, photo: Path, tmp_path: Path) -> None:
    own = bpy.context.preferences.addons[MODULE].preferences
    own.takes, own.backend = str(tmp_path / "takes"), str(tmp_path / "gone")
    dropped = {"directory": str(photo.parent), "files": [{"name": photo.name}]}
    module, layout = addon("operators.drop_source"), Layout()
    settings.source = str(photo)
    told = addon("operators.install_backend").what_is_done()
    module.Im2HandsDropSource.draw(SimpleNamespace(layout=layout, _told=told), bpy.context)
    text = " ".join(layout.seen.texts)
    assert photo.name in text and "It is installed first; then this starts by itself." in text and told[0] in text
    assert "Allow Online Access" in text and layout.seen.operators == ["extensions.userpref_allow_online"]
    with pytest.raises(RuntimeError, match="is not there"):
        bpy.ops.im2hands.drop_source(**dropped)
    own.backend = fake_backend("good")
    assert bpy.ops.im2hands.drop_source(**dropped) == {"FINISHED"}
    running = addon("running")
    finish(running)
    assert running.reconstruction().take == tmp_path / "takes" / "photo"
    assert bpy.data.collections["photo"].all_objects
    addon("recent").read()
    assert addon("recent").sources()[0] == (str(photo),), "it is kept for the next Blender"


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
    addon, settings, fake_backend, photo: Path, tmp_path: Path, monkeypatch
) -> None:
    """Two clicks and one download: what was asked for starts by itself after the installation."""
    own = bpy.context.preferences.addons[MODULE].preferences
    own.takes, own.backend = str(tmp_path / "takes"), str(tmp_path / "gone")
    settings.source = str(photo)
    running, asked = addon("running"), []
    module = addon("operators.starts_job")
    operators = SimpleNamespace(im2hands=SimpleNamespace(install_backend=Asked(asked)))
    monkeypatch.setattr(module, "bpy", SimpleNamespace(app=SimpleNamespace(background=False), ops=operators))
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
    monkeypatch.setattr(drop, "needs_installation", lambda: True)
    monkeypatch.setattr(drop.install_backend, "install", lambda: asked.append("at once"))
    assert bpy.ops.im2hands.drop_source(directory=str(photo.parent), files=[{"name": photo.name}]) == {"FINISHED"}
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
