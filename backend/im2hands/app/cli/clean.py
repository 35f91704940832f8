"""``im2hands clean``: template hands and clean motion of an existing take."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from im2hands.animation.clean_options import CleanOptions
from im2hands.app.terminal import EXIT_INTERRUPTED, JsonReport, TerminalReport, stop_on_signals
from im2hands.core.errors import Im2HandsError
from im2hands.core.options import options_of
from im2hands.job.clean_job import CleanJob
from im2hands.job.events import Failed, Finished
from im2hands.take.take import Take

from .options import add_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("take", metavar="TAKE", help="folder of the take; pictures are not needed")
    add_options(parser, "clean")
    parser.add_argument("--json", action="store_true", help="print the protocol's events, one a line")


def run(args: argparse.Namespace) -> int:
    """Clean a take.

    Parameters
    ----------
    args : argparse.Namespace
        Arguments of the command.

    Returns
    -------
    int
        0. If the person stops it, the process ends here with exit code 130, and finished frames stay.

    Raises
    ------
    Im2HandsError
        The take or the options cannot be used.
    """
    if args.json:
        from im2hands.app.terminal import claim_stdio

        report: JsonReport | TerminalReport = JsonReport(claim_stdio()[1])
    else:
        report = TerminalReport()
    try:
        options = CleanOptions(**{one.name: getattr(args, one.name) for one in options_of("clean")})
        with stop_on_signals() as stop:
            finished = CleanJob(args.take, options, report.event, stop.is_set).run()
    except Im2HandsError as error:
        report.close()
        if isinstance(report, JsonReport):
            report.event(Failed.from_error(error))
        raise
    report.close()
    if isinstance(report, JsonReport):
        report.event(finished)
    else:
        print(_words(finished), file=sys.stderr)
    if finished.cancelled:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)
    return 0


def _words(finished: Finished) -> str:
    """Describe the result for a person."""
    take = Take.open(Path(finished.take))
    if finished.cancelled:
        return f"Stopped. Finished frames are kept; run the command again to continue.\nThe take is {take.folder}"
    hands = take.header["clean"]["hands"]
    if not hands:
        return f"The take has no hand to clean.\nThe take is {take.folder}"
    statuses = [facts.get("status") for record in take.frames() for facts in record.hands.values()]
    doubtful = statuses.count("doubtful")
    words = f"{finished.summary.total} frames cleaned: {' and '.join(hands)} hand"
    if doubtful:
        words += f"; {doubtful} doubtful observations replaced"
    return f"{words}.\nThe take is {take.folder}"
