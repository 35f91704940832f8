"""A job that is ended early rigs what is done; the take says that it is unfinished; drafts; one progress of a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts, FakeProvider, write_clip
from im2hands.core.errors import InputError
from im2hands.export.write import export_take
from im2hands.job.events import Event, FrameDone, HandsFound, Progress
from im2hands.job.options import ReconstructOptions
from im2hands.job.progress import JobProgress
from im2hands.job.reconstruct import ReconstructJob
from im2hands.take.take import UNFINISHED, Take

RunJob = Callable[..., Any]


def ended(
    source: Path,
    output: Path,
    parts: FakeParts,
    cancelled: Callable[[], bool],
    stopped: Callable[[], bool],
    **options: Any,
) -> tuple[Any, list[Event], Take]:
    events: list[Event] = []
    given = ReconstructOptions((str(source),), str(output), **options)
    finished = ReconstructJob(given, events.append, cancelled, parts, stopped).run()
    return finished, events, Take.open(output)


def never() -> bool:
    return False


@pytest.mark.parametrize("phase", ["keypoints", "surfaces"])
def test_what_is_done_is_rigged(tmp_path: Path, run_job: RunJob, phase: str) -> None:
    clip = write_clip(tmp_path / "clip.avi", 4)
    parts = FakeParts()

    def cancelled() -> bool:
        return len(parts.provider_made.seen if phase == "keypoints" else parts.reconstructor_made.calls) >= 2

    finished, events, take = ended(clip, tmp_path / "take", parts, cancelled, never, template_density=0)
    assert finished.cancelled and take.header[UNFINISHED]
    assert take.header["clean"]["hands"] == ["left", "right"] and (tmp_path / "take" / "motion.npz").is_file()
    drafts = [record.index for record in take.frames() if record.is_draft]
    if phase == "keypoints":  # nothing has surfaces, and the frames that were not looked at are left out
        assert drafts == sorted(take.records) and 2 <= len(drafts) < 4
    else:
        assert sorted(take.records) == [1, 2, 3, 4] and drafts and len(drafts) < 4
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)

    again = FakeParts()
    finished, _ = run_job(clip, parts=again)
    take = Take.open(tmp_path / "take")
    assert not finished.cancelled and UNFINISHED not in take.header
    assert not any(record.is_draft for record in take.frames())
    assert not set(again.provider_made.seen) & set(parts.provider_made.seen)  # the looks are reused


def test_each_frame_of_a_job_that_is_ended_early_is_counted_once(tmp_path: Path) -> None:
    """A frame without hands has no file either, but is no frame that a draft would help."""
    clip = write_clip(tmp_path / "clip.avi", 4)
    parts = FakeParts(FakeProvider(sides=lambda index: () if index == 1 else ("left", "right"), hands="auto"))

    def cancelled() -> bool:
        return len(parts.reconstructor_made.calls) >= 1

    finished, events, take = ended(clip, tmp_path / "take", parts, cancelled, never, template_density=0)
    assert finished.cancelled and sorted(take.records) == [1, 2, 3, 4]
    told = [event.index for event in events if isinstance(event, FrameDone)]
    assert sorted(told) == [1, 2, 3, 4] and finished.summary.total == 4


def test_a_stop_at_once_rigs_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3)
    parts = FakeParts()

    def asked() -> bool:
        return len(parts.reconstructor_made.calls) >= 1

    finished, _, take = ended(clip, tmp_path / "take", parts, asked, asked, template_density=0)
    assert finished.cancelled and take.header[UNFINISHED] and "clean" not in take.header


def test_drafts_without_cleaning_leave_no_motion_of_other_frames(tmp_path: Path, run_job: RunJob) -> None:
    """A job over more frames, ended while it finds hands: the motion of the first frames is not the take's any more."""
    clip = write_clip(tmp_path / "clip.avi", 4)
    run_job(clip, frames="1-1", quality="draft", clean=True, template_density=0)
    assert Take.open(tmp_path / "take").header["clean"]["hands"]
    parts = FakeParts()

    def cancelled() -> bool:
        return len(parts.provider_made.seen) >= 2

    _, _, take = ended(clip, tmp_path / "take", parts, cancelled, never, quality="draft", clean=False)
    assert len(take.records) > 1 and "clean" not in take.header


def test_a_draft_is_continued_with_its_keypoints(tmp_path: Path, run_job: RunJob) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3)
    finished, events = run_job(clip, parts=FakeParts(), quality="draft", clean=True)
    take = Take.open(tmp_path / "take")
    assert finished.summary.ok == 3 and UNFINISHED not in take.header
    assert take.header["provenance"]["stage"] == "none" and take.header["provenance"]["weights"] == {}
    assert all(record.is_draft for record in take.frames())
    hands = take.read_frame(2)["left"]
    assert len(hands["vertices"]) == len(hands["faces"]) == 0 and len(hands["template_vertices"]) > 1000
    with pytest.raises(InputError, match="is a draft, which has no surfaces"):
        export_take(tmp_path / "take", "obj", tmp_path / "out", mesh="surface")

    assert {event.phase for event in events if isinstance(event, Progress)} >= {"keypoints", "drafts", "clean"}
    assert not any(event.phase == "surfaces" for event in events if isinstance(event, Progress))

    found = [event for event in events if isinstance(event, HandsFound)]
    assert [event.index for event in found] == [1, 2, 3, 1, 2, 3]  # as seen, then as placed
    flat, placed = (np.array(event.hands["left"]) for event in (found[1], found[4]))
    assert np.ptp(flat[:, 2]) == 0 and np.ptp(placed[:, 2]) > 0
    assert np.allclose(placed, hands["keypoints"], atol=1e-4)

    again = FakeParts()
    run_job(clip, parts=again)
    assert again.provider_made.seen == [] and again.reconstructor_made.calls == [1, 2, 3]
    assert not any(record.is_draft for record in Take.open(tmp_path / "take").frames())


def test_one_estimate_for_the_whole_job() -> None:
    """A machine four times as slow as usual: the bar never falls, and the estimate comes near what it really takes."""
    told: list[Progress] = []
    now = [0.0]
    progress = JobProgress(told.append, lambda: now[0])
    parts = (("look", 40, 0.6), ("finish", 40, 0.24), ("place", 40, 0.12), ("surfaces", 40, 2.4), ("fit", 40, 2.0))
    for part, steps, _ in parts:
        progress.plan(part, steps)  # type: ignore[arg-type]
    for part, steps, seconds in parts:
        progress.begin(part, steps)  # type: ignore[arg-type]
        for step in range(steps):
            now[0] += seconds
            progress.at(step + 1, (step + 1, steps))
    progress.finish()
    total = sum(steps * seconds for _, steps, seconds in parts)
    fractions = [one.fraction for one in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert np.abs(np.diff(fractions)).max() < 0.03
    looked, surfaces = told[39], told[139]
    assert looked.phase == "keypoints" and surfaces.phase == "surfaces"
    for one, spent in ((looked, 40 * 0.6), (surfaces, 40 * 0.96 + 20 * 2.4)):
        assert one.seconds_left == pytest.approx(total - spent, rel=0.3)
