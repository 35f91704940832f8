"""What the lane ``window`` does in a Blender with a window: a person's way from the zip to corrected hands, by clicks.

Runs as ``blender --python session.py -- FOLDER ZIP``. Each step appends a line to FOLDER/steps.jsonl; pictures of the
screen are written beside it. A step waits for what it does to be seen, and never for a fixed time.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d

HERE = Path(__file__).resolve().parent
FOLDER, ZIP = (Path(one) for one in sys.argv[sys.argv.index("--") + 1 :])
MODULE = "bl_ext.user_default.im2hands_addon"
FRAMES = 24
LONGEST_SECONDS = 30.0
STEP_PX = 9
Steps = Iterator[float]
"""A generator that yields the seconds until it goes on."""

sys.path.insert(0, str(HERE.parent / "blender"))
import synthetic  # noqa: E402

drawn = {"WINDOW": 0, "UI": 0}
"""How often each region of the 3D view was drawn."""


def addon(name: str) -> object:
    return importlib.import_module(f"{MODULE}.{name}")


def window() -> bpy.types.Window:
    return bpy.context.window_manager.windows[0]


def view() -> bpy.types.Area:
    return max((one for one in window().screen.areas if one.type == "VIEW_3D"), key=lambda one: one.width)


def region(kind: str) -> bpy.types.Region:
    return next(one for one in view().regions if one.type == kind)


def screen() -> np.ndarray:
    """What the screen shows, (H, W, 3) uint8, from the file of Xvfb (format XWD)."""
    data = (FOLDER / "Xvfb_screen0").read_bytes()
    head = struct.unpack(">25I", data[:100])
    size, width, height, line, colours = head[0], head[4], head[5], head[12], head[19]
    pixels = np.frombuffer(data, np.uint8, line * height, size + 12 * colours).reshape(height, line)
    return pixels[:, : 4 * width].reshape(height, width, 4)[..., 2::-1]


def picture(name: str) -> np.ndarray:
    """Keep what the screen shows; it must not be empty."""
    pixels = screen()
    synthetic.write_png(FOLDER / f"{name}.png", pixels)
    assert pixels.std() > 15 and pixels.max() > 150, f"{name}: the screen is black"
    return pixels


def until(seen: Callable[[], object], what: str) -> Steps:
    end = time.monotonic() + LONGEST_SECONDS
    while not seen():
        assert time.monotonic() < end, f"{what}: not within {LONGEST_SECONDS:.0f} s"
        yield 0.05


def move(x: float, y: float) -> None:
    window().event_simulate(type="MOUSEMOVE", value="NOTHING", x=int(x), y=int(y))


def key(kind: str, x: float, y: float, **modifiers: bool) -> None:
    for value in ("PRESS", "RELEASE"):
        window().event_simulate(type=kind, value=value, x=int(x), y=int(y), **modifiers)


def under_mouse(kind: str) -> str:
    """The call of the button under the mouse, such as ``im2hands.reconstruct()``; "" for none."""
    bpy.context.window_manager.clipboard = ""
    with bpy.context.temp_override(window=window(), area=view(), region=region(kind)):
        if bpy.ops.ui.copy_python_command_button.poll():
            bpy.ops.ui.copy_python_command_button()
    return bpy.context.window_manager.clipboard.removeprefix("bpy.ops.")


found: dict[str, tuple[float, float]] = {}
"""Where the mouse found a button last."""


def find(button: str, across: float = 0.5, below: str = "") -> Iterator[float]:
    """Go down the sidebar with the mouse until it is over a button; returns its place."""
    ui = region("UI")
    top = int(found[below][1]) + 6 * STEP_PX if below else ui.y + ui.height - 10
    for y in range(top, ui.y + 10, -STEP_PX):
        x = ui.x + ui.width * across
        move(x, y)
        yield 0.02
        if under_mouse("UI").startswith(button):  # or still the button of the place before
            yield 0.1
            if under_mouse("UI").startswith(button):
                found[button] = x, y
                return x, y
    raise AssertionError(f"the sidebar has no button {button}")


def click(button: str, across: float = 0.5, below: str = "") -> Steps:
    x, y = yield from find(button, across, below)
    key("LEFTMOUSE", x, y)
    yield 0.1


def job() -> object:
    return addon("running").reconstruction()


def take() -> bpy.types.Collection:
    return next(one for one in bpy.data.collections if "im2hands_take" in one)


# --- the steps, in their order


def installs_the_zip() -> Steps:
    bpy.context.preferences.view.show_splash = False
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=str(ZIP), enable_on_install=True)
    assert MODULE in bpy.context.preferences.addons
    backend = FOLDER / "backend.sh"
    script = HERE.parent / "blender" / "fake_server.py"
    backend.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{script}" rebuilds {FRAMES} "$@"\n')
    backend.chmod(0o755)
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend, own.takes = str(backend), str(FOLDER / "takes")
    yield 0.1


def opens_the_sidebar() -> Steps:
    for kind in drawn:
        bpy.types.SpaceView3D.draw_handler_add(count, (kind,), kind, "POST_PIXEL")
    place = view()
    x, y = place.x + place.width / 2, place.y + place.height / 2
    move(x, y)
    yield 0.2
    key("ESC", x, y)
    yield 0.2
    if region("UI").width <= 1:
        key("N", x, y)
    yield from until(lambda: region("UI").width > 1 and drawn["UI"], "the sidebar opens")
    yield 0.2
    region("UI").active_panel_category = "Im2Hands"
    yield 0.3
    yield from find("im2hands.reconstruct")
    picture("sidebar")


def count(kind: str) -> None:
    drawn[kind] += 1


def a_dropped_file_is_reconstructed() -> Steps:
    """A file is dragged from a file browser, which takes the place of the properties, into the 3D view."""
    place = next(one for one in window().screen.areas if one.type == "PROPERTIES")
    place.type = "FILE_BROWSER"
    (FOLDER / "dropped").mkdir()
    synthetic.write_png(FOLDER / "dropped" / "shot.png", synthetic.picture(640, 480))
    yield from until(lambda: place.spaces.active.params is not None, "the file browser opens")
    params = place.spaces.active.params
    place.spaces.active.show_region_toolbar = False
    params.directory, params.display_type = str(FOLDER / "dropped").encode(), "THUMBNAIL"
    yield 1.0
    files = next(one for one in place.regions if one.type == "WINDOW")
    x, y = files.x + 50, files.y + files.height - 50
    to = view().x + view().width * 0.4, view().y + view().height * 0.5
    for near in (6, 3, 0):
        move(x + near, y)
        yield 0.2
    window().event_simulate(type="LEFTMOUSE", value="PRESS", x=x, y=y)
    yield 0.2
    for near in (3, 6, 12, 20):
        move(x - near, y + near)
        yield 0.1
    for part in range(1, 9):
        move(x + (to[0] - x) * part / 8, y + (to[1] - y) * part / 8)
        yield 0.1
    window().event_simulate(type="LEFTMOUSE", value="RELEASE", x=int(to[0]), y=int(to[1]))
    yield 0.5
    picture("drop_menu")
    key("R", *to)  # the letter of our entry; above it stands what Blender itself does with a picture
    yield from until(lambda: bpy.context.scene.im2hands.source, "the dropped file is the source")
    yield 0.5
    picture("dropped")
    assert bpy.context.scene.im2hands.source == str(FOLDER / "dropped" / "shot.png")
    key("RET", *to)
    place.type = "PROPERTIES"
    yield from until(lambda: job() is not None and job().job.state == "running", "the job runs")


def the_bar_moves_while_the_view_is_drawn() -> Steps:
    before, seen = dict(drawn), set()
    place = region("WINDOW")
    middle = place.x + place.width / 2, place.y + place.height / 2

    def is_moving() -> bool:
        move(middle[0] + 3 * len(seen), middle[1])
        view().tag_redraw()
        seen.add(round(job().job.progress.fraction, 3))
        return len(seen) >= 4 and all(drawn[kind] - before[kind] >= 4 for kind in drawn)

    yield from until(is_moving, "the bar moves")
    assert addon("running").is_reconstructing()
    picture("running")


def a_click_cancels_it() -> Steps:
    yield from click("im2hands.cancel_reconstruction", 0.84, "im2hands.reconstruct")
    yield from until(lambda: not addon("running").is_reconstructing(), "the job ends")
    assert job().result.cancelled and 0 < len(job().job.frames) < FRAMES
    assert len(take().all_objects) > 2, "what is done is in the scene"


def a_click_goes_on_with_it() -> Steps:
    done = len(job().job.frames)
    yield from click("im2hands.reconstruct", below="im2hands.reconstruct")
    yield from until(lambda: job().job.state == "finished" and job().has_ended, "the rest is made")
    assert job().job.summary["reused"] == done and len(job().job.frames) == FRAMES
    yield 0.3
    assert view().spaces.active.region_3d.view_perspective == "CAMERA"
    picture("done")


def a_keypoint_is_dragged() -> Steps:
    override = {"window": window(), "area": view(), "region": region("WINDOW")}
    with bpy.context.temp_override(**override):
        assert bpy.ops.im2hands.edit_keypoints(take=take().name) == {"FINISHED"}
    yield 0.5
    sticks = bpy.context.view_layer.objects.active
    assert sticks.mode == "EDIT"
    place, space = region("WINDOW"), view().spaces.active
    tip = sticks.matrix_world @ sticks.data.vertices[8].co
    start = location_3d_to_region_2d(place, space.region_3d, tip)
    x, y = place.x + start.x, place.y + start.y
    move(x, y)
    yield 0.1
    key("LEFTMOUSE", x, y)
    yield 0.2
    key("G", x, y)
    yield 0.1
    for part in range(1, 6):
        move(x + 8 * part, y + 4 * part)
        yield 0.05
    picture("dragging")
    key("LEFTMOUSE", x + 40, y + 20)
    yield 0.2
    sticks.update_from_editmode()
    moved = (sticks.matrix_world @ sticks.data.vertices[8].co - tip).length
    assert moved > 0.003, f"the tip of the index finger moved by {moved} m"


def its_frame_is_rebuilt() -> Steps:
    last = job()
    with bpy.context.temp_override(window=window(), area=view(), region=region("WINDOW")):
        assert bpy.ops.im2hands.rebuild_frames(take=take().name) == {"FINISHED"}
    yield from until(lambda: job() is not last and job().has_ended, "the frame is rebuilt")
    assert job().error is None and len(job().job.frames) == 1, job().error
    assert not addon("scene.corrections").read(take()).unsent
    picture("rebuilt")


def an_undo_takes_it_back() -> Steps:
    name = take().name
    assert addon("scene.corrections").read(take()).edits
    place = region("WINDOW")
    x, y = place.x + place.width / 2, place.y + place.height / 2
    move(x, y)
    yield 0.1

    def is_back() -> bool:
        return name not in bpy.data.collections or not addon("scene.corrections").read(take()).edits

    for _ in range(4):  # the rebuild, the correction, the drag, edit mode
        key("Z", x, y, ctrl=True)
        yield 0.3
        if is_back():
            break
    assert is_back()
    assert name in bpy.data.collections, "the take itself is an earlier step"
    key("Z", x, y, ctrl=True, shift=True)
    yield 0.3


def it_is_saved_and_opened_again() -> Steps:
    path = str(FOLDER / "shot.blend")
    count_of_objects = len(take().all_objects)
    with bpy.context.temp_override(window=window()):
        bpy.ops.wm.save_as_mainfile(filepath=path)
        assert Path(path).is_file()
        bpy.ops.wm.open_mainfile(filepath=path)
    yield 0.5
    assert len(take().all_objects) == count_of_objects
    yield from until(lambda: region("UI").width > 1, "the sidebar is there again")
    picture("opened_again")


STEPS = (
    installs_the_zip,
    opens_the_sidebar,
    a_dropped_file_is_reconstructed,
    the_bar_moves_while_the_view_is_drawn,
    a_click_cancels_it,
    a_click_goes_on_with_it,
    a_keypoint_is_dragged,
    its_frame_is_rebuilt,
    an_undo_takes_it_back,
    it_is_saved_and_opened_again,
)


def session() -> Steps:
    """Do all steps and write their results; what comes after a failure is not reached."""
    with (FOLDER / "steps.jsonl").open("w") as file:
        for step in STEPS:
            start, problem = time.monotonic(), ""
            try:
                yield from step()
            except Exception:
                problem = traceback.format_exc()
                synthetic.write_png(FOLDER / "failed.png", screen())
            took = time.monotonic() - start
            file.write(json.dumps({"step": step.__name__, "problem": problem, "seconds": took}) + "\n")
            file.flush()
            if problem:
                break
    os._exit(0)


running = session()
bpy.app.timers.register(lambda: next(running, None), first_interval=0.5, persistent=True)
