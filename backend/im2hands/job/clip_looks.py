"""The looks at the frames of a clip, before its hands are chosen. Each is cached in the take as soon as it is made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.keypoints.look import Look
from im2hands.media.source import Entry, Frame, Source

from .background import Background
from .detection_cache import DetectionCache, digest
from .keypoint_report import KeypointReport

if TYPE_CHECKING:
    from im2hands.keypoints.finder import HandFinder

EachFrame = Callable[[Sequence[Entry], Callable[[Entry, Frame], None]], None]
"""Decodes frames and calls a function with the usable ones."""


class ClipLooks:
    """Looks at all frames of a clip, and again at those that lack a hand; cached looks are not made again.

    Parameters
    ----------
    source : Source
        The clip or numbered sequence.
    cache : DetectionCache
        Cache of the take.
    key : str
        Hash of everything that the looks depend on.
    background : Background
        Thread on which the provider is used.
    report : KeypointReport
        Progress of the phase.
    camera : callable
        Returns the camera of a frame.

    Attributes
    ----------
    entries : list of Entry
        The frames that were looked at.
    looks : list of Look
        The look at each of them.
    """

    def __init__(
        self,
        source: Source,
        cache: DetectionCache,
        key: str,
        background: Background,
        report: KeypointReport,
        camera: Callable[[Entry], Camera],
    ) -> None:
        self._source, self._cache, self._key = source, cache, key
        self._background, self._report, self._camera = background, report, camera
        self.entries: list[Entry] = []
        self.looks: list[Look] = []

    def fill(self, provider: HandFinder, each_frame: EachFrame) -> None:
        """Look at the frames. ``entries`` and ``looks`` have what was done, however this ends.

        Parameters
        ----------
        provider : HandFinder
            Looks.
        each_frame : callable
            Decodes the frames, and reports those that fail.

        Raises
        ------
        Cancelled
            The person asked to stop.
        """
        waiting = list(self._source.entries)
        while waiting and (kept := self._cache.read_look(waiting[0].index, self._key)) is not None:
            self.entries.append(waiting.pop(0))
            self.looks.append(kept)
        self._report.begin("look", len(self._source), len(self.entries), len(self.entries))

        def look(entry: Entry, frame: Frame) -> None:
            made = self._background.run(lambda: provider.look(frame, self.looks))
            self._cache.write_look(entry.index, self._key, made)
            self.entries.append(entry)
            self.looks.append(made)
            self._report.seen(entry, self._camera(entry), provider.likeliest(made))

        each_frame(waiting, look)
        self._look_again(provider)

    def _look_again(self, provider: HandFinder) -> None:
        """Look again at the frames that lack a hand."""
        waiting: dict[int, tuple[int, np.ndarray, str]] = {}
        for row, near in provider.gaps(self.looks, provider.choose(self.looks)).items():
            key = digest(self._key, near)
            kept = self._cache.read_look(self.entries[row].index, key, again=True)
            if kept is None:
                waiting[self.entries[row].index] = row, near, key
            else:
                self.looks[row] = kept
        self._report.begin("again", len(waiting))
        for entry, frame in self._source.read([entry for entry in self.entries if entry.index in waiting]):
            self._background.check()
            if isinstance(frame, Frame):
                with contextlib.suppress(FrameError):  # then the first look stays
                    self._look_again_at(provider, frame, *waiting[entry.index])
            self._report.step(passed=0)

    def _look_again_at(self, provider: HandFinder, frame: Frame, row: int, near: np.ndarray, key: str) -> None:
        self.looks[row] = self._background.run(lambda: provider.look_again(frame, self.looks[row], near))
        self._cache.write_look(frame.index, key, self.looks[row], again=True)
