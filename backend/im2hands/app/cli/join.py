"""``im2hands join``: takes of parts of one clip, made on several machines, become one take."""

from __future__ import annotations

import argparse
import sys

from im2hands.core.person_path import person_path
from im2hands.take.join import join_takes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("parts", nargs="+", metavar="PART", help="folders of the parts' takes, made with --frames")
    parser.add_argument("--output", "-o", required=True, metavar="TAKE", help="folder of the new take")


def run(args: argparse.Namespace) -> int:
    """Join takes; return the exit code.

    Raises
    ------
    Im2HandsError
        The parts do not belong together, or the take cannot be written.
    """
    take = join_takes([person_path(part).absolute() for part in args.parts], person_path(args.output).absolute())
    failed = sum(record.status == "failed" for record in take.frames())
    print(
        f"{len(take.records)} frames of {len(args.parts)} takes are joined"
        f"{f', {failed} of them failed' if failed else ''}. For clean hands: im2hands clean {args.output}\n"
        f"The take is {take.folder}",
        file=sys.stderr,
    )
    return 0
