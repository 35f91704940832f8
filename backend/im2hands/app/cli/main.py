"""The command line: one entry point, sub-commands."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from im2hands import __version__
from im2hands.app.terminal import escape_unprintable
from im2hands.core.errors import Im2HandsError, broken_package

from .lab import TASK_HELP, TASKS, task_parser

COMMANDS = {
    "reconstruct": "make a take from pictures or a clip",
    "serve": "the backend the Blender add-on talks to",
    "check": "what is installed, and a self-test on a photo",
    "clean": "template hands and clean motion of a take, anew",
    "export": "a take as glb, obj or ply",
    "weights": "the networks' weights: what is there, and import of the published checkpoints",
    "synthesize": "sets of synthetic pictures of two hands, for training",
    "benchmark": "seconds per stage for one photo",
}
"""Commands with their help; each is the module of that name in this package, with ``add_arguments`` and ``run``."""

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
    escape_unprintable()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = task_parser(given[0]) if given[:1] and given[0] in TASKS else build_parser()
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
    """The parser of all commands but those in :data:`.lab.TASKS`, which are only listed."""
    parser = argparse.ArgumentParser(prog="im2hands", description="Two interacting hands from photos and video.")
    parser.add_argument("--version", action="version", version=f"im2hands {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"{__package__}.{name}")
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.add_argument("--debug", action="store_true", help="tracebacks and a full log")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    for name, tasks in TASKS.items():
        commands.add_parser(name, help=f"{TASK_HELP[name]}: {', '.join(tasks)}", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
