"""Evaluation of hands in a clip against true ones: ``im2hands evaluate video``.

As ``im2hands evaluate keypoints --truth``, and how the hands move: acceleration error, jitter, exchanged sides. Frame
numbers are times: a number that is missing is a frame without hands. The views of a prepared split are ordered by its
annotations, each camera for itself (``file_motion``).
"""

from __future__ import annotations

import argparse

from im2hands.core.farm import add_executor

from .keypoint_files import add_file_arguments, run_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate video`` to a parser."""
    add_file_arguments(parser, required=True)
    add_executor(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate video`` and return the exit code."""
    return run_files(arguments, video=True)
