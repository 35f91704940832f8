"""The chosen hands of a clip are finished several frames at a time; the take is the same, and errors stay apart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeParts, FakeProvider, bytes_of, write_clip
from im2hands.core.errors import FrameError
from im2hands.core.workers import Workers
from im2hands.keypoints.choosing.assignment import Assignment
from im2hands.keypoints.choosing.prior import Prior
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.look import Look
from im2hands.media.source import Frame

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


class TwoAtOnce(FakeProvider):
    """Finishes two frames at a time, the later one first, and fails at the given frames."""

    def __init__(self, failing: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.failing, self.later = failing, {n: threading.Event() for n in (2, 4)}

    def workers(self) -> Workers:
        """Two threads, whatever the machine has."""
        return Workers(2, with_torch=False)

    def finish(self, frame: Frame, look: Look, chosen: Assignment, prior: Prior) -> list[HandDetection]:
        """Wait until the next frame is finished, or fail."""
        if frame.index + 1 in self.later:
            assert self.later[frame.index + 1].wait(20)
        made = super().finish(frame, look, chosen, prior)
        if frame.index in self.later:
            self.later[frame.index].set()
        if frame.index in self.failing:
            raise FrameError("This frame cannot be finished.")
        return made


def test_frames_that_end_out_of_order_give_the_same_take(tmp_path: Path, run_job: RunJob) -> None:
    clip = write_clip(tmp_path / "clip.avi", 5)
    run_job(clip, tmp_path / "one")
    run_job(clip, tmp_path / "two", FakeParts(TwoAtOnce()))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_a_frame_that_cannot_be_finished_is_left_out_alone(tmp_path: Path, run_job: RunJob) -> None:
    clip = write_clip(tmp_path / "clip.avi", 5)
    finished, _ = run_job(clip, parts=FakeParts(TwoAtOnce(failing=(2,))))
    assert (finished.summary.ok, finished.summary.failed) == (4, 1)
    parts = FakeParts()
    finished, _ = run_job(clip, parts=parts)
    assert (finished.summary.ok, finished.summary.failed, parts.provider_made.seen) == (5, 0, [])
