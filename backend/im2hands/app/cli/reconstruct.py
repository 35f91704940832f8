"""``im2hands reconstruct``: a job with a progress bar, or as JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from tqdm import tqdm

from im2hands.app.logs import native_noise_to
from im2hands.core.errors import Im2HandsError
from im2hands.job.events import Event, Failed, Finished, FrameDone, Progress, Summary, Warned
from im2hands.job.options import ReconstructOptions
from im2hands.job.reconstruct import ReconstructJob

PHASE_WORDS = {
    "open": "Opening",
    "weights": "Loading networks",
    "keypoints": "Finding hands",
    "surfaces": "Making surfaces",
    "clean": "Cleaning",
}
EXIT_SOME_FAILED, EXIT_INTERRUPTED = 1, 130


def run(args: argparse.Namespace) -> int:
    """Run the job of the command line.

    Returns:
        0 every frame went well (also those without hands), 1 some failed. Stopped, the process ends here with 130.
    """
    if args.json:
        from im2hands.app.server import claim_stdio

        _, events = claim_stdio()
        return _run(args, JsonReport(events))
    with contextlib.nullcontext() if args.debug else native_noise_to(args.log_file):
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


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class JsonReport:
    """Prints events as the protocol's lines."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def event(self, event: Event) -> None:
        """Print one."""
        self._stream.write(event.to_line(None))
        self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""


class TerminalReport:
    """Shows a progress bar a phase, warnings and failures as they come, and a summary, all on stderr."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._phase = ""

    def event(self, event: Event) -> None:
        """Show one."""
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, FrameDone) and event.status == "failed":
            self._say(f"Frame {event.index} failed: {event.message}")
        elif isinstance(event, Warned):
            self._say(f"Note: {event.message} {event.hint}")
        elif isinstance(event, Finished):
            self.close()
            print(summary_words(event.summary, event.cancelled, Path(event.take)), file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _progress(self, event: Progress) -> None:
        if event.phase in ("open", "weights") and not sys.stderr.isatty():
            return
        if self._bar is None or event.phase != self._phase:
            self.close()
            self._phase = event.phase
            self._bar = tqdm(
                total=event.total, desc=f"{PHASE_WORDS[event.phase]:16}", file=sys.stderr, dynamic_ncols=True,
                bar_format="{desc} {bar:30} {n_fmt}/{total_fmt}{postfix}", leave=event.phase != "open",
            )  # fmt: skip
        self._bar.total = event.total
        self._bar.n = event.done
        left = event.seconds_left
        self._bar.set_postfix_str(f"{clock(left)} left" if left else "", refresh=False)
        self._bar.refresh()

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)


def clock(seconds: float) -> str:
    """``75`` as ``1:15``, ``3700`` as ``1:01:40``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary_words(summary: Summary, cancelled: bool, take: Path) -> str:
    """How a job went, in plain words."""
    words = [
        (summary.ok, "with both hands"),
        (summary.partial, "with one hand"),
        (summary.empty, "without a hand"),
        (summary.failed, "failed"),
    ]
    counted = ", ".join(f"{count} {what}" for count, what in words if count) or "none finished"
    text = f"{summary.total} frame{'s' if summary.total != 1 else ''}: {counted}"
    if summary.reused:
        text += f" ({summary.reused} from before)"
    text += f", in {clock(summary.seconds)}.\nThe take is {take}"
    if cancelled:
        return f"Stopped. {text}; go on with --resume."
    return text
