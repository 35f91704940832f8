"""Clips and photos in which something is missing: hands, frames, readable pictures; and hand boxes that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeParts, FakeProvider, write_clip
from im2hands.core.errors import FrameError, InputError
from im2hands.job.events import Progress
from im2hands.job.reconstruct import ReconstructOptions
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.take import Take

RunJob = Callable[..., Any]


@pytest.mark.parametrize("content", ['{"frames": {"4": {"right": [10, 20]}}}', "no JSON", None])
def test_hand_boxes_that_cannot_be_used_are_told_before_anything_is_made(
    pictures: Path, tmp_path: Path, run_job: RunJob, content: str | None
) -> None:
    class Unready(FakeParts):
        def reconstructor(self, options: ReconstructOptions, device_name: str) -> Any:
            pytest.fail("networks were loaded")

    boxes = tmp_path / "boxes.json"
    if content is not None:
        boxes.write_text(content)
    with pytest.raises(InputError, match="boxes") as caught:
        run_job(pictures, parts=Unready(), hand_boxes=str(boxes), hands="left")
    assert caught.value.hint
    assert not (tmp_path / "take").exists()


def seen_in(take: Path) -> dict[int, str]:
    """The status of every frame."""
    return {record.index: record.status for record in Take.open(take).frames()}


def test_clips_of_unusual_shape(tmp_path: Path, run_job: RunJob) -> None:
    """A clip of one frame, one whose first frames have no hands, and one of which frames are left out."""
    run_job(write_clip(tmp_path / "one.avi", 1), tmp_path / "a")
    assert seen_in(tmp_path / "a") == {1: "ok"}
    late = FakeParts(FakeProvider(sides=lambda index: () if index < 3 else ("left", "right")))
    clip = write_clip(tmp_path / "clip.avi", 9)
    run_job(clip, tmp_path / "b", late)
    assert seen_in(tmp_path / "b") == {1: "empty", 2: "empty", **dict.fromkeys(range(3, 10), "ok")}
    assert late.provider_made.again == [1, 2]
    parts = FakeParts()
    run_job(clip, tmp_path / "c", parts, frames="2-3,6,9")
    assert parts.provider_made.seen == [2, 3, 6, 9]
    assert seen_in(tmp_path / "c") == dict.fromkeys((2, 3, 6, 9), "ok")


def test_a_damaged_frame_in_the_middle_of_a_clip_costs_itself_alone(
    tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Source._read_clip
    broken: dict[int, int] = {}

    def damaged(self: Source, entries: Sequence[Entry], info: Any) -> Iterator[tuple[Entry, Frame | FrameError]]:
        for entry, frame in original(self, entries, info):
            if entry.index in broken:
                broken[entry.index] -= 1
            bad = broken.get(entry.index, -1) == 0
            yield entry, FrameError(f"frame {entry.index} is damaged.") if bad else frame

    monkeypatch.setattr(Source, "_read_clip", damaged)
    clip = write_clip(tmp_path / "clip.avi", 6)
    for when in (1, 2):  # it fails when it is looked at, or only when its hands are lifted
        broken[4] = when
        finished, events = run_job(clip, tmp_path / f"take{when}")
        assert seen_in(tmp_path / f"take{when}") == {**dict.fromkeys(range(1, 7), "ok"), 4: "failed"}
        assert (finished.summary.ok, finished.summary.failed) == (5, 1)
        told = [event.done for event in events if isinstance(event, Progress) and event.phase == "keypoints"]
        assert told == sorted(told) and told[-1] == 6


@pytest.mark.parametrize("numbered", [True, False])
def test_a_frame_on_which_the_readers_fail_costs_itself_alone(
    pictures: Path, tmp_path: Path, run_job: RunJob, numbered: bool
) -> None:
    if not numbered:
        (pictures / "shot_0006.png").rename(pictures / "another.png")
    bad = 4 if numbered else 2
    finished, _ = run_job(pictures, parts=FakeParts(FakeProvider(fail_at=frozenset({bad}))))
    assert (finished.summary.ok, finished.summary.failed) == (3, 1)
    assert Take.open(tmp_path / "take").records[bad].message.endswith("the provider gave up.")
