#!/usr/bin/env python3
"""The developer's commands: `python dev.py setup | demo | test | package | lint` (Python 3.11+, nothing to install)."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("dev.py needs Python 3.11 or newer.")

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dev_tools.choices import (
    BPYS,
    TORCH_CHOICES,
    DevError,
    Interpreter,
    Version,
    choose_bpy,
    choose_demo_blender,
    dotted,
)
from dev_tools.environments import backend_environment, bpy_environment
from dev_tools.extension import package_extension
from dev_tools.lanes import Lane, run_lanes, summary
from dev_tools.machine import blender_on_path, find_python, other_pythons, running_interpreter
from dev_tools.options_page import OPTIONS_PAGE, options_page
from dev_tools.processes import BUILD, ROOT, Command, run, say, step
from dev_tools.window import make_own_debian, window_blender

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""File names with these suffixes are photos."""

BACKEND_LANES = {
    "backend": ("tests/backend", "--ignore=tests/backend/lab", "tests/test_dev.py", "tests/test_docs.py"),
    "lab": ("tests/backend/lab",),
}
"""Lanes of the backend's environment, the longest first. Two, because a lane runs one test at a time."""

WINDOW_LANE = "window"
"""The lane that clicks in a Blender with a window, see tests/window."""


def pythons() -> list[Interpreter]:
    """Return the Python interpreters of this machine, the running one first."""
    return [running_interpreter(), *other_pythons()]


def setup(options: argparse.Namespace) -> int:
    """Make or update all environments that this machine has a Python for; returns the exit code."""
    if options.window:
        make_own_debian(options.fresh)
        return 0
    backend_environment(options.torch, options.fresh)
    for bpy in BPYS:
        python = find_python(bpy.python)
        if python:
            bpy_environment(bpy, python, options.fresh)
        else:
            say(f"-- environment blender-{bpy.name}: left out, no Python {dotted(bpy.python)} here")
    return 0


def demo(options: argparse.Namespace) -> int:
    """Reconstruct the bundled photos and clip with the add-on's Python API, in build/demo.

    The photos give take, hands.blend, hands_clean.blend and hands.png. The clip gives clip_take, clip.blend,
    clip_clean.blend and clip.png. The .blend files are written by the oldest available Blender, because older Blenders
    cannot open files of newer ones. Photos given on the command line are reconstructed in build/demo_own instead.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options, see ``parser``.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    DevError
        A photo does not exist, or the demo failed.
    """
    photos = own_photos(options.photos)
    backend = backend_environment(options.torch, options.fresh)
    command = demo_command(options.fresh)
    folder = BUILD / ("demo_own" if photos else "demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with step("demo"), tempfile.TemporaryDirectory(prefix="im2hands-demo-") as resources:
        extra = {"IM2HANDS_BACKEND": str(backend), "BLENDER_USER_RESOURCES": resources}
        code = run([*command, "--output", folder, *photos], options.timeout, extra)
    clean = ("hands_clean.blend",) if (folder / "take" / "motion.npz").is_file() else ()
    clip = () if photos else ("clip_take/motion.npz", "clip.blend", "clip_clean.blend", "clip.png")
    wanted = ("take/take.json", "hands.blend", "hands.png", *clean, *clip)
    missing = [name for name in wanted if not (folder / name).is_file()]
    if code or missing:
        raise DevError(f"the demo ended with exit code {code}; missing: {', '.join(missing) or 'nothing'}.")
    say(f"look at {(folder / 'hands.png').relative_to(ROOT)}; open {(folder / 'hands.blend').relative_to(ROOT)}")
    if clip:
        for name in ("clip.png", "clip_clean.blend"):
            say(f"and at {(folder / name).relative_to(ROOT)}")
    return 0


def demo_command(fresh: bool) -> Command:
    """Return the command that runs the demo's script in the oldest available Blender.

    Parameters
    ----------
    fresh : bool
        Whether to recreate the Blender environment.

    Returns
    -------
    Command
    """
    script = ROOT / "demo" / "make_demo.py"
    blender = blender_on_path()
    wheel = choose_demo_blender(blender[1] if blender else None, pythons())
    if blender and wheel is None:
        return [blender[0], "-b", "--factory-startup", "--python-exit-code", "3", "--python", script, "--"]
    assert wheel is not None
    return [bpy_environment(*wheel, fresh), script]


def own_photos(given: Sequence[Path]) -> list[Path]:
    """Expand the photos and folders given on the command line.

    Parameters
    ----------
    given : sequence of Path
        Photos, and folders of photos.

    Returns
    -------
    list of Path
        The photos in the given order; those of a folder sorted by name.

    Raises
    ------
    DevError
        A path does not exist, or there is no photo.
    """
    photos: list[Path] = []
    for path in given:
        if path.is_dir():
            photos += sorted(one for one in path.iterdir() if one.suffix.lower() in PHOTO_ENDINGS)
        elif path.is_file():
            photos.append(path)
        else:
            raise DevError(f"there is no photo or folder {path}.")
    if given and not photos:
        raise DevError(f"there is no photo in {given[0]}.")
    return [photo.resolve() for photo in photos]


def package(options: argparse.Namespace) -> int:
    """Build the extension's zip, and validate it where there is a Blender; returns the exit code."""
    package_extension()
    return 0


def lint(options: argparse.Namespace) -> int:
    """Run ruff and mypy; returns the exit code."""
    python = backend_environment(options.torch, options.fresh)
    failed = []
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["mypy", "dev.py"]):
        with step(" ".join(command)):
            failed += [" ".join(command)] if run([python, "-m", *command]) else []
    say(f"lint: {'failed: ' + ', '.join(failed) if failed else 'clean'}")
    return 1 if failed else 0


def docs(options: argparse.Namespace) -> int:
    """Write ``docs/options.md`` from the table of options; returns the exit code."""
    OPTIONS_PAGE.write_text(options_page(), encoding="utf-8")
    say(f"wrote {OPTIONS_PAGE.relative_to(ROOT)}")
    return 0


def lane_names() -> list[str]:
    """Return the names of all test lanes."""
    return [*BACKEND_LANES, *(f"blender-{bpy.name}" for bpy in BPYS), WINDOW_LANE]


def blender_lanes(wanted: Sequence[str], fresh: bool) -> tuple[list[Lane], list[str]]:
    """Make the wanted Blender test lanes that this machine has a Python for.

    Parameters
    ----------
    wanted : sequence of str
        Names of the wanted lanes.
    fresh : bool
        Whether to recreate their environments.

    Returns
    -------
    lanes : list of Lane
        Lanes that can run.
    left_out : list of str
        For each other wanted lane, its name and the reason.

    Raises
    ------
    DevError
        Blender lanes are wanted, but none can run.
    """
    lanes, left_out = [], []
    covered: set[Version] = set()
    for bpy in BPYS:
        name = f"blender-{bpy.name}"
        python = find_python(bpy.python) if name in wanted else None
        if python:
            tests = ("tests/blender", "-m", "not version_independent") if bpy.python in covered else ("tests/blender",)
            covered.add(bpy.python)
            lanes.append(Lane(name, bpy_environment(bpy, python, fresh), tests))
        elif name in wanted:
            left_out.append(f"{name}, no Python {dotted(bpy.python)} here")
    if left_out and not lanes:
        raise DevError("no bpy wheel fits a Python of this machine. Install Python 3.11 or 3.13 for the Blender lanes.")
    return lanes, left_out


def oldest_bpy(lanes: Sequence[Lane], fresh: bool) -> Path:
    """Return the Python of the oldest available bpy: the tests check that its files open in every lane.

    Parameters
    ----------
    lanes : sequence of Lane
        Lanes whose environments exist.
    fresh : bool
        Whether to recreate the environment if no lane has it.

    Returns
    -------
    Path
    """
    bpy, python = choose_bpy(pythons())
    made = {lane.name: lane.python for lane in lanes}
    return made.get(f"blender-{bpy.name}") or bpy_environment(bpy, python, fresh)


def test(options: argparse.Namespace) -> int:
    """Run the test lanes and print a summary; returns the exit code."""
    start = time.monotonic()
    wanted = options.lane or lane_names()
    backend = backend_environment(options.torch, options.fresh)
    lanes, left_out = blender_lanes(wanted, options.fresh)
    extra = {"IM2HANDS_BACKEND": str(backend)}
    if lanes:
        extra["IM2HANDS_OLDEST_BPY"] = str(oldest_bpy(lanes, options.fresh))
    if WINDOW_LANE in wanted:
        _, reason = window_blender()
        if reason:
            left_out.append(f"{WINDOW_LANE}, {reason}")
        else:
            lanes.append(Lane(WINDOW_LANE, backend, ("tests/window",)))
    if lanes:
        extra["IM2HANDS_EXTENSION"] = str(package_extension())
    lanes[:0] = [Lane(name, backend, tests) for name, tests in BACKEND_LANES.items() if name in wanted]
    for lane in lanes:
        lane.extra = extra
    run_lanes(lanes, options.timeout, options.pytest, options.side_by_side)
    say("")
    for line in summary(lanes, left_out, time.monotonic() - start):
        say(line)
    return 1 if any(lane.failed for lane in lanes) else 0


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "setup": (setup, "make or update the environments .venv/backend and .venv/blender-<version>"),
    "demo": (demo, "reconstruct the bundled photos and the clip: build/demo/{hands,clip}{.blend,_clean.blend,.png}"),
    "test": (test, "run every test lane this machine can run; arguments after -- go to pytest"),
    "package": (package, "build build/im2hands_addon-<version>.zip, and validate it where there is a Blender"),
    "lint": (lint, "ruff check, ruff format --check, mypy"),
    "docs": (docs, "write docs/options.md from the table of options"),
}

WITHOUT_ENVIRONMENTS = ("package", "docs")
"""Commands that make no environment."""


def parser() -> argparse.ArgumentParser:
    """Make the parser of dev.py's command line."""
    top = argparse.ArgumentParser(prog="dev.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name not in WITHOUT_ENVIRONMENTS:
            text = "torch build; auto looks for a GPU"
            command.add_argument("--torch", choices=TORCH_CHOICES, default="auto", help=text)
            command.add_argument("--fresh", action="store_true", help="recreate the environments from scratch")
        if name == "setup":
            text = "only a small Debian with Blender in .venv/window, for the lane window (root, debootstrap, 1.4 GB)"
            command.add_argument("--window", action="store_true", help=text)
        if name == "demo":
            command.add_argument("--timeout", type=float, default=3600, metavar="S", help="time limit, seconds")
            command.add_argument("photos", nargs="*", type=Path, help="your own photos or folders of photos instead")
        if name == "test":
            command.add_argument(
                "--timeout", type=float, default=900, metavar="S", help="time limit of a single test, seconds"
            )
            command.add_argument(
                "--side-by-side", type=int, default=2, metavar="N", help="lanes that run at the same time (default: 2)"
            )
            command.add_argument("--lane", action="append", choices=lane_names(), help="only this lane (repeatable)")
    return top


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the command line at `--`.

    Parameters
    ----------
    arguments : sequence of str
        The command line.

    Returns
    -------
    own : list of str
        Arguments of dev.py.
    for_pytest : list of str
        Arguments after `--`.
    """
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:cut]), list(arguments[cut + 1 :])


def main(arguments: Sequence[str]) -> int:
    """Run a command of dev.py; returns the exit code."""
    own, for_pytest = split_arguments(arguments)
    options = parser().parse_args(own)
    options.pytest = for_pytest
    try:
        return COMMANDS[options.command][0](options)
    except DevError as error:
        say(f"dev.py {options.command}: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
