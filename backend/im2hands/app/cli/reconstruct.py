"""``im2hands reconstruct``: a reconstruction job with a progress bar, or with its events as JSON lines."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from im2hands.app.terminal import (
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    JsonReport,
    TerminalReport,
    quiet,
    stop_on_signals,
)
from im2hands.core.errors import Im2HandsError
from im2hands.core.options import OPTIONS
from im2hands.job.events import Failed
from im2hands.job.options import ReconstructOptions

from .options import add_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="pictures, folders, patterns ('*.jpg', shot_####.png) or one clip"
    )
    parser.add_argument("--output", "-o", required=True, metavar="TAKE", help="folder of the take")
    add_options(parser, "reconstruct")
    parser.add_argument("--json", action="store_true", help="print the protocol's events, one a line")


def run(args: argparse.Namespace) -> int:
    """Run the job.

    Parameters
    ----------
    args : argparse.Namespace
        Arguments of the command.

    Returns
    -------
    int
        0 if no frame failed (frames without hands are not failures), 1 otherwise. If the person stops the job, the
        process ends here with exit code 130.

    Raises
    ------
    Im2HandsError
        Inputs, options, the output folder, weights or the device cannot be used.
    """
    if args.json:
        from im2hands.app.terminal import claim_stdio

        _, events = claim_stdio()
        return _run(args, JsonReport(events))
    with quiet(args):
        return _run(args, TerminalReport())


def _run(args: argparse.Namespace, report: JsonReport | TerminalReport) -> int:
    from im2hands.job.reconstruct import ReconstructJob

    try:
        options = ReconstructOptions(tuple(args.inputs), args.output, **{name: getattr(args, name) for name in OPTIONS})
        with stop_on_signals() as stop:
            job = ReconstructJob(options, report.event, stop.is_set)
            finished = job.run()
            report.event(finished)
            report.close()
            if finished.cancelled:  # all results are on disk: do not wait for abandoned calls
                logging.shutdown()
                sys.stderr.flush()
                os._exit(EXIT_INTERRUPTED)
    except Im2HandsError as error:
        report.close()
        if isinstance(report, JsonReport):
            report.event(Failed.from_error(error))
        raise
    return EXIT_SOME_FAILED if finished.summary.failed else 0
