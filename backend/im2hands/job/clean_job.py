"""The clean phase as a job of its own: template hands and clean motion of a take that is there, without pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.errors import Cancelled, InputError
from im2hands.core.options import options_of
from im2hands.core.person_path import person_path
from im2hands.take.begin import open_to_write
from im2hands.take.take import Take

from .background import Background
from .components import Components
from .events import Event, Finished, Summary
from .progress import JobProgress, clean_report, plan_cleaning


class CleanJob:
    """Cleans a take again, for example with another smoothing.

    Parameters
    ----------
    folder : str or Path
        Folder of the take.
    options : CleanOptions
        Options of the phase.
    events : callable
        Called with each event, on the thread that runs the job.
    cancelled : callable
        Returns whether the person asked to stop.
    """

    def __init__(
        self, folder: str | Path, options: CleanOptions, events: Callable[[Event], None], cancelled: Callable[[], bool]
    ) -> None:
        self._folder, self._options, self._events, self._cancelled = person_path(folder), options, events, cancelled

    @classmethod
    def from_request(
        cls,
        request: Mapping[str, Any],
        events: Callable[[Event], None],
        cancelled: Callable[[], bool],
        parts: Components | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> CleanJob:
        """Make the job from the fields of a ``clean`` request.

        Parameters
        ----------
        request : mapping
            Fields of the request.
        events, cancelled
            As for the class.
        parts, stopped : optional
            Not used: the phase needs no networks, and every cancellation ends it at once.

        Returns
        -------
        CleanJob
            The job.

        Raises
        ------
        InputError
            A field has the wrong type, or a value is not possible.
        """
        folder, given = request.get("take"), request.get("options") or {}
        if not isinstance(folder, str) or not folder:
            raise InputError("take must be the path of a take.", 'Send "take": "/path/take".')
        if not isinstance(given, Mapping):
            raise InputError("options must be an object.", 'Send "options": {"smoothing": 0.5}.')
        known = {one.name: one for one in options_of("clean")}
        wanted = {name: one.typed(given[name]) for name, one in known.items() if given.get(name) is not None}
        return cls(folder, CleanOptions(**wanted), events, cancelled)

    def run(self) -> Finished:
        """Clean the take.

        Returns
        -------
        Finished
            The result; the counts are those of all frames of the take. ``cancelled`` is True if the person stopped the
            job. Finished frames stay.

        Raises
        ------
        DamagedFramesError
            Frames cannot be read. The take was cleaned without them, if others are left.
        InputError
            There is no take, or another job uses it.
        TakeError
            The take cannot be read or written.
        """
        from .clean_phase import CleanPhase

        started, cancelled = time.monotonic(), False
        take = open_to_write(self._folder)
        background = Background(self._cancelled)
        frames = sum(bool(record.file and record.hands) for record in take.frames())
        progress = JobProgress(self._events)
        plan_cleaning(progress, self._options, frames)
        try:
            try:
                CleanPhase(take, self._options, background.run, clean_report(progress)).run()
            except Cancelled:
                cancelled = True
            finally:
                background.close()
            take.finish()
        finally:
            take.close()
        return Finished(str(take.folder.absolute()), cancelled, _summary(take, time.monotonic() - started))


def _summary(take: Take, seconds: float) -> Summary:
    statuses = [record.status for record in take.frames()]
    counts = {status: statuses.count(status) for status in ("ok", "partial", "empty", "failed")}
    return Summary(total=len(statuses), seconds=round(seconds, 3), **counts)
