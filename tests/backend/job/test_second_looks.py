"""Frames of a clip that are looked at twice: a job that ends among them goes on there and gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts, FakeProvider, bytes_of, write_clip
from im2hands.core.hands import Side
from im2hands.keypoints.look import Look
from im2hands.media.source import Frame

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


def hidden_for_a_while(index: int) -> tuple[Side, ...]:
    """The hands of a clip in which the right hand is out of sight in frames 3 and 4."""
    return ("left",) if index in (3, 4) else ("left", "right")


class EndedJob(BaseException):
    """Ends a job as a killed process does."""


class EndsAgain(FakeProvider):
    """Ends the job in the n-th second look."""

    def __init__(self, left: int) -> None:
        super().__init__(sides=hidden_for_a_while)
        self.left = left

    def look_again(self, frame: Frame, look: Look, near: np.ndarray) -> Look:
        """Look at a frame again, or end the job."""
        self.left -= 1
        if self.left == 0:
            raise EndedJob
        return super().look_again(frame, look, near)


@pytest.mark.parametrize("frames", [None, "1-5,8,9"])
def test_second_looks_are_kept_when_a_job_is_killed_among_them(
    tmp_path: Path, run_job: RunJob, frames: str | None
) -> None:
    clip = write_clip(tmp_path / "clip.avi", 9)
    whole = FakeParts(FakeProvider(sides=hidden_for_a_while))
    run_job(clip, tmp_path / "whole", whole, frames=frames)
    assert whole.provider_made.again == [3, 4]
    with pytest.raises(EndedJob):
        run_job(clip, parts=FakeParts(EndsAgain(2)), frames=frames)
    parts = FakeParts(FakeProvider(sides=hidden_for_a_while))
    run_job(clip, parts=parts, frames=frames)
    assert (parts.provider_made.seen, parts.provider_made.again) == ([], [4])
    assert bytes_of(tmp_path / "take") == bytes_of(tmp_path / "whole")
    (tmp_path / "take/cache/clip.json").unlink()  # as if it was killed in the last step: all looks are there
    parts = FakeParts(FakeProvider(sides=hidden_for_a_while))
    run_job(clip, parts=parts, frames=frames)
    assert parts.provider_made.seen == parts.provider_made.again == []
    assert bytes_of(tmp_path / "take") == bytes_of(tmp_path / "whole")


def test_a_kept_second_look_that_does_not_fit_is_made_again(tmp_path: Path, run_job: RunJob) -> None:
    """A look that follows from other things, or is damaged, is made again."""
    clip = write_clip(tmp_path / "clip.avi", 6)
    run_job(clip, parts=FakeParts(FakeProvider(sides=hidden_for_a_while)))
    before = bytes_of(tmp_path / "take")
    looks = tmp_path / "take/cache/looks"
    (looks / "000003_again.npz").write_bytes((looks / "000003.npz").read_bytes())  # its first look
    (looks / "000004_again.npz").write_bytes(b"damaged")
    (tmp_path / "take/cache/clip.json").unlink()
    parts = FakeParts(FakeProvider(sides=hidden_for_a_while))
    run_job(clip, parts=parts)
    assert (parts.provider_made.seen, parts.provider_made.again) == ([], [3, 4])
    assert bytes_of(tmp_path / "take") == before


def test_pictures_of_a_sequence_that_are_given_out_of_order_give_the_same_bytes(
    pictures: Path, tmp_path: Path, run_job: RunJob
) -> None:
    given = sorted(pictures.iterdir())
    takes = {}
    for name, paths in (("in_order", given), ("out_of_order", [given[k] for k in (2, 0, 3, 1)])):
        with pytest.raises(EndedJob):
            run_job(paths, tmp_path / name, FakeParts(EndsAgain(2)))
        parts = FakeParts(FakeProvider(sides=hidden_for_a_while))
        run_job(paths, tmp_path / name, parts)
        assert (parts.provider_made.seen, parts.provider_made.again) == ([], [4])
        takes[name] = {key: data for key, data in bytes_of(tmp_path / name).items() if key != "take.json"}
    assert takes["in_order"] == takes["out_of_order"] and len(takes["in_order"]) >= 4


@pytest.mark.parametrize("frames", [None, "2"])
def test_a_clip_of_one_frame_is_resumed(tmp_path: Path, run_job: RunJob, frames: str | None) -> None:
    """Also one frame that is chosen of a clip."""
    clip = write_clip(tmp_path / "clip.avi", 1 if frames is None else 3)
    run_job(clip, frames=frames)
    before = bytes_of(tmp_path / "take")
    (tmp_path / "take/cache/clip.json").unlink()
    parts = FakeParts()
    run_job(clip, parts=parts, frames=frames)
    assert parts.provider_made.seen == parts.provider_made.again == []
    assert bytes_of(tmp_path / "take") == before
