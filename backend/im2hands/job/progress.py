"""Progress of a whole job: one share of all its work that never falls, and one estimate of the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from im2hands.animation.clean_options import CleanOptions

from .events import Phase, Progress
from .options import ReconstructOptions

Part = Literal["open", "weights", "look", "again", "finish", "place", "surfaces", "drafts", "fit", "weigh"]
"""A part of a job whose steps take alike. Phases of the protocol have one or more of them."""

PHASES: dict[Part, Phase] = {
    "open": "open", "weights": "weights", "look": "keypoints", "again": "keypoints", "finish": "keypoints",
    "place": "keypoints", "surfaces": "surfaces", "drafts": "drafts", "fit": "clean", "weigh": "clean",
}  # fmt: skip

USUAL_SECONDS: dict[Part, float] = {
    "open": 0.2, "weights": 2.0, "look": 0.15, "again": 1.0, "finish": 0.06, "place": 0.03, "surfaces": 0.6,
    "drafts": 0.03, "fit": 0.5, "weigh": 0.02,
}  # fmt: skip
"""Seconds of a step on two cores without a graphics card, before anything is measured."""

_FIT_SECONDS = (0.2, 0.5, 4.5)  # of the fits of a frame's hands, by the option ``template_density``
_DRAFT_FIT_SECONDS = 0.03  # of the templates of a frame without surfaces
_VOXEL_MM, _VOXEL_POWER = 1.7, -1.2  # surfaces of 1.2 mm took 1.5 times as long as those of 1.7 mm
_TRUST_AFTER = 5.0  # seconds of work after which what was measured counts as much as what is usual
_MOST = 0.999  # of the bar before the end


@dataclass
class _Work:
    """A part of the job: its steps, those that are done, and what one is believed to take."""

    steps: float = 0.0
    done: float = 0.0
    first: float = 0.0  # steps that were done before this job
    usual: float = 0.0
    seconds: float = 0.0  # measured, of the steps that this job did

    def pace(self, expected: float) -> float:
        """Seconds of a step: at first what is expected, then more and more what was measured."""
        made = max(self.done - self.first, 0.0)
        prior = max(_TRUST_AFTER / expected, 1.0)
        if made < 1:  # a step that is under way takes at least what it has taken
            return max(expected, (self.seconds + prior * expected) / (1 + prior))
        return (self.seconds + prior * expected) / (made + prior)


class JobProgress:
    """Follows the parts of a job and reports where it stands.

    Parts are planned with their numbers of steps as soon as these are known. A part that nobody planned has no steps.

    Parameters
    ----------
    report : callable
        Called with each :class:`Progress`.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, report: Callable[[Progress], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._parts = {part: _Work(usual=seconds) for part, seconds in USUAL_SECONDS.items()}
        self._now: Part | None = None
        self._last = self._began = clock()
        self._fraction = 0.0
        self._shown = (0, 1)

    def plan(self, part: Part, steps: float, seconds: float | None = None) -> None:
        """Say how many steps a part will have.

        Parameters
        ----------
        part : Part
            The part.
        steps : float
            Number of steps.
        seconds : float, optional
            What a step usually takes; None for ``USUAL_SECONDS``.
        """
        work = self._parts[part]
        work.steps = steps
        if seconds is not None:
            work.usual = seconds

    def begin(self, part: Part, steps: float, done: float = 0.0) -> None:
        """Begin a part; parts before it are over.

        Parameters
        ----------
        part : Part
            The part.
        steps : float
            Number of its steps.
        done : float
            Number of those that were done before.
        """
        self._measure()
        work = self._parts[part]
        work.steps, work.done, work.first = steps, done, done
        for name, other in self._parts.items():
            if name == part:
                break
            other.steps = other.done
        self._now = part

    def at(self, done: float, shown: tuple[int, int]) -> None:
        """Report how far the present part is.

        Parameters
        ----------
        done : float
            Number of its steps that are done.
        shown : (int, int)
            Steps of the phase that a person is shown: done, and all.
        """
        assert self._now is not None
        self._measure()
        self._parts[self._now].done, self._shown = done, shown
        left = self._seconds_left()
        spent = self._last - self._began
        share = spent / (spent + left) if spent + left > 0 else 0.0
        self._fraction = max(self._fraction, min(share, _MOST))
        known = None if PHASES[self._now] in ("open", "weights") else round(left, 1)
        self._report(Progress(PHASES[self._now], *shown, known, round(self._fraction, 4)))

    def finish(self) -> None:
        """Report the end of the last part."""
        assert self._now is not None
        self._fraction = 1.0
        self._report(Progress(PHASES[self._now], *self._shown, 0.0, 1.0))

    def _measure(self) -> None:
        now = self._clock()
        if self._now is not None:
            self._parts[self._now].seconds += now - self._last
        self._last = now

    def _seconds_left(self) -> float:
        """Estimate the seconds to the end: a part is expected to be as much slower than usual as those before it."""
        usual = measured = total = 0.0
        later, slower = False, 1.0
        for name, work in self._parts.items():
            if not later and name == self._now:
                total += max(work.steps - work.done, 0.0) * work.pace(work.usual * slower)
                later = True
            elif later:
                total += work.steps * work.usual * slower
            if not later or name == self._now:
                made = work.done - work.first
                usual, measured = usual + work.usual * made, measured + (work.seconds if made > 0 else 0.0)
                trust = measured / (measured + _TRUST_AFTER)
                slower = 1 - trust + trust * measured / usual if usual > 0 else 1.0
        return total


def clean_report(progress: JobProgress) -> Callable[[int, int], None]:
    """Return what a clean phase reports its steps to: the first half are fits, the other half weights of shapes."""
    now: list[Part] = []

    def report(done: int, total: int) -> None:
        frames = total / 2
        part: Part = "fit" if done < frames else "weigh"
        if now[-1:] != [part]:
            now.append(part)
            progress.begin(part, frames)
        progress.at(done - (frames if part == "weigh" else 0), (done, total))

    return report


def plan_reconstruction(
    progress: JobProgress, options: ReconstructOptions, is_sequence: bool, frames: int, wanted: int
) -> None:
    """Plan the work of a reconstruction, as soon as the number of its frames is known.

    Parameters
    ----------
    progress : JobProgress
        Progress of the job.
    options : ReconstructOptions
        Options of the job.
    is_sequence : bool
        Whether the frames are those of a clip, whose hands are found together.
    frames : int
        Number of frames of the source.
    wanted : int
        Number of frames that are made.
    """
    progress.plan("look", frames if is_sequence else wanted)
    if is_sequence:
        progress.plan("finish", frames)
        progress.plan("place", frames)
    if options.is_draft:
        progress.plan("drafts", wanted)
    else:
        seconds = USUAL_SECONDS["surfaces"] * float(options.voxel_mm / _VOXEL_MM) ** _VOXEL_POWER
        progress.plan("surfaces", wanted, seconds)
    if options.clean:
        plan_cleaning(progress, options.cleaning, wanted, is_draft=options.is_draft)


def plan_cleaning(progress: JobProgress, options: CleanOptions, frames: int, *, is_draft: bool = False) -> None:
    """Plan the work of a clean phase.

    Parameters
    ----------
    progress : JobProgress
        Progress of the job.
    options : CleanOptions
        Options of the phase.
    frames : int
        Number of frames with hands.
    is_draft : bool
        Whether the frames have no surfaces.
    """
    progress.plan("fit", frames, _DRAFT_FIT_SECONDS if is_draft else _FIT_SECONDS[options.template_density])
    progress.plan("weigh", frames)
