"""Jobs that end early: resuming gives the same bytes; full disks; cancelling during long calls."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeParts, FakeProvider, FakeReconstructor, bytes_of, picture, write_clip, write_picture
from im2hands.core.errors import FrameError, InputError, TakeError
from im2hands.core.hands import Side
from im2hands.job import keypoint_phase
from im2hands.job.detection_cache import fingerprint
from im2hands.job.events import Event, FrameDone, Progress
from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions
from im2hands.take.lock import LOCK_FILE
from im2hands.take.take import Take

RunJob = Callable[..., Any]

LONG_CALL_SECONDS = 40.0
"""How long a call takes that a cancelled job must not wait for. On a loaded machine half of it is enough to end."""

pytestmark = pytest.mark.usefixtures("fixed_date")


def test_take_that_is_there(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    before = bytes_of(tmp_path / "take")
    with pytest.raises(InputError, match="There is a take in") as caught:
        run_job(pictures, resume=False)
    assert "--resume" in caught.value.hint
    with pytest.raises(InputError, match="made from other pictures"):
        run_job(pictures / "shot_0003.png")
    assert bytes_of(tmp_path / "take") == before
    (tmp_path / "take" / "mine.txt").write_text("keep")
    finished, _ = run_job(pictures / "shot_0003.png", overwrite=True)
    assert finished.summary.reused == 0
    assert sorted(bytes_of(tmp_path / "take")) == ["frames/000001.npz", "mine.txt", "take.json"]


def test_future_take_is_not_touched(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    (tmp_path / "take").mkdir()
    (tmp_path / "take" / "take.json").write_text('{"format": "im2hands-take", "version": 9, "frames": []}')
    with pytest.raises(TakeError, match="is a take of version 9"):
        run_job(pictures)


def test_resume_reuses_everything(
    pictures: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(pictures)
    before = bytes_of(tmp_path / "take")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    parts = FakeParts()
    finished, events = run_job(pictures, parts=parts)
    assert finished.summary.reused == finished.summary.ok == 4
    assert parts.provider_made.seen == []
    assert parts.reconstructor_made.calls == []
    assert bytes_of(tmp_path / "take") == before
    assert len([event for event in events if isinstance(event, FrameDone)]) == 4


def test_resume_notices_what_changed(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    write_picture(pictures / "shot_0004.png", picture(number=99))
    parts = FakeParts()
    run_job(pictures, parts=parts)
    assert parts.provider_made.seen == [3, 4, 5, 6]  # hands of a sequence are chosen together
    assert parts.reconstructor_made.calls == [4]
    parts = FakeParts()
    run_job(pictures, parts=parts, voxel_mm=3.0)
    assert parts.provider_made.seen == []
    assert parts.reconstructor_made.calls == [3, 4, 5, 6]
    (tmp_path / "take/frames/000005.npz").unlink()
    parts = FakeParts()
    run_job(pictures, parts=parts, voxel_mm=3.0)
    assert parts.reconstructor_made.calls == [5]


def test_of_unrelated_photos_only_the_changed_one_is_looked_at_again(tmp_path: Path, run_job: RunJob) -> None:
    photos = tmp_path / "photos"
    for number, name in enumerate(("garden", "kitchen", "office")):
        write_picture(photos / f"{name}.png", picture(number=number))
    run_job(photos)
    write_picture(photos / "kitchen.png", picture(number=99))
    parts = FakeParts()
    run_job(photos, parts=parts)
    assert parts.provider_made.known == {}
    assert parts.provider_made.seen == parts.reconstructor_made.calls == [2]


def test_sequence_with_a_picture_that_cannot_be_read(
    pictures: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "shot_0005.png").write_bytes(b"no picture")
    for reused, looked in ((0, [3, 4, 6]), (3, [6])):  # what follows a frame without hands is looked at again
        parts = FakeParts()
        finished, _ = run_job(pictures, parts=parts)
        assert parts.provider_made.seen == looked
        assert (finished.summary.ok, finished.summary.failed, finished.summary.reused) == (3, 1, reused)

    def unreadable(path: Path) -> str:
        if path.name == "shot_0005.png":
            raise FrameError(f"Cannot read {path}.")
        return fingerprint(path)

    monkeypatch.setattr(keypoint_phase, "fingerprint", unreadable)
    finished, _ = run_job(pictures, tmp_path / "unreadable")
    assert (finished.summary.ok, finished.summary.failed) == (3, 1)


def test_chosen_frames_join_those_that_are_there(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures, frames="3-4")
    run_job(pictures, frames="6")
    take = Take.open(tmp_path / "take")
    assert [record.index for record in take.frames()] == [3, 4, 6]
    names = [Path(path).name for path in take.header["source"]["files"]]
    assert names == ["shot_0003.png", "shot_0004.png", "shot_0006.png"]
    assert take.header["source"]["first"] == 3


class StopAt:
    """Simulates kill -9: raises an unexpected exception at the n-th sync, rename or deletion."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left = number
        for name in ("fsync", "replace", "unlink"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **more: Any) -> None:
            if str(arguments[0]).endswith(LOCK_FILE):  # a process that is killed gives its lock back
                original(*arguments, **more)
                return
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            original(*arguments, **more)

        return call


@pytest.mark.parametrize("kind", ["pictures", "clip"])
@pytest.mark.parametrize("writes", [1, 2, 3, 4, 8, 13, 15, 17, 18, 24, 25, 26, 27])
def test_killed_at_any_write_and_resumed_gives_the_same_bytes(
    pictures: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, kind: str, writes: int
) -> None:
    source = pictures if kind == "pictures" else write_clip(tmp_path / "clip.avi", 4)
    run_job(source, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, writes)
        with pytest.raises(KeyboardInterrupt):
            run_job(source, tmp_path / "cut")
    for name in (".take.json.123.tmp", ".take.json.123.0a1b2c3d.tmp"):
        (tmp_path / "cut" / name).write_text("cut off")
    run_job(source, tmp_path / "cut")
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_clip_stopped_in_the_first_phase_goes_on_where_it_was(tmp_path: Path, run_job: RunJob) -> None:
    clip = write_clip(tmp_path / "clip.avi", 6)
    run_job(clip, tmp_path / "whole")
    provider = FakeProvider()
    run_job(clip, parts=FakeParts(provider), cancelled=lambda: len(provider.seen) >= 3)
    looked = list(provider.seen)
    parts = FakeParts()
    _, events = run_job(clip, parts=parts)
    assert looked[:2] == [1, 2]
    # The look in which the job was stopped may or may not have been kept.
    assert parts.provider_made.seen in (list(range(len(looked), 7)), list(range(len(looked) + 1, 7)))
    assert bytes_of(tmp_path / "take") == bytes_of(tmp_path / "whole")
    told = [event for event in events if isinstance(event, Progress) and event.phase == "keypoints"]
    assert [event.done for event in told] == sorted(event.done for event in told) and told[-1].done == 6
    parts = FakeParts()
    run_job(clip, parts=parts)
    assert parts.provider_made.seen == []


def hidden_for_a_while(index: int) -> tuple[Side, ...]:
    """The hands of a clip in which the right hand is out of sight in frames 3 and 4."""
    return ("left",) if index in (3, 4) else ("left", "right")


@pytest.mark.parametrize("writes", [3, 9, 14, 16, 19, 22])
def test_killed_clip_with_gaps_gives_the_same_bytes(
    tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    clip = write_clip(tmp_path / "clip.avi", 6)
    parts = FakeParts(FakeProvider(sides=hidden_for_a_while))
    finished, _ = run_job(clip, tmp_path / "whole", parts)
    assert (finished.summary.ok, finished.summary.partial) == (4, 2)  # what is hidden is missing, not invented
    assert parts.provider_made.again == [3, 4]
    with monkeypatch.context() as patch:
        StopAt(patch, writes)
        with pytest.raises(KeyboardInterrupt):
            run_job(clip, tmp_path / "cut", FakeParts(FakeProvider(sides=hidden_for_a_while)))
    run_job(clip, tmp_path / "cut", FakeParts(FakeProvider(sides=hidden_for_a_while)))
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_damaged_looks_are_made_again_and_give_the_same_bytes(
    tmp_path: Path, run_job: RunJob, damage: bytes | None
) -> None:
    clip = write_clip(tmp_path / "clip.avi", 5)
    run_job(clip)
    before = bytes_of(tmp_path / "take")
    look = tmp_path / "take/cache/looks/000003.npz"
    look.write_bytes(look.read_bytes()[:-40] if damage is None else damage)
    (tmp_path / "take/cache/clip.json").unlink()
    parts = FakeParts()
    run_job(clip, parts=parts)
    assert parts.provider_made.seen == [3, 4, 5]
    assert bytes_of(tmp_path / "take") == before


def test_what_a_person_says_of_the_hands_counts_and_is_not_taken_from_the_cache(
    pictures: Path, tmp_path: Path, run_job: RunJob
) -> None:
    for hands, sides in (("auto", ["left", "right"]), ("left", ["left"]), ("right", ["right"])):
        parts = FakeParts(FakeProvider(hands=hands))
        run_job(pictures, parts=parts, hands=hands, overwrite=True)
        assert parts.provider_made.seen == [3, 4, 5, 6]
        assert [list(record.hands) for record in Take.open(tmp_path / "take").frames()] == [sides] * 4


def test_disk_full_keeps_earlier_frames(
    pictures: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.fsync
    calls = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 14:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(TakeError, match="No space left on device"):
            run_job(pictures)
    assert [record.index for record in Take.open(tmp_path / "take").frames()] == [3, 4]
    finished, _ = run_job(pictures)
    assert (finished.summary.ok, finished.summary.reused) == (4, 2)


@pytest.mark.parametrize("phase", ["keypoints", "surfaces"])
def test_cancel_in_the_middle_of_a_long_call(pictures: Path, tmp_path: Path, run_job: RunJob, phase: str) -> None:
    release = threading.Event()
    provider, reconstructor = FakeProvider(), FakeReconstructor()
    if phase == "keypoints":
        provider.delay = LONG_CALL_SECONDS
    else:
        reconstructor.release = release
    began = time.monotonic()
    parts = FakeParts(provider, reconstructor)
    finished, _ = run_job(pictures, parts=parts, cancelled=lambda: time.monotonic() - began > 0.5)
    assert time.monotonic() - began < LONG_CALL_SECONDS / 2
    assert finished.cancelled
    assert finished.summary.total == 0
    assert Take.open(tmp_path / "take").records == {}
    release.set()


def test_cancel_keeps_what_is_done_and_closes_the_provider(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    parts = FakeParts()
    calls = parts.reconstructor_made.calls
    finished, _ = run_job(pictures, parts=parts, cancelled=lambda: len(calls) >= 2)
    assert finished.cancelled
    assert 1 <= finished.summary.ok <= 2
    assert len(Take.open(tmp_path / "take").records) == finished.summary.ok
    assert not (tmp_path / "take/frames.jsonl").exists()
    assert parts.provider_made.closed
    assert run_job(pictures)[0].summary.reused == finished.summary.ok


def test_clean_motion_of_older_frames_is_gone_as_soon_as_one_is_made_anew(
    pictures: Path, tmp_path: Path, run_job: Callable[..., Any]
) -> None:
    run_job(pictures, clean=True, template_density=0)
    write_picture(pictures / "shot_0004.png", picture(number=99))
    told = []

    def look(event: Event) -> None:
        if isinstance(event, FrameDone) and event.index == 4:
            told.append("clean" in Take.open(tmp_path / "take").header)

    options = ReconstructOptions((str(pictures),), str(tmp_path / "take"), clean=False)
    ReconstructJob(options, look, lambda: False, FakeParts()).run()
    assert told == [False]


def test_entries_of_the_header_keep_their_order(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    """A finished take that is continued, or that gets copies of its pictures later, has the bytes of one run."""
    run_job(pictures, clean=True, footage="always")
    once = bytes_of(tmp_path / "take")
    run_job(pictures, clean=True, footage="always")
    assert bytes_of(tmp_path / "take") == once
    run_job(pictures, tmp_path / "later", clean=True)
    run_job(pictures, tmp_path / "later", clean=True, footage="always")
    assert bytes_of(tmp_path / "later") == once
