"""The terminal of a command: progress bars, JSON lines, signals, and native libraries' output."""

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

from im2hands.job.events import Event, Finished, FrameDone, Progress, Summary, Warned

PHASE_WORDS = {
    "open": "Opening",
    "weights": "Loading networks",
    "keypoints": "Finding hands",
    "surfaces": "Making surfaces",
    "clean": "Cleaning",
}
EXIT_SOME_FAILED, EXIT_INTERRUPTED = 1, 130


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


def escape_unprintable() -> None:
    """Let standard output and standard error write characters that their encoding lacks as escapes.

    A strict stream raises UnicodeEncodeError instead: in a cp1252 console for ``手``, and in every encoding for the
    byte of a file name that is not UTF-8, which Python holds as a lone surrogate. Such a byte 255 is written as
    ``\\udcff``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None in a windowed Python
            stream.reconfigure(errors="backslashreplace")


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
        return f"Stopped. {text}; run it again to go on."
    return text


def claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for the protocol: whatever else writes to stdout, native libraries too, lands on stderr.

    Returns:
        Where requests come from and where events go.
    """
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    with contextlib.suppress(OSError):  # no stderr: stray output has nowhere to go
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, events


@contextlib.contextmanager
def quiet(args: argparse.Namespace) -> Iterator[None]:
    """Native libraries' chatter goes to the log, unless --debug."""
    if args.debug:
        yield
        return
    sys.stdout.flush()
    with native_noise_to(args.log_file):
        yield


@contextlib.contextmanager
def native_noise_to(path: Path) -> Iterator[None]:
    """Send what native libraries write to file descriptor 2 to a file; Python's ``sys.stderr`` stays where it was.

    Args:
        path: appended to.
    """
    try:
        sys.stderr.flush()
        shown = os.dup(2)
        noise = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except (OSError, ValueError, AttributeError):  # no real stderr (a windowed Python): there is nothing to turn away
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
