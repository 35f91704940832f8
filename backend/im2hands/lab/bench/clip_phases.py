"""Finds the hands of a clip as a reconstruction does, frame by frame from its file, and measures each phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from im2hands.core.errors import FrameError
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.looking import Look
from im2hands.media.source import Entry, Frame, Source

from .clip_figures import Hands

PHASES = ("decode", "look, followed", "look, whole", "choose", "look again", "finish")
"""Names of the phases, in order.

"look, followed": only the places of the hands in the frame before were read. "finish": several frames at a time, which
are decoded meanwhile.
"""


@dataclass
class Phase:
    """What one phase took.

    Parameters
    ----------
    frames : int
        Frames that went through it. One that comes by twice counts twice.
    seconds : float
        Time of all of them.
    cpu_seconds : float
        Processor time of all of them, of all threads together. Other programs on the machine change it little.
    """

    frames: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass
class ClipRun:
    """The hands of a clip, and what it took to find them.

    Parameters
    ----------
    entries : list[Entry]
        The frames that could be used, in order.
    found : list[list[HandDetection]]
        The hands of each.
    phases : dict[str, Phase]
        By name: what each phase took.
    failed : list[FrameError]
        Why frames are left out, or were not looked at again.
    """

    entries: list[Entry] = field(default_factory=list)
    found: list[list[HandDetection]] = field(default_factory=list)
    phases: dict[str, Phase] = field(default_factory=lambda: {name: Phase() for name in PHASES})
    failed: list[FrameError] = field(default_factory=list)

    def hands(self) -> list[Hands]:
        """Return the keypoints of each frame by side, pixels."""
        return [{hand.side: hand.pixels for hand in hands} for hands in self.found]

    def rate(self) -> float:
        """Return how many frames a second all phases but the decoding take."""
        seconds = sum(phase.seconds for name, phase in self.phases.items() if name != "decode")
        return len(self.entries) / seconds if seconds else 0.0


def find_in_clip(
    finder: HandFinder, source: Source, beside: Callable[[Frame], object] = lambda frame: None
) -> ClipRun:  # fmt: skip
    """Find the hands of all frames of a clip or sequence.

    The frames are decoded as they are needed, so that a clip need not fit into memory.

    Parameters
    ----------
    finder : HandFinder
        The finder.
    source : Source
        The clip or sequence.
    beside : callable
        Called with every frame right before it is looked at for the first time. Its time is not measured.

    Returns
    -------
    ClipRun
        The hands and the times.
    """
    run, looks = ClipRun(), list[Look]()
    for entry, frame in _frames(run, source, source.entries, failing=True):
        beside(frame)
        with _timed() as spent, _noted(run):
            looks.append(finder.look(frame, looks))
        if len(looks) == len(run.entries):
            continue
        _add(run, "look, whole" if looks[-1].whole else "look, followed", 1, spent)
        run.entries.append(entry)
    rows = {entry.index: row for row, entry in enumerate(run.entries)}
    with _timed() as spent:
        gaps = finder.gaps(looks, finder.choose(looks))
    _add(run, "choose", len(looks), spent)
    for entry, frame in _frames(run, source, [run.entries[row] for row in gaps]):
        row = rows[entry.index]
        with _timed() as spent, _noted(run):
            looks[row] = finder.look_again(frame, looks[row], gaps[row])
        _add(run, "look again", 1, spent)
    with _timed() as spent:
        chosen, prior = finder.choose(looks), finder.prior(looks)
    _add(run, "choose", len(looks), spent)
    run.found = [[] for _ in run.entries]
    with _timed() as spent, finder.workers() as workers:
        given = ((rows[entry.index], frame) for entry, frame in _frames(ClipRun(), source, run.entries))

        def finish(each: tuple[int, Frame]) -> list[HandDetection]:
            row, frame = each
            return finder.finish(frame, looks[row], chosen[row], prior)

        for (row, _), made in workers.ahead(finish, given):
            run.found[row] = made.result()
    _add(run, "finish", len(looks), spent)
    return run


def _frames(run: ClipRun, source: Source, entries: list[Entry], failing: bool = False) -> Iterator[tuple[Entry, Frame]]:
    """Decode frames. Those that cannot be read are left out; ``failing`` notes why."""
    frames = source.read(entries)
    while True:
        with _timed() as spent:
            following = next(frames, None)
        if following is None:
            return
        entry, frame = following
        if isinstance(frame, Frame):
            _add(run, "decode", 1, spent)
            yield entry, frame
        elif failing:
            run.failed.append(frame)


@contextmanager
def _noted(run: ClipRun) -> Iterator[None]:
    """Go on after a frame that the readers fail on."""
    try:
        yield
    except FrameError as error:
        run.failed.append(error)


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Measure the seconds that its block takes; they and the processor's seconds are in the list afterwards."""
    spent: list[float] = []
    started, worked = time.perf_counter(), time.process_time()
    yield spent
    spent += [time.perf_counter() - started, time.process_time() - worked]


def _add(run: ClipRun, name: str, frames: int, spent: list[float]) -> None:
    run.phases[name].frames += frames
    run.phases[name].seconds += spent[0]
    run.phases[name].cpu_seconds += spent[1]
