"""Copies of pictures in a take: which there are, what is in them, and jobs that end early."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pytest
from test_resume import StopAt, bytes_of

from fakes import FakeParts, FakeProvider, picture, write_picture
from im2hands.core import files
from im2hands.core.errors import FrameError
from im2hands.job import reconstruct
from im2hands.job.events import Event, Warned
from im2hands.media import source as media_source
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.footage import find_copies
from im2hands.take.take import Take

CASES = Path(__file__).parents[2] / "media_cases"
RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of eight frames; frame n has the brightness 10 n, and more on its right half."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (160, 120))
    for number in range(1, 9):
        writer.write(numbered(number))
    writer.release()
    return path


def numbered(number: int) -> np.ndarray:
    """Make the picture of frame ``number``: its brightness tells the number, its brighter half the right side."""
    pixels = np.full((120, 160, 3), number * 10, np.uint8)
    pixels[:, 80:] += 100
    return pixels


def footage_of(take: Path) -> dict[str, Any] | None:
    return json.loads((take / "take.json").read_text("utf-8")).get("footage")


def numbers_shown(take: Path, *, mirrored: bool = False) -> dict[int, int]:
    """Return which picture each copy shows."""
    shown = {}
    for index, path in find_copies(take).items():
        pixels = cv2.imread(str(path))
        right, left = pixels[:, 100:].mean(), pixels[:, :60].mean()
        assert right - left == pytest.approx(-100 if mirrored else 100, abs=5)
        shown[index] = round(min(right, left) / 10)
    return shown


def warnings_of(events: Sequence[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned) and "copies" in event.message]


def broken_at(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> list[int]:
    """Let frames of clips be damaged, as a reader gives them that goes on after them; return what it has read."""
    read: list[int] = []
    original = Source._read_clip

    def damaged(self: Source, entries: Sequence[Entry], info: Any) -> Iterator[tuple[Entry, Frame | FrameError]]:
        for entry, frame in original(self, entries, info):
            read.append(entry.index)
            yield entry, FrameError(f"frame {entry.index} is damaged.") if entry.index in numbers else frame

    monkeypatch.setattr(Source, "_read_clip", damaged)
    return read


def stand_in(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Let clips be of a kind that needs copies."""
    original = media_source.probe_clip
    monkeypatch.setattr(media_source, "probe_clip", lambda path: replace(original(path), **facts))


def test_ordinary_sources_have_no_copies(pictures: Path, clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    for source, name in ((pictures, "a"), (clip, "b")):
        _, events = run_job(source, tmp_path / name)
        assert footage_of(tmp_path / name) is None
        assert not (tmp_path / name / "footage").exists()
        assert not warnings_of(events)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"varies": True}, "its frame rate varies"),
        ({"interlaced": True}, "it is interlaced"),
        ({"length_known": False}, "its header does not say how long it is"),
    ],
)
def test_clips_that_blender_shows_otherwise(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, facts: dict, reason: str
) -> None:
    stand_in(monkeypatch, **facts)
    read = broken_at(monkeypatch)
    _, events = run_job(clip)
    copies = find_copies(tmp_path / "take")
    size = sum(path.stat().st_size for path in copies.values())
    assert footage_of(tmp_path / "take") == {"pattern": "footage/%06d.jpg", "reason": reason, "bytes": size}
    assert numbers_shown(tmp_path / "take") == {number: number for number in range(1, 9)}
    assert read == 2 * list(range(1, 9)), "copies are written while the frames are decoded to look at them and to lift"
    (told,) = warnings_of(events)
    assert reason in told
    assert f"{size / 1e6:.1f} MB" in told
    before = bytes_of(tmp_path / "take")
    _, events = run_job(clip)
    assert bytes_of(tmp_path / "take") == before
    assert not warnings_of(events)


def test_a_mirrored_clip_is_mirrored_back_in_its_copies(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, mirrored=True)
    assert numbers_shown(tmp_path / "take", mirrored=True) == {number: number for number in range(1, 9)}


def test_a_damaged_frame_in_the_middle(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at(monkeypatch, 5)
    finished, _ = run_job(clip)
    assert finished.summary.failed == 1
    assert footage_of(tmp_path / "take")["reason"] == "a frame of it is damaged"  # type: ignore[index]
    assert numbers_shown(tmp_path / "take") == {1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 7, 8: 8}
    first, fourth, fifth = (find_copies(tmp_path / "take")[number] for number in (1, 4, 5))
    assert fifth.samefile(fourth) and not fifth.samefile(first)


def test_damaged_frames_at_the_start(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_at(monkeypatch, 1, 2)
    run_job(clip)
    assert numbers_shown(tmp_path / "take") == {1: 3, 2: 3, **{number: number for number in range(3, 9)}}


def test_a_frame_whose_hands_failed_has_its_own_picture(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, parts=FakeParts(FakeProvider(fail_at=frozenset({3}))), mirrored=True)
    assert numbers_shown(tmp_path / "take", mirrored=True)[3] == 3


def test_pictures_are_held_between_steps_and_not_in_holes(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, step=3, mirrored=True)
    assert numbers_shown(tmp_path / "take", mirrored=True) == {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 7: 7, 8: 7, 9: 7}
    run_job(clip, tmp_path / "holes", frames="2-3,7", mirrored=True)
    assert numbers_shown(tmp_path / "holes", mirrored=True) == {2: 2, 3: 3, 7: 7}
    shared = footage_of(tmp_path / "take")["bytes"]  # type: ignore[index]
    assert shared < 1.5 * footage_of(tmp_path / "holes")["bytes"], "held pictures take no room"  # type: ignore[index]


def test_pictures_of_different_sizes_in_a_series(tmp_path: Path, run_job: RunJob) -> None:
    for number, size in ((1001, (160, 120)), (1002, (96, 128))):
        write_picture(tmp_path / "shots" / f"shot_{number}.png", picture(*size, number=number))
    run_job(tmp_path / "shots")
    copies = find_copies(tmp_path / "take")
    assert {number: cv2.imread(str(path)).shape for number, path in copies.items()} == {
        1001: (120, 160, 3),
        1002: (128, 96, 3),
    }


def test_never_and_always(clip: Path, pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, mirrored=True)
    (tmp_path / "take/footage/mine.txt").write_text("keep")
    run_job(clip, mirrored=True, footage="never")
    assert footage_of(tmp_path / "take") is None
    assert [path.name for path in (tmp_path / "take/footage").iterdir()] == ["mine.txt"]
    _, events = run_job(pictures, tmp_path / "all", footage="always")
    assert sorted(find_copies(tmp_path / "all")) == [3, 4, 5, 6]
    assert footage_of(tmp_path / "all")["reason"] == "copies were asked for"  # type: ignore[index]
    assert len(warnings_of(events)) == 1


def test_copies_asked_for_later_are_made_of_all_frames(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, frames="1-3")
    parts = FakeParts()
    run_job(clip, frames="5-6", footage="always", parts=parts)
    assert numbers_shown(tmp_path / "take") == {1: 1, 2: 2, 3: 3, 5: 5, 6: 6}
    find_copies(tmp_path / "take")[2].unlink()
    run_job(clip, frames="5-6")
    assert numbers_shown(tmp_path / "take") == {1: 1, 2: 2, 3: 3, 5: 5, 6: 6}, "a copy that was lost comes back"


def test_a_changed_picture_is_copied_anew(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures, footage="always")
    before = {number: path.read_bytes() for number, path in find_copies(tmp_path / "take").items()}
    write_picture(pictures / "shot_0004.png", picture(number=99))
    run_job(pictures, footage="always")
    after = {number: path.read_bytes() for number, path in find_copies(tmp_path / "take").items()}
    assert [number for number in after if after[number] != before[number]] == [4]


def test_resuming_writes_nothing_twice(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FakeProvider()
    run_job(clip, parts=FakeParts(provider), mirrored=True, cancelled=lambda: len(provider.seen) >= 4)
    there = set(find_copies(tmp_path / "take"))
    assert there >= {1, 2, 3}
    written: list[Path] = []
    original = files._write_synced

    def noted(handle: BinaryIO, data: bytes) -> None:
        written.append(Path(handle.name))
        original(handle, data)

    monkeypatch.setattr(files, "_write_synced", noted)
    run_job(clip, mirrored=True)
    again = {int(path.name.split(".")[1]) for path in written if path.parent.name == "footage"}
    assert again == set(range(1, 9)) - there


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 6, 9, 13, 18, 24, 30])
@pytest.mark.parametrize("damaged", [False, True])
def test_killed_at_any_write(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, writes: int, damaged: bool
) -> None:
    """The take can be read at any time, and a resumed job gives the same bytes."""
    options = {"frames": "1-5", "step": 2, "mirrored": not damaged}
    if damaged:
        broken_at(monkeypatch, 3)
    run_job(clip, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        StopAt(patch, writes)
        with contextlib.suppress(KeyboardInterrupt):
            run_job(clip, tmp_path / "cut", **options)
    if (tmp_path / "cut/take.json").exists():
        assert Take.open(tmp_path / "cut").folder
        assert not find_copies(tmp_path / "cut") or footage_of(tmp_path / "cut")
    (tmp_path / "cut/footage").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cut/footage/.000001.jpg.123.0a1b2c3d.tmp").write_text("cut off")
    run_job(clip, tmp_path / "cut", **options)
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_overwriting_deletes_the_copies(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(clip, mirrored=True)
    (tmp_path / "take/footage/mine.txt").write_text("keep")
    run_job(clip, frames="1-2", overwrite=True)
    assert not find_copies(tmp_path / "take")
    assert (tmp_path / "take/footage/mine.txt").read_text() == "keep"


def test_a_folder_of_somebody_else_is_left_alone(clip: Path, tmp_path: Path, run_job: RunJob) -> None:
    """A person may keep the pictures themselves in a folder of this name."""
    mine = tmp_path / "take/footage/000001.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"a picture of mine")
    finished, events = run_job(clip, mirrored=True)
    assert finished.summary.ok == 8
    assert mine.read_bytes() == b"a picture of mine"
    assert footage_of(tmp_path / "take") is None
    (told,) = warnings_of(events)
    assert "not of this take" in told
    run_job(clip, mirrored=True, footage="never")
    run_job(clip, frames="1", overwrite=True)
    assert mine.read_bytes() == b"a picture of mine"


def test_copies_with_keypoints_from_a_file(keypoint_job: dict[str, Any], tmp_path: Path) -> None:
    """The keypoint phase then decodes nothing."""
    options = reconstruct.ReconstructOptions.from_request(keypoint_job)
    options = replace(options, footage="always", frames="1-2")
    reconstruct.ReconstructJob(options, lambda event: None, lambda: False).run()
    assert sorted(find_copies(tmp_path / "take")) == [1, 2]


def test_file_systems_without_links(
    clip: Path, tmp_path: Path, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    run_job(clip, step=4, mirrored=True)
    assert numbers_shown(tmp_path / "take", mirrored=True) == {n: 1 if n < 5 else 5 for n in range(1, 9)}
    assert not [path for path in (tmp_path / "take/footage").iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("vfr.mp4", {"frame_rate_varies": True}),
        ("rot90.mp4", {"rotation": 90}),
        ("rot180.mp4", {"rotation": 180}),
        ("rot270.mp4", {"rotation": 270}),
        ("sar43.mp4", {"pixel_aspect": pytest.approx(4 / 3, abs=1e-5)}),
        ("avchd.mts", {"interlaced": True}),
        ("base8.mp4", {}),
    ],
)
def test_the_take_says_how_the_clip_is_stored(tmp_path: Path, run_job: RunJob, name: str, facts: dict) -> None:
    plain = {"frame_rate_varies": False, "rotation": 0, "flipped": False, "pixel_aspect": 1.0, "interlaced": False}
    run_job(CASES / name, frames="1-3")
    header = json.loads((tmp_path / "take/take.json").read_text("utf-8"))
    assert {fact: header["source"][fact] for fact in plain} == {**plain, **facts}
    assert [record["time"] for record in header["frames"]] == sorted({record["time"] for record in header["frames"]})
    assert (footage_of(tmp_path / "take") is None) == (not facts)


def test_what_blender_shows_otherwise_is_noticed_in_the_middle(tmp_path: Path, run_job: RunJob) -> None:
    """Whether a picture is transparent is known only when it is decoded; the copies of those before it follow."""
    for number in (1, 2, 3):
        alpha = np.full((120, 160), 0 if number == 2 else 255, np.uint8)
        write_picture(tmp_path / f"shots/shot_{number}.png", np.dstack([numbered(number), alpha]))
    run_job(tmp_path / "shots")
    assert footage_of(tmp_path / "take")["reason"] == "some of its pictures are transparent"  # type: ignore[index]
    means = [cv2.imread(str(path)).mean() for path in find_copies(tmp_path / "take").values()]
    assert means == pytest.approx([60, 128, 80], abs=1)
    run_job(tmp_path / "shots", tmp_path / "opaque", frames="1,3")
    assert footage_of(tmp_path / "opaque") is None
