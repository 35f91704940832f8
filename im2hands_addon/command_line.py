"""``blender --command im2hands ...``: reconstruct, import and export without a window."""

from __future__ import annotations

import argparse
import atexit
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from . import api
from .bone_maps import bundled_maps
from .errors import AddonError, InputError
from .locations import backend_setting
from .person_path import person_path
from .process import options, task
from .reconstruction import Reconstruction, find_backend
from .scene.rotation_modes import MODES

NAME = "im2hands"
_registered: list[object] = []


def run(arguments: Sequence[str]) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str
        The command line after ``im2hands``.

    Returns
    -------
    int
        Exit code: 0 all frames ok, 1 some failed (the rest is on disk), 2 bad arguments or input, 3 environment,
        130 interrupted.
    """
    try:
        chosen = _parser().parse_args(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return chosen.action(chosen)
    except AddonError as error:
        _say(f"im2hands: {error}", sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"blender --command {NAME}", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    one = actions.add_parser("reconstruct", help="pictures or a clip to a take and a .blend")
    one.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, a folder or a clip")
    one.add_argument("--output", metavar="TAKE", help="the take's folder")
    options.add_arguments(one)
    _add_common(one, _reconstruct)

    one = actions.add_parser("import", help="a take to a .blend")
    one.add_argument("take", metavar="TAKE", help="the take's folder or its take.json")
    _add_common(one, _import)

    one = actions.add_parser("check", help="what is installed")
    one.add_argument("--backend", default="", metavar="PYTHON", help="the backend's environment")
    one.set_defaults(action=_check)
    return parser


def _add_common(parser: argparse.ArgumentParser, action: object) -> None:
    parser.add_argument("--open", metavar="FILE", help="open this .blend first, for its scene or its character")
    parser.add_argument(
        "--surfaces", choices=("auto", "show", "none"), default="auto", help="which implicit surfaces to bring in"
    )
    parser.add_argument("--start-frame", type=int, metavar="N", help="scene frame of the take's first frame")
    parser.add_argument(
        "--conform", action="store_true", help="put the keys at their true times where the scene has another frame rate"
    )
    parser.add_argument(
        "--clean-influence", type=float, metavar="0-1", help="from the motion as measured (0) to the clean one (1)"
    )
    parser.add_argument("--show-footage", action="store_true", help="show the pictures in space, behind the hands")
    parser.add_argument("--rotations", choices=MODES, help="kind of the rigs' rotation curves")
    parser.add_argument("--bake-to", metavar="ARMATURE", help="key hands and fingers on this rig in the file")
    parser.add_argument("--bone-map", default="AUTO", metavar="MAP|FILE", help="its bone names")
    parser.add_argument("--no-wrists", dest="wrists", action="store_false", help="bake the fingers alone")
    parser.add_argument("--bake-into", choices=("action", "new", "layer"), default="action", help="where the keys go")
    parser.add_argument("--bake-offset", type=int, default=0, metavar="N", help="frames by which the bake comes later")
    parser.add_argument(
        "--reduce-keys", type=float, default=0.0, metavar="DEGREES", help="leave out keys within this error of a bone"
    )
    parser.add_argument("--export", action="append", default=[], metavar="FILE", help="write the hands; repeatable")
    parser.add_argument(
        "--export-surfaces", action="append", default=[], metavar="FILE", help="write the surfaces; repeatable"
    )
    parser.add_argument("--blend", metavar="FILE", help="save the scene here")
    parser.add_argument("--picture", metavar="FILE", help="render the first frame over its photo to this PNG")
    parser.add_argument("--backend", default="", metavar="PYTHON", help="the backend's environment")
    parser.set_defaults(action=action)


def _reconstruct(arguments: argparse.Namespace) -> int:
    chosen = {name: _option_value(option, getattr(arguments, name)) for name, option in options.OPTIONS.items()}
    _open(arguments)
    interrupted: list[int] = []
    with _interrupts_noted(interrupted):
        result = api.reconstruct(
            [_full(path) for path in arguments.inputs],
            _full(arguments.output),
            backend=arguments.backend,
            surfaces=arguments.surfaces.upper(),
            timing=api.Timing(arguments.start_frame, arguments.conform),
            on_poll=_Reporter(interrupted),
            **chosen,
        )
    for warning in result.warnings:
        _say(f"warning: {warning}", sys.stderr)
    counts = ", ".join(
        f"{result.summary[name]} {name}" for name in ("ok", "partial", "empty", "failed") if result.summary.get(name)
    )
    _say(f"{result.take}: {counts or 'no frames'}")
    if result.collection is not None:
        _finish(arguments, result.collection)
    return result.exit_code


def _import(arguments: argparse.Namespace) -> int:
    _open(arguments)
    collection, problems = api.import_take(
        _full(arguments.take),
        surfaces=arguments.surfaces.upper(),
        timing=api.Timing(arguments.start_frame, arguments.conform),
    )
    for problem in problems:
        _say(f"warning: {problem}", sys.stderr)
    _say(f"imported {collection.name}")
    _finish(arguments, collection)
    return 0


def _open(arguments: argparse.Namespace) -> None:
    if not arguments.open:
        return
    try:
        bpy.ops.wm.open_mainfile(filepath=_full(arguments.open), load_ui=False)
    except RuntimeError as error:
        raise InputError(f"Cannot open {arguments.open}: {error}.") from error


def _finish(arguments: argparse.Namespace, collection: bpy.types.Collection) -> None:
    """Apply the common options to the imported take, each after those that it depends on."""
    if arguments.clean_influence is not None:
        api.set_smoothing(collection, arguments.clean_influence)
    if arguments.show_footage:
        try:
            api.show_footage(collection)
        except InputError as error:  # the hands are still saved
            _say(f"warning: {error}", sys.stderr)
    if arguments.rotations:
        api.set_rotation_mode(collection, arguments.rotations)
    if arguments.bake_to:
        target = bpy.data.objects.get(arguments.bake_to)
        if target is None:
            raise InputError(f"There is no object {arguments.bake_to} in the file.", "Name an armature in it.")
        known = {one.identifier for one in bundled_maps()} | {"AUTO"}
        chosen = arguments.bone_map if arguments.bone_map in known else _full(arguments.bone_map)
        baked = api.bake_to_rig(
            collection,
            target,
            bone_map=chosen,
            wrist=arguments.wrists,
            into=arguments.bake_into.upper(),
            offset=arguments.bake_offset,
            reduce_degrees=arguments.reduce_keys,
        )
        _say(baked.told(target.name))
    for what, paths in (("HANDS", arguments.export), ("SURFACES", arguments.export_surfaces)):
        for path in paths:
            for written in api.export_take(collection, _full(path), what=what):
                _say(f"wrote {written}")
    _save(arguments)


def _check(arguments: argparse.Namespace) -> int:
    found = find_backend(arguments.backend or backend_setting())
    _say(f"{found.name} ({found.where})")
    asking = task.check(found)
    while not asking.has_ended:
        time.sleep(0.1)
        asking.poll()
    for finding in task.check_findings(asking):
        _say(f"{'ok   ' if finding.ok else 'WRONG'} {finding.text}")
    return asking.exit_code


def _save(arguments: argparse.Namespace) -> None:
    if arguments.picture:
        scene = bpy.context.scene
        _say(f"rendered {api.render_overlay(_full(arguments.picture), scene=scene, frame=scene.frame_start)}")
    if not arguments.blend:
        return
    target = Path(_full(arguments.blend))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(target), check_existing=False)
    except (OSError, RuntimeError) as error:
        raise InputError(f"Cannot write {target}: {error}.", "Choose a folder you may write to.") from error
    if not target.is_file():
        raise InputError(f"Cannot write {target}.", "Choose a folder you may write to.")
    _say(f"saved {target}")


class _Reporter:
    """Prints progress when it changes, and cancels the job after an interrupt."""

    def __init__(self, interrupted: list[int]) -> None:
        self._interrupted = interrupted
        self._last = ""

    def __call__(self, running: Reconstruction) -> None:
        if self._interrupted:
            running.cancel(at_once=len(self._interrupted) > 1)
        text = running.job.progress.text.split(",")
        line = ",".join(text[:2])
        if line != self._last:
            self._last = line
            _say(line)


@contextmanager
def _interrupts_noted(interrupted: list[int]) -> Iterator[None]:
    """Record a Ctrl-C in the list instead of ending at once, so that the backend can finish its frame."""
    try:
        before = signal.signal(signal.SIGINT, lambda number, _frame: interrupted.append(number))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def _option_value(option: options.Option, value: object) -> object:
    """A value from the command line; paths are made absolute because the backend has another working folder."""
    return _full(str(value)) if option.is_path and value and value not in (option.default, *option.values) else value


def _full(path: str | None) -> str | None:
    return str(person_path(path).absolute()) if path else None


def _say(text: str, stream: object = None) -> None:
    target: Any = stream or sys.stdout
    # The console may lack characters of a path, and no encoding has those of a name that is not UTF-8.
    encoding = getattr(target, "encoding", None) or "utf-8"
    print(text.encode(encoding, errors="backslashreplace").decode(encoding), file=target, flush=True)


def register() -> None:
    """Register the command."""
    _registered.append(bpy.utils.register_cli_command(NAME, run))
    # The bpy module (no executable) releases its commands after Python has ended, and crashes.
    if not bpy.app.binary_path:
        atexit.register(unregister)


def unregister() -> None:
    """Unregister the command."""
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())
