"""Sources: folders, sequences, patterns and clips; the choice, order and index of their frames."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import picture, write_clip, write_picture
from im2hands.core.errors import FrameError, InputError
from im2hands.media import source as frames_module
from im2hands.media.frame_range import FrameRange
from im2hands.media.source import Frame, open_source


def count_calls(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[object]:
    """Record the first argument of every later call of a module's function."""
    function, calls = getattr(module, name), []

    def counted(first: object, *others: object) -> object:
        calls.append(first)
        return function(first, *others)

    monkeypatch.setattr(module, name, counted)
    return calls


def indices(*inputs: Path, **options: object) -> list[int]:
    return [entry.index for entry in open_source(inputs, **options).entries]  # type: ignore[arg-type]


def test_numbered_sequence_keeps_its_numbers(pictures: Path) -> None:
    source = open_source([pictures])
    assert source.kind == "images"
    assert source.fps == 25.0
    assert source.image_size == (160, 120)
    assert [entry.index for entry in source.entries] == [3, 4, 5, 6]
    assert [entry.time for entry in source.entries] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert [frame.image[0, 0, 2] for _, frame in source if isinstance(frame, Frame)] == [111, 148, 185, 222]


def test_listed_sequence_and_patterns_are_the_folder(pictures: Path) -> None:
    listed = sorted(pictures.iterdir(), reverse=True)
    assert indices(*listed) == indices(pictures)
    assert indices(pictures / "shot_####.png") == [3, 4, 5, 6]
    assert indices(pictures / "shot_%04d.png", frames="4-5") == [4, 5]


def test_other_pictures_are_counted_in_natural_order(tmp_path: Path) -> None:
    for name in ("b 10.png", "b 9.png", "a.png", ".hidden.png"):
        write_picture(tmp_path / name, picture())
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_source([tmp_path])
    assert [entry.name for entry in source.entries] == ["a.png", "b 9.png", "b 10.png"]
    assert [entry.index for entry in source.entries] == [1, 2, 3]


def test_numbers_that_are_dates_are_counted(tmp_path: Path) -> None:
    for name in ("IMG_20240101.png", "IMG_20240102.png"):
        write_picture(tmp_path / name, picture())
    assert indices(tmp_path) == [1, 2]


def test_one_photo_is_frame_one_whatever_its_number(pictures: Path) -> None:
    assert indices(pictures / "shot_0005.png") == [1]


def test_several_folders_are_counted(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        for number in (7, 8):
            write_picture(tmp_path / folder / f"s{number}.png", picture())
    assert indices(tmp_path / "x", tmp_path / "y") == [1, 2, 3, 4]


def test_range_step_and_frame_rate(pictures: Path, tmp_path: Path) -> None:
    assert indices(pictures, frames="4-", step=2) == [4, 6]
    clip = write_clip(tmp_path / "clip.avi", 12)
    assert indices(clip, frames="2-9,12", step=3) == [2, 5, 8]
    assert open_source([clip]).fps == pytest.approx(20.0)
    assert open_source([clip], fps=24.0).entries[12 - 1].time == pytest.approx(11 / 24)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_clip_frames_are_exact(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"Händé 手 clip{suffix}", 12)
    source = open_source([clip], frames="3,7-8")
    assert source.kind == "video"
    assert source.image_size == (160, 120)
    seen = {entry.index: frame.image.mean() for entry, frame in source if isinstance(frame, Frame)}
    assert seen == pytest.approx({3: 30, 7: 70, 8: 80}, abs=3)
    assert source.entries[0].name == f"Händé 手 clip{suffix} frame 3"


def test_clip_that_ends_early_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", 30).read_bytes()
    clip = tmp_path / "cut.avi"
    clip.write_bytes(whole[: len(whole) * 6 // 10])
    results = list(open_source([clip]))
    frames = [frame for _, frame in results if isinstance(frame, Frame)]
    errors = [error for _, error in results if isinstance(error, FrameError)]
    assert 5 < len(frames) < 30
    assert [frame.index for frame in frames] == list(range(1, len(frames) + 1))
    assert len(errors) == 1
    assert "cut.avi ends early: it says it has 30 frames" in errors[0].message
    assert f"frame {len(frames) + 1} cannot be read" in errors[0].message


def test_corrupt_picture_fails_alone(pictures: Path) -> None:
    (pictures / "shot_0004.png").write_bytes(b"")
    results = list(open_source([pictures]))
    assert [isinstance(frame, Frame) for _, frame in results] == [True, False, True, True]
    assert "is empty (0 bytes)" in str(results[1][1])


def test_unicode_path(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "mit Leerzeichen, Umlauten äöü" / "手 1.png", picture())
    [(entry, frame)] = list(open_source([path]))
    assert isinstance(frame, Frame)
    assert entry.name == "手 1.png"
    assert np.array_equal(frame.image, picture())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.jpg", "There is no file or folder"),
        (lambda folder: folder / "nowhere.mp4", "There is no file or folder"),
        (lambda folder: folder / "shot_####.png", "There is no file or folder"),
        (lambda folder: folder, "has no pictures"),
    ],
)
def test_nothing_there(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        open_source([make(tmp_path)])


def test_unusable_clips(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a clip")
    clip = write_clip(tmp_path / "clip.avi", 2)
    with pytest.raises(InputError, match=r"zero\.mp4 is empty"):
        open_source([tmp_path / "zero.mp4"])
    with pytest.raises(InputError, match="cannot be opened as a video"):
        open_source([tmp_path / "text.mp4"])
    with pytest.raises(InputError, match="cannot be mixed"):
        open_source([clip, pictures])


def test_unknown_ending_is_judged_by_content(tmp_path: Path) -> None:
    image = write_picture(tmp_path / "a.png", picture()).rename(tmp_path / "a.dat")
    clip = write_clip(tmp_path / "c.avi", 3).rename(tmp_path / "c.bin")
    assert open_source([image]).kind == "images"
    assert open_source([clip]).kind == "video"


def test_large_files_that_are_nothing_cost_nothing(tmp_path: Path) -> None:
    for name in ("rubbish", "rubbish.dat", "rubbish.jpg"):
        path = tmp_path / name
        path.write_bytes(b"neither a picture nor a clip")
        os.truncate(path, 10 * 2**30)  # a sparse file, which uses no space on the disk
        tracemalloc.start()
        with pytest.raises(InputError, match="is not a picture that can be read"):
            open_source([path]).first_picture()
        [(_, error)] = open_source([path])
        assert isinstance(error, FrameError)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * 2**20


def test_bad_choices(pictures: Path) -> None:
    for frames, message in (
        ("90-99", "There are frames 3 to 6"),
        ("9-3", "backwards"),
        ("a-b", "cannot be understood"),
    ):
        with pytest.raises(InputError, match=message):
            open_source([pictures], frames=frames)
    with pytest.raises(InputError, match="step is 0"):
        open_source([pictures], step=0)
    with pytest.raises(InputError, match="frames a second"):
        open_source([pictures], fps=0)
    for frames in ("-", "1,,2", "1-2-3", ",", "1.5"):
        with pytest.raises(InputError, match="cannot be understood"):
            FrameRange.parse(frames)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted), min_size=1, max_size=4))
def test_range_holds_what_is_written(parts: list[list[int]]) -> None:
    chosen = FrameRange.parse(", ".join(f"{first}-{last}" for first, last in parts))
    expected = {index for first, last in parts for index in range(first, last + 1)}
    assert {index for index in range(60) if index in chosen} == expected


def test_source_knows_whether_its_frames_follow_each_other(pictures: Path, tmp_path: Path) -> None:
    assert open_source([pictures]).is_sequence
    assert open_source([pictures], frames="3,6").is_sequence
    assert not open_source([pictures], frames="4").is_sequence
    assert open_source([write_clip(tmp_path / "clip.avi", 2)]).is_sequence
    write_picture(pictures / "me.png", picture())
    assert not open_source([pictures]).is_sequence


@pytest.mark.parametrize(("room", "again"), [(10, 0), (2, 2), (0, 4)])
def test_frames_are_kept_for_a_second_reading_while_there_is_room(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, room: int, again: int
) -> None:
    decoded = count_calls(monkeypatch, frames_module, "read_with_info")
    monkeypatch.setattr(frames_module, "KEPT_BYTES", room * picture().nbytes + 1)
    source = open_source([pictures])
    first, second = list(source), list(source)
    assert len(decoded) == 4 + again
    assert [entry for entry, _ in first] == [entry for entry, _ in second] == source.entries
    for (_, one), (_, other) in zip(first, second, strict=True):
        assert isinstance(one, Frame) and isinstance(other, Frame)
        assert np.array_equal(one.image, other.image)
    list(source)
    assert len(decoded) == 8 + again  # a job reads twice, so nothing is kept for a third reading


def test_clip_that_fits_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "clip.avi", 6)
    opened = count_calls(monkeypatch, frames_module, "read_clip")
    source = open_source([clip], mirrored=True)
    first, second = list(source), list(source)
    assert len(opened) == 1
    assert [frame for _, frame in first] == [frame for _, frame in second]
    size = picture().nbytes
    monkeypatch.setattr(frames_module, "KEPT_BYTES", 2 * size)
    source = open_source([clip])
    means = [[frame.image.mean() for _, frame in source if isinstance(frame, Frame)] for _ in range(2)]
    assert means[0] == means[1]
    assert len(means[0]) == 6


def test_single_photo_is_decoded_once(pictures: Path) -> None:
    source = open_source([pictures / "shot_0003.png"])
    [(_, first)], [(_, second)] = list(source), list(source)
    assert first is second
