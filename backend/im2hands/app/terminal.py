"""Terminal input and output of commands: progress bars, JSON lines, signals, redirection of native output."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from tqdm import tqdm

from im2hands.app.logs import open_appending
from im2hands.job.events import Event, Finished, FrameDone, Progress, Summary, Warned

PHASE_WORDS = {
    "open": "Opening",
    "weights": "Loading networks",
    "keypoints": "Finding hands",
    "surfaces": "Making surfaces",
    "drafts": "Preparing hands",
    "clean": "Cleaning",
}
_BAR = 1000  # steps of the progress bar
EXIT_SOME_FAILED, EXIT_INTERRUPTED = 1, 130


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Provide an event that Ctrl-C and SIGTERM set inside this context. A second Ctrl-C ends the process at once.

    Yields
    ------
    threading.Event
        The event. It is never set outside the main thread, which alone may handle signals.
    """
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_standard_streams() -> None:
    """Connect standard streams that are closed to the null device.

    A program may be started without them (``>&-``, a service, a Windows program without a console). Otherwise the next
    file that is opened would get their number, and messages would be written into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))


def escape_unprintable() -> None:
    """Let standard output and standard error write characters that their encoding lacks as escapes.

    A strict stream raises UnicodeEncodeError instead: in a cp1252 console for ``手``, and in every encoding for the
    byte of a file name that is not UTF-8, which Python holds as a lone surrogate. Such a byte 255 is written as
    ``\\udcff``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None in a Python without a console
            stream.reconfigure(errors="backslashreplace")


class JsonReport:
    """Prints events as JSON lines of the protocol.

    Parameters
    ----------
    stream : binary stream
        Where to write.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def event(self, event: Event) -> None:
        """Print one event."""
        self._stream.write(event.to_line(None))
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class TerminalReport:
    """Shows events on standard error: one progress bar for the whole job, warnings, failures, and a summary."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def event(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, FrameDone) and event.status == "failed":
            self._print_line(f"Frame {event.index} failed: {event.message}")
        elif isinstance(event, Warned):
            self._print_line(f"Note: {event.message} {event.hint}")
        elif isinstance(event, Finished):
            self.close()
            print(summary_words(event.summary, event.cancelled, Path(event.take)), file=sys.stderr)

    def close(self) -> None:
        """End the progress bar and leave it on the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _progress(self, event: Progress) -> None:
        if event.phase in ("open", "weights") and not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(
                total=_BAR,
                file=sys.stderr,
                dynamic_ncols=True,
                bar_format="{desc} {bar:30} {percentage:3.0f} %{postfix}",
            )
        self._bar.n = round(_BAR * event.fraction)
        self._bar.set_description_str(f"{PHASE_WORDS[event.phase]:16}", refresh=False)
        left = event.seconds_left
        counts = f"{event.done}/{event.total}"
        self._bar.set_postfix_str(f"{counts}, {clock(left)} left" if left else counts, refresh=False)
        self._bar.refresh()

    def _print_line(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)


def clock(seconds: float) -> str:
    """Format seconds as a clock: ``75`` as ``1:15``, ``3700`` as ``1:01:40``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary_words(summary: Summary, cancelled: bool, take: Path) -> str:
    """Describe the result of a job for a person.

    Parameters
    ----------
    summary : Summary
        Result of the job.
    cancelled : bool
        Whether the person stopped the job.
    take : Path
        Folder of the take.

    Returns
    -------
    str
        Two lines of text.
    """
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
        return f"Stopped. {text}; run it again to continue."
    return text


def claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Reserve stdin and stdout for the protocol. All other output to stdout, even of native libraries, goes to stderr.

    Returns
    -------
    requests : binary stream
        Requests are read from here.
    events : binary stream
        Events are written here.
    """
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with contextlib.suppress(OSError):  # there is no stderr: other output is lost
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, events


@contextlib.contextmanager
def quiet(args: argparse.Namespace) -> Iterator[None]:
    """Send messages of native libraries to the log inside this context, unless ``--debug`` is given.

    Parameters
    ----------
    args : argparse.Namespace
        Arguments of the command, with ``debug`` and ``log_file``.
    """
    if args.debug:
        yield
        return
    sys.stdout.flush()
    with native_noise_to(args.log_file):
        yield


@contextlib.contextmanager
def native_noise_to(path: Path) -> Iterator[None]:
    """Append what native libraries write to standard error to a file; ``sys.stderr`` still writes to the terminal.

    Parameters
    ----------
    path : Path
        The file.
    """
    try:
        sys.stderr.flush()
        shown = os.dup(2)
        noise = os.open(path, os.O_WRONLY) if path == Path(os.devnull) else open_appending(path)
    except (OSError, ValueError, AttributeError):  # a Python without a console: there is nothing to redirect
        yield
        return
    os.dup2(noise, 2)
    os.close(noise)
    before = sys.stderr
    replaced = before.fileno() == 2 if _has_fileno(before) else False
    if replaced:
        sys.stderr = io.TextIOWrapper(
            os.fdopen(shown, "wb", closefd=False),
            encoding=before.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )
    try:
        yield
    finally:
        if replaced:
            sys.stderr.flush()
            sys.stderr = before
        os.dup2(shown, 2)
        os.close(shown)


def _has_fileno(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (OSError, AttributeError, ValueError):
        return False
    return True
