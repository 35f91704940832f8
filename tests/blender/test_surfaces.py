"""The implicit surfaces of a take stay on disk until they are shown; a take without clean hands shows a few."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import numpy as np
import pytest
import synthetic
from test_import import visible

BOTH = ("left", "right")


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def reads(addon, monkeypatch) -> list[str]:
    """What was read of frames since the start of the test: "hands N" and "keypoints N"."""
    found: list[str] = []
    for holder, name, kind in (
        (addon("take.reader").Take, "read_hands", "hands"),
        (addon("scene.importer"), "read_keypoints", "keypoints"),
    ):
        original = getattr(holder, name)

        def counted(take, index: int, original=original, kind: str = kind):
            found.append(f"{kind} {index}")
            return original(take, index)

        monkeypatch.setattr(holder, name, counted)
    return found


def surfaces(collection: bpy.types.Collection) -> list[str]:
    return sorted(one.name for one in collection.all_objects if one.name.startswith("Surface"))


def test_surfaces_stay_on_disk_until_they_are_shown(addon, api, reads, tmp_path: Path) -> None:
    collection, problems = api.import_take(animated.write(tmp_path / "take", animated.make(4)))
    assert not problems and not reads, "no frame is read"
    assert len(bpy.data.meshes) == 2 and collection["im2hands_surfaces_on_disk"] == 4
    bpy.context.scene.frame_set(2)
    assert not bpy.data.objects["wrist.L"].hide_viewport, "keypoints come from the motion"
    assert bpy.ops.im2hands.show_surfaces(take="take") == {"FINISHED"}
    assert reads == [f"hands {frame}" for frame in range(1, 5)]
    assert len(bpy.data.meshes) == 10 and collection["im2hands_surfaces_on_disk"] == 0
    assert {"Surface.L 0002", "Surface.R 0002"} <= visible(), "on the current frame at once"
    assert not {"Surface.L 0001", "Surface.L 0003"} & visible()
    assert addon("scene.tree").surfaces_are_shown(collection)
    bpy.ops.im2hands.show_surfaces(take="take", shown=False)
    assert not addon("scene.tree").surfaces_are_shown(collection)
    bpy.ops.im2hands.show_surfaces(take="take", shown=True)
    assert len(reads) == 4, "they are in the file now"
    collection, _ = api.import_take(tmp_path / "take")
    assert not surfaces(collection) and collection["im2hands_surfaces_on_disk"] == 4


def test_surfaces_of_a_range(addon, api, reads, tmp_path: Path) -> None:
    """A surface is seen until the next frame, so the one before the start belongs to the range."""
    folder = animated.write(tmp_path / "take", animated.make(6, first=10, step=2), step=2)
    collection, _ = api.import_take(folder)
    assert api.show_surfaces(collection, frames=(13, 16)) == []
    assert surfaces(collection) == [f"Surface.{side} {frame:04d}" for side in "LR" for frame in (12, 14, 16)]
    assert collection["im2hands_surfaces_on_disk"] == 3
    options = {"take": "take", "use_range": True, "first": 16, "last": 18}
    assert bpy.ops.im2hands.show_surfaces("INVOKE_DEFAULT", **options) == {"FINISHED"}
    assert reads == [f"hands {frame}" for frame in (12, 14, 16, 18)]


def test_a_take_without_clean_hands_shows_its_first_frames(addon, api, reads, tmp_path: Path, monkeypatch) -> None:
    """Keypoints of all frames are there at once; no meshes are made that nobody asked for."""
    monkeypatch.setattr(addon("scene.importer"), "SURFACES_AT_MOST", 3)
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 9), BOTH) | {9: ()})
    collection, (note,) = api.import_take(folder)
    assert note == (
        "The surfaces of the first 3 frames are shown; those of 5 more are on disk. Show Surfaces brings them in."
    )
    assert reads == [*(f"hands {frame}" for frame in (1, 2, 3)), *(f"keypoints {frame}" for frame in range(4, 10))]
    assert len(bpy.data.meshes) == 6 and collection["im2hands_surfaces_on_disk"] == 5
    for frame in (2, 8):
        bpy.context.scene.frame_set(frame)
        assert not bpy.data.objects["index_tip.R"].hide_viewport
        points = np.load(folder / f"frames/{frame:06d}.npz")["right_keypoints"]
        wrist = bpy.data.objects["wrist.R"].evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world
        assert np.allclose(wrist.translation, [points[0, 0], points[0, 2], -points[0, 1]], atol=1e-5)
    assert api.show_surfaces(collection) == []
    assert len(bpy.data.meshes) == 16 and collection["im2hands_surfaces_on_disk"] == 0
    for surfaces_option, meshes, problems in (("NONE", 0, 0), ("SHOW", 16, 0), ("AUTO", 6, 1)):
        collection, found = api.import_take(folder, surfaces=surfaces_option)
        assert (len(surfaces(collection)), len(found)) == (meshes, problems), surfaces_option


def test_damaged_keypoints_are_told(addon, api, tmp_path: Path, monkeypatch) -> None:
    """Frames whose surfaces stay on disk are checked as well."""
    monkeypatch.setattr(addon("scene.importer"), "SURFACES_AT_MOST", 0)
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 7), BOTH))
    for frame, points in ((2, np.zeros((20, 3))), (3, np.full((21, 3), np.nan)), (4, np.array(["x"]))):
        path = folder / f"frames/{frame:06d}.npz"
        np.savez(path, **{**np.load(path), "left_keypoints": points})
    (folder / "frames/000005.npz").write_bytes(b"damaged")
    (folder / "frames/000006.npz").unlink()
    _, problems = api.import_take(folder)
    for found, text in zip(problems, ("float64(20, 3)", "not finite", "<U1(1,)", "frame 5", "frame 6"), strict=False):
        assert text in found
    assert len(problems) == 6
    read = addon("take.keypoints").read_keypoints
    with pytest.raises(addon("errors").TakeError, match="has no frame 9"):
        read(addon("take.reader").read_take(folder), 9)


def test_a_growing_take_shows_its_first_frames(addon, api, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(addon("scene.importer"), "SURFACES_AT_MOST", 3)
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 7), BOTH))
    importer = addon("scene.importer").TakeImporter(folder)
    for batch in ([1, 2], [3, 4], [5, 6]):
        collection = importer.add_frames(batch)
    assert surfaces(collection) == [f"Surface.{side} {frame:04d}" for side in "LR" for frame in (1, 2, 3)]
    bpy.context.scene.frame_set(6)
    assert not bpy.data.objects["wrist.L"].hide_viewport
    assert importer.finish() == collection and len(surfaces(collection)) == 6 and len(importer.problems) == 1
    importer = addon("scene.importer").TakeImporter(folder, surfaces="SHOW")
    importer.add_frames([1, 2, 3, 4])
    assert len(surfaces(importer.finish())) == 12 and not importer.problems


def test_surfaces_come_in_batches(addon, api, tmp_path: Path) -> None:
    """The loading finds the take again at each step, and ends with it."""
    loading_of = addon("scene.surfaces").SurfaceLoading
    folder = animated.write(tmp_path / "take", animated.make(7))
    collection, _ = api.import_take(folder)
    (folder / "frames/000002.npz").write_bytes(b"damaged")
    loading = loading_of(collection)
    loading.step(3)
    assert (loading.done, loading.total, loading.has_ended, len(surfaces(collection))) == (3, 7, False, 4)
    (problem,) = loading.problems
    assert "Cannot read frame 2" in problem
    again = loading_of(collection)
    assert again.total == 5, "what is in the file is not read again"
    again.step()
    assert again.has_ended and collection["im2hands_surfaces_on_disk"] == 1
    api.import_take(folder)
    loading = loading_of(collection)
    loading.step(1)
    api.remove_take(collection)
    loading.step()
    assert loading.has_ended and not bpy.data.meshes


def test_escape_keeps_what_is_there(addon, api, tmp_path: Path) -> None:
    """The operator's steps, without a window: a tick of the timer brings in a batch, Esc ends."""
    operator = addon("operators.show_surfaces").Im2HandsShowSurfaces
    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(10)))
    told: list[tuple[set[str], str]] = []
    texts: list[str | None] = []
    context = SimpleNamespace(
        scene=bpy.context.scene,
        window=None,
        window_manager=SimpleNamespace(
            progress_begin=lambda *_: None,
            progress_update=lambda *_: None,
            progress_end=lambda: None,
            event_timer_add=lambda *_, **__: None,
            event_timer_remove=lambda _: None,
        ),
        workspace=SimpleNamespace(status_text_set=texts.append),
    )
    running = SimpleNamespace(
        take="take", shown=True, use_range=False, _timer=None, report=lambda *words: told.append(words)
    )
    for name in ("_begin", "_stop", "_end", "modal"):
        setattr(running, name, getattr(operator, name).__get__(running))
    assert running._begin(context)
    assert running.modal(context, SimpleNamespace(type="MOUSEMOVE")) == {"RUNNING_MODAL"} and not surfaces(collection)
    assert running.modal(context, SimpleNamespace(type="TIMER")) == {"RUNNING_MODAL"}
    assert 0 < len(surfaces(collection)) < 20 and "of 10 frames. Esc stops." in texts[0]
    assert running.modal(context, SimpleNamespace(type="ESC")) == {"FINISHED"}
    assert "of 10 frames" in told[-1][1] and texts[-1] is None
    assert running._begin(context)
    while running.modal(context, SimpleNamespace(type="TIMER")) != {"FINISHED"}:
        pass
    assert len(surfaces(collection)) == 20 and len(told) == 1


def test_surfaces_on_disk_are_exported(addon, api, tmp_path: Path) -> None:
    """From the file those that are there, from disk the others; nothing is left in the file."""
    from datablocks import counted
    from test_export import of_type, read_back, seen_size

    folder = synthetic.write_take(tmp_path / "take", {1: BOTH, 3: ("left",), 5: BOTH, 7: BOTH}, step=2)
    collection, _ = api.import_take(folder, surfaces="NONE")
    before = counted()
    api.export_take(collection, tmp_path / "disk.abc", what="SURFACES")
    assert counted() == before
    api.show_surfaces(collection, frames=(1, 3))
    origin = next(one for one in collection.objects if one.name.endswith("Origin"))
    origin.location = (0.0, 0.0, 2.0)
    api.export_take(collection, tmp_path / "both.abc", what="SURFACES")
    for name, height in (("disk", 0.0), ("both", 2.0)):
        read_back(tmp_path / f"{name}.abc")
        for frame in range(1, 9):
            right = of_type("MESH")["Surface.R"]
            assert (seen_size(right, frame) > 0.05) == (frame not in (3, 4)), (name, frame)
            left = of_type("MESH")["Surface.L"]
            assert seen_size(left, frame) > 0.05
            wanted = np.load(folder / f"frames/{frame - (frame + 1) % 2:06d}.npz")["left_vertices"]
            found = left.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
            assert len(found) == len(wanted)
            assert np.allclose(found[0].co, [wanted[0, 0], wanted[0, 2], height - wanted[0, 1]], atol=1e-5)


def test_the_preview_brings_in_its_frame(addon, api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys((1, 2, 3), BOTH), size=(64, 48))
    collection, _ = api.import_take(folder, surfaces="NONE")
    path = api.render_overlay(tmp_path / "hands.png", frame=2, samples=1)
    assert surfaces(collection) == ["Surface.L 0002", "Surface.R 0002"]
    image = bpy.data.images.load(str(path))
    assert np.ptp(np.array(image.pixels[:]).reshape(-1, 4)[:, 0]) > 0.1, "hands over the plain background"


def test_a_damaged_surface_on_disk_is_told_by_the_export(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    collection, _ = api.import_take(folder)
    (folder / "frames/000002.npz").write_bytes(b"damaged")
    with pytest.raises(addon("errors").TakeError, match="Cannot read frame 2"):
        api.export_take(collection, tmp_path / "surfaces.abc", what="SURFACES")
    assert not (tmp_path / "surfaces.abc").exists()
    api.export_take(collection, tmp_path / "surfaces.abc", what="SURFACES", frames=(3, 3))


def test_a_take_that_is_made_again_shows_its_frames_meanwhile(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    api.import_take(folder)
    importer = addon("scene.importer").TakeImporter(folder)
    collection = importer.add_frames([1, 2])
    shown = {one.name: not one.hide_viewport for one in collection.children}
    assert shown == {"Hand.L": False, "Hand.R": False, "Surface.L": True, "Surface.R": True, "Keypoints": False}
    importer.finish()
    shown = {one.name: not one.hide_viewport for one in collection.children}
    assert shown == {"Hand.L": True, "Hand.R": True, "Surface.L": False, "Surface.R": False, "Keypoints": False}


def test_surfaces_whose_take_is_gone(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    collection, _ = api.import_take(folder, surfaces="NONE")
    api.show_surfaces(collection, frames=(1, 1))
    api.show_surfaces(collection, False)
    shutil.rmtree(folder)
    with pytest.raises(RuntimeError, match="no take in"):
        bpy.ops.im2hands.show_surfaces(take="take")
    assert addon("scene.tree").surfaces_are_shown(collection), "what is in the file is shown"


def test_the_panel_offers_what_is_on_disk(addon, api, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(addon("scene.importer"), "SURFACES_AT_MOST", 1)
    drawn: list[str] = []

    class Layout(SimpleNamespace):
        def row(self, **_: object) -> Layout:
            return self

        def label(self, text: str = "", **_: object) -> None:
            drawn.append(text)

        def operator(self, name: str, text: str = "", **_: object) -> SimpleNamespace:
            drawn.append(text or name)
            return SimpleNamespace()

    def texts(collection: bpy.types.Collection) -> list[str]:
        drawn.clear()
        addon("panels")._draw_surfaces(Layout(), collection, bpy.context.scene)
        return list(drawn)

    raw, _ = api.import_take(synthetic.write_take(tmp_path / "raw", dict.fromkeys((1, 2, 3), BOTH)))
    assert texts(raw) == ["Hide Surfaces", "More Surfaces", "Surfaces of 2 frames are on disk"]
    bpy.context.scene.use_preview_range = True
    bpy.context.scene.frame_preview_start, bpy.context.scene.frame_preview_end = 2, 3
    assert "More Surfaces 2-3" in texts(raw)
    bpy.context.scene.use_preview_range = False
    clean, _ = api.import_take(animated.write(tmp_path / "clean", animated.make(3)))
    assert texts(clean) == ["Show Surfaces"]
    api.show_surfaces(clean)
    assert texts(clean) == ["Hide Surfaces"]
    bare, _ = api.import_take(animated.write(tmp_path / "bare", animated.make(2), surfaces=False))
    assert texts(bare) == []
