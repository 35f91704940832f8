"""Which sources Blender would not show as their hands need it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakes import picture, write_clip, write_picture
from im2hands.core.errors import FrameError
from im2hands.media.clip_info import ClipInfo
from im2hands.media.footage import encode_copy, why_copies
from im2hands.media.source import Frame, open_source

ORIENTATION_TAG = 0x0112
CASES = Path(__file__).parents[2] / "media_cases"


def write_turned(path: Path, orientation: int, size: tuple[int, int] = (160, 120)) -> Path:
    """Write a picture of this stored size with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(*size)).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, ""),
        ({"varies": True}, "its frame rate varies"),
        ({"orientation": 6}, "it is stored turned or mirrored"),
        ({"orientation": 2}, "it is stored turned or mirrored"),
        ({"pixel_aspect": 4 / 3}, "its pixels are not square"),
        ({"pixel_aspect": 1.001}, ""),
        ({"interlaced": True}, "it is interlaced"),
        ({"length_known": False}, "its header does not say how long it is"),
        ({"varies": True, "interlaced": True}, "its frame rate varies, it is interlaced"),
    ],
)
def test_clips(tmp_path: Path, facts: dict[str, object], reason: str) -> None:
    source = open_source([write_clip(tmp_path / "clip.avi", 3)])
    assert isinstance(source.clip, ClipInfo)
    source.clip = replace(source.clip, **facts)  # type: ignore[arg-type]
    assert why_copies(source) == reason


def test_a_mirrored_clip_is_copied_and_mirrored_photos_are_turned_by_the_add_on(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3)
    assert why_copies(open_source([clip], mirrored=True)) == "it is a mirror image"
    photo = write_picture(tmp_path / "selfie.png", picture())
    assert why_copies(open_source([photo], mirrored=True)) == ""


def test_a_clip_whose_name_tells_blender_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3).rename(tmp_path / "clip.dat")
    assert why_copies(open_source([clip])) == "Blender plays no .dat"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_of_single_pictures(tmp_path: Path, suffix: str, orientation: int) -> None:
    reason = why_copies(open_source([write_turned(tmp_path / f"photo{suffix}", orientation)]))
    assert bool(reason) == (orientation != 1 and suffix != ".jpg")
    assert not reason or "upright" in reason


def test_a_series_of_mixed_orientations(tmp_path: Path) -> None:
    for number, orientation in ((1, 1), (2, 6), (3, 1)):
        write_turned(tmp_path / f"burst_{number}.jpg", orientation, (120, 160) if orientation == 6 else (160, 120))
    assert why_copies(open_source([tmp_path])) == "its pictures are stored in different orientations"
    assert why_copies(open_source([tmp_path], frames="1,3")) == ""


def test_a_series_of_different_sizes(tmp_path: Path) -> None:
    for number, size in ((1, (160, 120)), (2, (200, 120))):
        write_picture(tmp_path / f"shot_{number}.png", picture(*size))
    assert why_copies(open_source([tmp_path])) == "its pictures have different sizes"
    (tmp_path / "shot_1.png").rename(tmp_path / "first.png")
    (tmp_path / "shot_2.png").rename(tmp_path / "second.png")
    assert why_copies(open_source([tmp_path])) == "", "Blender shows each unrelated photo as a picture of its own"


def test_formats_that_blender_does_not_open(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "still.gif")
    (tmp_path / "still.gif").rename(tmp_path / "still.png")
    assert why_copies(open_source([tmp_path / "still.png"])) == "Blender opens no GIF"
    assert why_copies(open_source([CASES / "single.heic"])) == "Blender opens no HEIF"
    assert "Blender plays no .gif" in why_copies(open_source([CASES / "hands.gif"]))
    assert "Blender plays no .webp" in why_copies(open_source([CASES / "anim.webp"]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("avchd.mts", "it is interlaced"),
        ("vfr.mp4", "its frame rate varies"),
        ("vfr.webm", "its frame rate varies"),
        ("rot90.mp4", "turned"),
        ("rot180.mp4", "turned"),
        ("rot270.mp4", "turned"),
        ("rotsq90.mp4", "turned"),
        ("sar43.mp4", "its pixels are not square"),
        ("recorder.webm", "does not say how long"),
        ("base8.mp4", ""),
        ("bars30.mp4", ""),
        ("trimmed.mp4", ""),
        ("exif6.tif", "upright"),
    ],
)
def test_files_as_people_have_them(name: str, reason: str) -> None:
    found = why_copies(open_source([CASES / name]))
    assert reason in found
    assert bool(reason) == bool(found)


def test_pictures_that_cannot_be_read_do_not_matter(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_picture(tmp_path / f"shot_{number}.png", picture(number=number))
    (tmp_path / "shot_2.png").write_bytes(b"no picture")
    assert why_copies(open_source([tmp_path])) == ""


@pytest.mark.parametrize(("name", "alike"), [("up.png", 0.005), ("vfr.mp4", 0.005), ("hands.gif", 0.016)])
def test_a_copy_looks_like_the_picture(name: str, alike: float) -> None:
    """The pictures of a GIF are dithered, which JPEG holds worst."""
    _, frame = next(iter(open_source([CASES / name])))
    assert isinstance(frame, Frame)
    data = encode_copy(frame.image)
    assert data == encode_copy(frame.image)
    again = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(again.astype(int) - frame.image).mean() / 255 < alike


def test_a_picture_larger_than_any_jpeg() -> None:
    with pytest.raises(FrameError, match="70000 x 8 pixels"):
        encode_copy(np.zeros((8, 70000, 3), np.uint8))
