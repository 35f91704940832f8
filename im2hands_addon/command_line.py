"""``blender --command im2hands ...``: the sidebar's work without a window, for scripts and render farms."""

from __future__ import annotations

import argparse
import atexit
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bpy

from . import api
from .bone_maps import bundled_maps
from .errors import AddonError, InputError
from .locations import backend_setting, own_environment
from .process import environment, task
from .reconstruction import Reconstruction
from .scene import clean
from .scene.rotation_modes import MODES

NAME = "im2hands"
_registered: list[object] = []


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say.

    Returns:
        0 all frames ok, 1 some failed (the rest is on disk), 2 bad arguments or input, 3 environment, 130 interrupted.
    """
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return options.action(options)
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
    one.add_argument("--frames", metavar="1-100")
    one.add_argument("--step", type=int, default=1, metavar="N")
    one.add_argument("--keypoints", default="auto", metavar="auto|mediapipe|network|FILE")
    one.add_argument("--hand-boxes", metavar="FILE")
    one.add_argument("--no-crop-search", dest="crop_search", action="store_false")
    one.add_argument("--no-keypoint-refinement", dest="keypoint_refinement", action="store_false")
    one.add_argument("--no-clean", dest="clean", action="store_false", help="no rigged hands, the surfaces alone")
    one.add_argument("--smoothing", type=float, default=0.5, metavar="0-1", help="of the clean motion")
    one.add_argument("--gap", type=int, default=12, metavar="N", help="frames at most that are filled in")
    one.add_argument("--template-density", type=int, default=1, choices=(0, 1, 2), help="of the clean meshes")
    one.add_argument("--mirrored", action="store_true", help="the pictures are mirror images (selfies)")
    lens = one.add_mutually_exclusive_group()
    lens.add_argument("--camera", metavar="FILE")
    lens.add_argument("--focal-px", type=float, metavar="F")
    lens.add_argument("--fov", type=float, metavar="DEGREES")
    one.add_argument("--weights", default="bundled", metavar="bundled|DIR")
    one.add_argument("--stage", choices=("keypoints", "initial", "refined"))
    one.add_argument("--voxel-mm", type=float, default=1.7, metavar="MM")
    one.add_argument("--device", default="auto", metavar="auto|cpu|cuda|mps")
    one.add_argument("--palm-mm", type=float, metavar="MM")
    one.add_argument("--fps", type=float)
    one.add_argument("--no-resume", dest="resume", action="store_false", help="compute every frame anew")
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
        "--surfaces", choices=("auto", "show", "none"), default="auto", help="the implicit surfaces beside clean hands"
    )
    parser.add_argument(
        "--clean-influence", type=float, metavar="0-1", help="from the motion as measured (0) to the clean one (1)"
    )
    parser.add_argument("--show-footage", action="store_true", help="show the pictures in space, behind the hands")
    parser.add_argument("--rotations", choices=MODES, help="kind of the rigs' rotation curves")
    parser.add_argument("--bake-to", metavar="ARMATURE", help="key hands and fingers on this rig in the file")
    parser.add_argument("--bone-map", default="AUTO", metavar="MAP|FILE", help="its bone names")
    parser.add_argument("--no-wrists", dest="wrists", action="store_false", help="bake the fingers alone")
    parser.add_argument("--export", action="append", default=[], metavar="FILE", help="write the hands; repeatable")
    parser.add_argument(
        "--export-surfaces", action="append", default=[], metavar="FILE", help="write the surfaces; repeatable"
    )
    parser.add_argument("--blend", metavar="FILE", help="save the scene here")
    parser.add_argument("--picture", metavar="FILE", help="render the first frame over its photo to this PNG")
    parser.add_argument("--backend", default="", metavar="PYTHON", help="the backend's environment")
    parser.set_defaults(action=action)


_OURS = ("inputs", "output", "backend", "action", "keypoints", "camera", "hand_boxes", "surfaces")
_OURS += (
    "open",
    "clean_influence",
    "show_footage",
    "rotations",
    "bake_to",
    "bone_map",
    "wrists",
    "export",
    "export_surfaces",
    "blend",
    "picture",
)


def _reconstruct(options: argparse.Namespace) -> int:
    chosen = {name: value for name, value in vars(options).items() if name not in _OURS}
    for name in ("camera", "hand_boxes"):
        chosen[name] = _full(getattr(options, name))
    named = options.keypoints in ("auto", "mediapipe", "network")
    chosen["keypoints"] = options.keypoints if named else _full(options.keypoints)
    _open(options)
    interrupted: list[int] = []
    with _interrupts_noted(interrupted):
        result = api.reconstruct(
            [_full(path) for path in options.inputs],
            _full(options.output),
            backend=options.backend,
            surfaces=_surfaces(options),
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
        _finish(options, result.collection)
    return result.exit_code


def _import(options: argparse.Namespace) -> int:
    _open(options)
    collection, problems = api.import_take(_full(options.take), surfaces=_surfaces(options))
    for problem in problems:
        _say(f"warning: {problem}", sys.stderr)
    _say(f"imported {collection.name}")
    _finish(options, collection)
    return 0


def _open(options: argparse.Namespace) -> None:
    if not options.open:
        return
    try:
        bpy.ops.wm.open_mainfile(filepath=_full(options.open), load_ui=False)
    except RuntimeError as error:
        raise InputError(f"Cannot open {options.open}: {error}.") from error


def _surfaces(options: argparse.Namespace) -> str:
    """Surfaces that are to be exported have to come in, of a long take too."""
    if options.export_surfaces and options.surfaces != "show":
        return "SHOW"
    return options.surfaces.upper()


def _finish(options: argparse.Namespace, collection: bpy.types.Collection) -> None:
    """What is done with a take once it is in the scene, in the order in which one thing needs the other."""
    if options.clean_influence is not None:
        api.set_smoothing(collection, options.clean_influence)
    if options.show_footage:
        try:
            api.show_footage(collection)
        except InputError as error:  # the hands are still worth a file
            _say(f"warning: {error}", sys.stderr)
    if options.rotations:
        api.set_rotation_mode(collection, options.rotations)
    if options.bake_to:
        target = bpy.data.objects.get(options.bake_to)
        if target is None:
            raise InputError(f"There is no object {options.bake_to} in the file.", "Name an armature in it.")
        known = {one.identifier for one in bundled_maps()} | {"AUTO"}
        chosen = options.bone_map if options.bone_map in known else _full(options.bone_map)
        baked = api.bake_to_rig(collection, target, bone_map=chosen, wrist=options.wrists)
        _say(f"baked {sum(map(len, baked.bones.values()))} bones of {target.name} ({baked.map_name})")
    for what, paths in (("HANDS", options.export), ("SURFACES", options.export_surfaces)):
        for path in paths:
            for written in api.export_take(collection, _full(path), what=what):
                _say(f"wrote {written}")
    if options.surfaces != "show" and options.export_surfaces and clean.rigs(collection):
        api.show_surfaces(collection, False)
    _save(options)


def _check(options: argparse.Namespace) -> int:
    found = environment.find(options.backend or backend_setting(), own_environment())
    _say(f"{found.python} ({found.where})")
    asking = task.check(found.python)
    while not asking.has_ended:
        time.sleep(0.1)
        asking.poll()
    for finding in task.check_findings(asking):
        _say(f"{'ok   ' if finding.ok else 'WRONG'} {finding.text}")
    return asking.exit_code


def _save(options: argparse.Namespace) -> None:
    if options.picture:
        scene = bpy.context.scene
        _say(f"rendered {api.render_overlay(_full(options.picture), scene=scene, frame=scene.frame_start)}")
    if not options.blend:
        return
    target = Path(_full(options.blend))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(target), check_existing=False)
    except (OSError, RuntimeError) as error:
        raise InputError(f"Cannot write {target}: {error}.", "Choose a folder you may write to.") from error
    if not target.is_file():
        raise InputError(f"Cannot write {target}.", "Choose a folder you may write to.")
    _say(f"saved {target}")


class _Reporter:
    """Prints progress as it changes and hands an interrupt on to the job."""

    def __init__(self, interrupted: list[int]) -> None:
        self._interrupted = interrupted
        self._last = ""

    def __call__(self, running: Reconstruction) -> None:
        if self._interrupted:
            running.cancel()
        text = running.job.progress.text.split(",")
        line = ",".join(text[:2])
        if line != self._last:
            self._last = line
            _say(line)


@contextmanager
def _interrupts_noted(interrupted: list[int]) -> Iterator[None]:
    """Note a Ctrl-C instead of ending at once, so that the backend can finish its frame."""
    try:
        before = signal.signal(signal.SIGINT, lambda number, _frame: interrupted.append(number))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


def _full(path: str | None) -> str | None:
    return str(Path(path).expanduser().absolute()) if path else None


def _say(text: str, stream: object = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)


def register() -> None:
    """Add the command."""
    _registered.append(bpy.utils.register_cli_command(NAME, run))
    if (
        not bpy.app.binary_path
    ):  # the bpy module: there Blender lets go of its commands after Python has ended, and crashes
        atexit.register(unregister)


def unregister() -> None:
    """Take it away."""
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())
