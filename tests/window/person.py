"""The mouse, the keys and the screen of the lane ``window``: what a person does and sees, inside a Blender."""

from __future__ import annotations

import importlib
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np

HERE = Path(__file__).resolve().parent
FOLDER, ZIP = (Path(one) for one in sys.argv[sys.argv.index("--") + 1 :])
MODULE = "bl_ext.user_default.im2hands_addon"
FRAMES = 40
LONGEST_SECONDS = 30.0
STEP_PX = 9
Steps = Iterator[float]
"""A generator that yields the seconds until it goes on."""

sys.path.insert(0, str(HERE.parent / "blender"))
import synthetic  # noqa: E402

FAKE_PYTHON = f"""#!/bin/sh
for word; do last=$word; done
case "$*" in
*" venv "*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
*"pip install"*) echo "Collecting im2hands"; sleep 1 ;;
*"import venv"*) echo yes ;;
*"import "*im2hands*) ;;
*" check"*) exec "{sys.executable}" -I "{HERE.parent}/blender/fake_server.py" good 1 "$@" ;;
*" serve"*) exec "{sys.executable}" -I "{HERE.parent}/blender/fake_server.py" rebuilds {FRAMES} "$@" ;;
*) exec "{sys.executable}" "$@" ;;
esac
"""
"""A Python whose environments have no backend but a fake one, and whose pip downloads nothing."""

LEAST_REDRAWS = 0.9
"""Share of the redraws of an idle Blender while a job runs."""
LEAST_IDLE = 3.0
"""Redraws a second of an idle Blender below which other programs decide what a job costs."""

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


def count(kind: str) -> None:
    drawn[kind] += 1


def orbit(seconds: float, during: Callable[[], bool] = lambda: True) -> Iterator[float]:
    """Orbit the view with the middle button; returns the redraws of each half second, its length and its work."""
    place, counts, steps = region("WINDOW"), [], 0
    x, y = int(place.x + place.width * 0.3), int(place.y + place.height * 0.5)
    move(x, y)
    yield 0.1
    window().event_simulate(type="MIDDLEMOUSE", value="PRESS", x=x, y=y)
    end = time.monotonic() + seconds
    while time.monotonic() < end and during():
        start, before, work = time.monotonic(), drawn["WINDOW"], time.process_time()
        while time.monotonic() < start + 0.5:
            steps += 1
            move(x + 40 * np.sin(steps / 10), y + 20 * np.cos(steps / 10))
            yield 0.0
        counts.append((drawn["WINDOW"] - before, time.monotonic() - start, time.process_time() - work))
    window().event_simulate(type="MIDDLEMOUSE", value="RELEASE", x=x, y=y)
    yield 0.1
    return counts


class LeftOut(Exception):
    """A step was done, but cannot be judged here; the text says why."""


def judge_redraws(idle: list, busy: list, blocked: float) -> None:
    """A job must leave nine tenths of the redraws. ``blocked`` are the seconds that the add-on's timer took."""
    shares, blocked_share = redraw_shares(idle, busy, blocked)
    # Other programs share the processor with this one, and their load changes: one of both shares is not disturbed.
    if max(shares.values()) >= LEAST_REDRAWS and blocked_share <= 1 - LEAST_REDRAWS:
        return
    draws, seconds, _ = (float(one) for one in np.sum(idle, axis=0))
    if draws / seconds < LEAST_IDLE:
        raise LeftOut(f"this machine is busy: an idle Blender was drawn {draws / seconds:.1f} times a second")
    raise AssertionError(f"{shares}, blocked {blocked_share}")


def redraw_shares(idle: list, busy: list, blocked: float) -> tuple[dict[str, float], float]:
    """Redraws beside a job as shares of those without, by time and by work, and the share of time that was blocked."""
    told = {}
    for name, values in (("idle", idle), ("busy", busy)):
        draws, seconds, work = (float(one) for one in np.sum(values, axis=0))
        told[name] = {"a_second": draws / seconds, "a_second_of_work": draws / work}
    shares = {name: told["busy"][name] / told["idle"][name] for name in told["idle"]}
    blocked_share = blocked / float(np.sum(busy, axis=0)[1])
    (FOLDER / "redraws.json").write_text(json.dumps({**told, "shares": shares, "blocked_share": blocked_share}))
    return shares, blocked_share


def timeline_shows(first: int, last: int) -> bool:
    """Whether the timeline shows a range of frames, and little else."""
    area = next(one for one in window().screen.areas if one.ui_type == "TIMELINE")
    place = next(one for one in area.regions if one.type == "WINDOW")
    ends = [place.view2d.view_to_region(frame, 0, clip=False)[0] for frame in (first, last)]
    return 0 <= ends[0] < 0.2 * place.width and 0.8 * place.width < ends[1] <= place.width
