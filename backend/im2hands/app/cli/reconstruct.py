"""``im2hands reconstruct``: a job with a progress bar, or as JSON lines."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import fields

from im2hands.app.terminal import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    JsonReport,
    TerminalReport,
    quiet,
    stop_on_signals,
)
from im2hands.core.errors import Im2HandsError
from im2hands.job.events import Failed
from im2hands.job.options import STAGES, ReconstructOptions
from im2hands.job.reconstruct import ReconstructJob
from im2hands.keypoints import PROVIDERS

from .clean import add_cleaning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
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
    add_cleaning(parser)
    there = parser.add_mutually_exclusive_group()
    there.add_argument("--resume", action="store_true", help="go on with the take that is there")
    there.add_argument("--overwrite", action="store_true", help="begin the take that is there anew")
    add("--json", action="store_true", help="print the protocol's events, one a line")


def run(args: argparse.Namespace) -> int:
    """Run the job of the command line.

    Returns:
        0 every frame went well (also those without hands), 1 some failed. Stopped, the process ends here with 130.
    """
    if args.json:
        from im2hands.app.terminal import claim_stdio

        _, events = claim_stdio()
        return _run(args, JsonReport(events))
    with quiet(args):
        return _run(args, TerminalReport())


def _run(args: argparse.Namespace, report: JsonReport | TerminalReport) -> int:
    names = {option.name for option in fields(ReconstructOptions)}
    try:
        options = {name: value for name, value in vars(args).items() if name in names}
        options["inputs"] = tuple(args.inputs)
        with stop_on_signals() as stop:
            job = ReconstructJob(ReconstructOptions(**options), report.event, stop.is_set)
            finished = job.run()
            report.event(finished)
            report.close()
            if finished.cancelled:  # all that is worth keeping is on disk: do not wait for libraries to tidy up
                logging.shutdown()
                sys.stderr.flush()
                os._exit(EXIT_INTERRUPTED)
    except Im2HandsError as error:
        report.close()
        if isinstance(report, JsonReport):
            report.event(Failed.from_error(error))
        raise
    return EXIT_SOME_FAILED if finished.summary.failed else 0
