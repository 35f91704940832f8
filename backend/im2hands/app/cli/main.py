"""The command line: one entry point, sub-commands."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from im2hands import __version__
from im2hands.animation.clean_options import DENSITIES
from im2hands.core.errors import Im2HandsError, broken_package
from im2hands.keypoints import PROVIDERS
from im2hands.job.options import STAGES

# Sub-commands with tasks of their own; each task is a module with ``add_arguments(parser)`` and ``run(args) -> int``.
TASKS = {
    "train": {
        "part-occupancy": "im2hands.lab.training.part_occupancy",
        "initial-occupancy": "im2hands.lab.training.initial_occupancy",
        "aligned-occupancy": "im2hands.lab.training.aligned_occupancy",
        "keypoint-refinement": "im2hands.lab.training.keypoint_refinement",
        "two-hand-network": "im2hands.lab.training.two_hand_network",
        "pair-judge": "im2hands.lab.training.pair_judge",
        "lifting-network": "im2hands.lab.training.lifting_network",
        "reading-network": "im2hands.lab.training.reading_network",
        "detected-keypoints": "im2hands.lab.training.detected_keypoints",
        "refined-occupancy": "im2hands.lab.training.refined_occupancy",
    },
    "evaluate": {
        "part-occupancy": "im2hands.lab.evaluation.part_occupancy",
        "keypoints": "im2hands.lab.evaluation.keypoints",
        "table": "im2hands.lab.evaluation.table.run",
    },
}
TASK_HELP = {"train": "train a network", "evaluate": "measure a network against its targets"}

INTERRUPTED = 130

# Read by libraries when they are loaded. Threads that wait by spinning make everything ten times slower as soon as
# another program (Blender, a second shot) uses the same cores; sleeping costs next to nothing on an idle machine.
PROCESS_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}

# The MediaPipe library reports metrics of its use to its makers. Nobody was asked, and this program needs no network,
# so its processes send all such connections to a port where nobody listens.
_NOBODY = "http://127.0.0.1:9"
NO_NETWORK = {"https_proxy": _NOBODY, "HTTPS_PROXY": _NOBODY, "no_proxy": "", "NO_PROXY": ""}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        0 all well, 1 some frames failed, 2 bad arguments or input, 3 something the machine lacks, 130 interrupted.
    """
    for name, value in PROCESS_DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(NO_NETWORK)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _task_parser(given[0]) if given[:1] and given[0] in TASKS else build_parser()
        args = parser.parse_args(given[1:] if given[:1] and given[0] in TASKS else given)
    except SystemExit as ended:  # argparse has said why
        return ended.code if isinstance(ended.code, int) else 2
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    from im2hands.app.logs import set_up_logging

    log_file = set_up_logging(stderr=args.command == "serve", debug=args.debug)
    args.log_file = log_file
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except Im2HandsError as error:
        return _tell(error)
    except KeyboardInterrupt:
        print("im2hands: stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        if args.debug:
            raise
        logging.getLogger(__name__).exception("unexpected error")
        if isinstance(error, ImportError):
            return _tell(broken_package(error))
        name = type(error).__name__
        print(f"im2hands: something went wrong inside: {name}: {error}"[:500].splitlines()[0], file=sys.stderr)
        print(f"  The details are in {log_file}; please report them.", file=sys.stderr)
        return 1


def _tell(error: Im2HandsError) -> int:
    """Print what is wrong and what to do about it; the exit code."""
    print(f"im2hands: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return error.exit_code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all sub-commands but those in :data:`TASKS`, which are only listed."""
    parser = argparse.ArgumentParser(prog="im2hands", description="Two interacting hands from photos and video.")
    parser.add_argument("--version", action="version", version=f"im2hands {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reconstruct(_command(commands, "reconstruct", "make a take from pictures or a clip", "reconstruct:run"))
    _command(commands, "serve", "the backend the Blender add-on talks to", "serve:run")
    check = _command(commands, "check", "what is installed, and a self-test on a photo", "reports:run_check")
    check.add_argument("--json", action="store_true", help="for programs")
    check.add_argument("--no-self-test", action="store_true", help="only look what is installed")
    _add_clean(_command(commands, "clean", "template hands and clean motion of a take, anew", "clean:run"))
    _add_export(_command(commands, "export", "a take as glb, obj or ply", "reports:run_export"))
    for name, tasks in TASKS.items():
        commands.add_parser(name, help=f"{TASK_HELP[name]}: {', '.join(tasks)}", add_help=False)
    _add_weights(commands)
    _add_synthesize(
        _command(commands, "synthesize", "sets of synthetic pictures of two hands, for training", "synthesize:run")
    )
    benchmark = _command(commands, "benchmark", "seconds per stage for one photo", "reports:run_benchmark")
    benchmark.add_argument("photo", nargs="?", help="default: a bundled one")
    benchmark.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; the fastest counts (default: 3)")
    benchmark.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    benchmark.add_argument("--voxel-mm", type=float, default=1.7, metavar="MM")
    benchmark.add_argument("--json", action="store_true", help="for programs")
    return parser


def _command(commands: Any, name: str, text: str, target: str) -> argparse.ArgumentParser:
    """A sub-command whose work is ``module:function`` of this package, imported when it runs."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--debug", action="store_true", help="tracebacks and a full log")
    module, function = target.split(":")

    def run(args: argparse.Namespace) -> int:
        result: int = getattr(importlib.import_module(f".{module}", __package__), function)(args)
        return result

    parser.set_defaults(run=run)
    return parser


def _add_weights(commands: Any) -> None:
    text = "the networks' weights: what is there, and import of the published checkpoints"
    parser = commands.add_parser("weights", help=text, description=text[0].upper() + text[1:] + ".")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _command(
        actions, "list", "what stands in a weights folder, and whether it is whole", "reports:run_weights"
    )
    listing.add_argument("--folder", default="bundled", metavar="DIR", help="weights elsewhere (default: bundled)")
    listing.add_argument("--json", action="store_true", help="for programs")
    taking = _command(actions, "import", "the authors' checkpoints as weights for this program", "reports:run_import")
    taking.add_argument("files", nargs="+", metavar="FILE", help="init_occ.pt, ref_occ.pt, …, under any name")
    taking.add_argument("--to", required=True, metavar="DIR", help="folder for the weights; made if it is not there")
    taking.add_argument("--overwrite", action="store_true", help="replace networks that are there")
    taking.add_argument("--json", action="store_true", help="for programs")


def _task_parser(command: str) -> argparse.ArgumentParser:
    """The parser of ``im2hands train`` or ``evaluate``; its modules are heavy and loaded only for this."""
    parser = argparse.ArgumentParser(prog=f"im2hands {command}", description=TASK_HELP[command].capitalize() + ".")
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, module_name in TASKS[command].items():
        module = importlib.import_module(module_name)
        task = tasks.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        task.add_argument("--debug", action="store_true", help="tracebacks and a full log")
        module.add_arguments(task)
        task.set_defaults(run=module.run, command=command)
    return parser


def _add_reconstruct(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="pictures, folders, patterns (shot_####.png) or one clip")
    add("--output", "-o", required=True, metavar="TAKE", help="folder of the take")
    add("--frames", metavar="1-100,120", help="which frames, by number (default: all)")
    add("--step", type=int, default=1, metavar="N", help="every N-th of them")
    add("--fps", type=float, help="frames a second, in place of what the source says")
    add("--keypoints", default="auto", metavar="WHAT", help=f"{', '.join(PROVIDERS)}, or a keypoint file")
    add("--hand-boxes", metavar="FILE", help="a box or point per hand, in place of the search")
    add("--no-crop-search", dest="crop_search", action="store_false", help="do not search for hands that touch")
    add("--no-keypoint-refinement", dest="keypoint_refinement", action="store_false", help="keep keypoints as found")
    add("--mirrored", action="store_true", help="the pictures are mirror images (selfies): sides change places")
    add("--palm-mm", type=float, default=88.0, metavar="MM", help="wrist to middle knuckle (default: 88)")
    add("--camera", metavar="FILE", help="camera file (fx, fy, cx, cy, width, height)")
    add("--focal-px", type=float, metavar="F", help="focal length in pixels")
    add("--fov", type=float, metavar="DEG", help="field of view over the longer side, degrees")
    add("--weights", default="bundled", metavar="DIR", help="bundled, or a folder")
    add("--stage", choices=STAGES, help="default: the best the weights allow")
    add("--voxel-mm", type=float, default=1.7, metavar="MM", help="size of the surface's cells (default: 1.7)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--no-clean", dest="clean", action="store_false", help="no template hands and no clean motion")
    _add_cleaning(parser)
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--resume", action="store_true", help="go on with the take that is there")
    there.add_argument("--overwrite", action="store_true", help="begin the take that is there anew")
    add("--json", action="store_true", help="print the protocol's events, one a line")


def _add_synthesize(parser: argparse.ArgumentParser) -> None:
    from .synthesize import add_arguments

    add_arguments(parser)


def _add_cleaning(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--smoothing", type=float, default=0.5, metavar="0..1", help="of the motion; 0 none (default: 0.5)")
    add("--gap", type=int, default=12, metavar="N", help="frames at most that are filled in (default: 12)")
    add("--template-density", type=int, default=1, choices=DENSITIES, help="of the template's mesh (default: 1)")


def _add_clean(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("take", metavar="TAKE", help="folder of the take; pictures are not needed")
    _add_cleaning(parser)
    parser.add_argument("--json", action="store_true", help="print the protocol's events, one a line")


def _add_export(parser: argparse.ArgumentParser) -> None:
    from im2hands.export.write import FORMATS, MESHES

    parser.add_argument("take", metavar="TAKE", help="folder of the take")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument(
        "--output", "-o", metavar="OUT", help="file (glb) or folder (obj, ply); default: beside the take"
    )
    parser.add_argument("--frames", metavar="1-100,120", help="which frames (default: all)")
    parser.add_argument("--mesh", choices=MESHES, help="template hands or implicit surfaces (default: clean if there)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


if __name__ == "__main__":
    sys.exit(main())
