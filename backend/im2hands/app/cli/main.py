"""The entry point of the command line: parser, sub-commands, error messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

from im2hands import __version__
from im2hands.app.terminal import escape_unprintable, open_standard_streams
from im2hands.core.errors import Im2HandsError, in_words

from .lab import TASK_HELP, TASKS, task_parser

COMMANDS = {
    "reconstruct": "make a take from pictures or a clip",
    "serve": "run the backend for the Blender add-on",
    "check": "check the installation, with a self-test on a photo",
    "clean": "make template hands and clean motion of an existing take",
    "join": "join takes of parts of one clip, made on several machines",
    "export": "export a take as glb, obj or ply",
    "keypoints": "convert keypoints of other systems",
    "weights": "list the networks' weights, or import the published checkpoints",
    "synthesize": "make sets of synthetic pictures of two hands, for training",
    "data": "list, check and prepare data sets of others: InterHand2.6M, RGB2Hands, EgoHands",
    "benchmark": "measure the seconds per stage for one photo",
}
"""Commands with their help. Each is a module of this package, with ``add_arguments`` and ``run``."""

INTERRUPTED = 130

# Environment variables that libraries read when they are loaded. By default, OpenMP's waiting threads spin. That makes
# a job ten times slower if another program (Blender, a second job) uses the same cores. Sleeping costs almost nothing.
#
# The threads of SciPy's OpenBLAS wait for each other in loops that yield: where other programs used both cores, the
# banded equations of a clip took more than ten times as long with two threads as with one.
PROCESS_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}

# MediaPipe sends usage metrics to its makers without asking. This program needs no network, so a proxy setting directs
# such connections to a port on which no program listens.
_CLOSED_PORT = "http://127.0.0.1:9"
NO_NETWORK = {"https_proxy": _CLOSED_PORT, "HTTPS_PROXY": _CLOSED_PORT, "no_proxy": "", "NO_PROXY": ""}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the program's name; None for those of the process.

    Returns
    -------
    int
        Exit code: 0 success, 1 some frames failed, 2 bad arguments or input, 3 the machine lacks something, 130
        interrupted.
    """
    for name, value in PROCESS_DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.update(NO_NETWORK)
    open_standard_streams()
    escape_unprintable()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = task_parser(given[0]) if given[:1] and given[0] in TASKS else build_parser()
        args = parser.parse_args(given[1:] if given[:1] and given[0] in TASKS else given)
    except SystemExit as ended:  # argparse has printed the help or the error
        return ended.code if isinstance(ended.code, int) else 2
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    """Run a command; print its errors and return the exit code."""
    from im2hands.app.logs import set_up_logging

    log_file = set_up_logging(stderr=args.command == "serve", debug=args.debug)
    args.log_file = log_file
    try:
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except Im2HandsError as error:
        return _print_error(error)
    except KeyboardInterrupt:
        print("im2hands: stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output has ended, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        if args.debug:
            raise
        logging.getLogger(__name__).exception("unexpected error")
        words = in_words(error)
        if words is not None:
            return _print_error(words)
        name = type(error).__name__
        print(f"im2hands: something went wrong inside: {name}: {error}"[:500].splitlines()[0], file=sys.stderr)
        print(f"  The details are in {log_file}; please report them.", file=sys.stderr)
        return 1


def _print_error(error: Im2HandsError) -> int:
    """Print an error and its hint; return its exit code."""
    print(f"im2hands: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return error.exit_code


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands. Those in :data:`.lab.TASKS` are only listed in its help."""
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
