"""Which numbers in file names are frames, and which are dates, times, or counters of unrelated photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from im2hands.core.errors import InputError
from im2hands.media.sequence import follow_each_other, sequence_numbers


def files(*names: str) -> list[Path]:
    return [Path("/shots") / name for name in names]


def run(form: str, first: int, count: int, step: int = 1) -> list[Path]:
    return files(*(form.format(number) for number in range(first, first + count * step, step)))


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_20240501_101530.jpg", "IMG_20240501_101812.jpg"),
        ("IMG_20240501_081500.jpg", "IMG_20240501_201500.jpg"),
        ("IMG_20240501_101530.jpg", "IMG_20240501_101531.jpg", "IMG_20240501_101532.jpg"),
        ("IMG_20240501_101530_HDR.jpg", "IMG_20240501_101531_HDR.jpg"),
        ("PXL_20240501_101530123.jpg", "PXL_20240501_101531123.jpg"),
        ("PXL_20240501_000530123.MP.jpg", "PXL_20240501_000530124.MP.jpg"),
        ("20240501_101530.jpg", "20240501_101531.jpg"),
        ("240501_101530.jpg", "240501_101531.jpg"),
        ("2024-05-01 10.15.30.jpg", "2024-05-01 10.15.31.jpg"),
        ("2024-05-01 10.15.jpg", "2024-05-01 10.16.jpg"),
        ("photo_2024-05-01_10-15-30.jpg", "photo_2024-05-01_10-15-31.jpg"),
        ("photo_2024-05-01_10-15-30-001.jpg", "photo_2024-05-01_10-15-30-002.jpg"),
        ("WIN_20240501_10_15_30_Pro.jpg", "WIN_20240501_10_15_31_Pro.jpg"),
        ("Screenshot 2024-05-01 at 9.15.30 AM.png", "Screenshot 2024-05-01 at 9.15.31 AM.png"),
        ("Photo on 5-1-24 at 10.15 AM.jpg", "Photo on 5-1-24 at 10.16 AM.jpg"),
        ("WhatsApp Image 2024-05-01 at 10.15.30.jpeg", "WhatsApp Image 2024-05-01 at 10.15.31.jpeg"),
        ("signal-2024-05-01-101530.jpg", "signal-2024-05-01-101531.jpg"),
        ("VID_20240501_1015.jpg", "VID_20240501_1018.jpg"),
        ("2024-05-01.jpg", "2024-05-02.jpg", "2024-05-03.jpg", "2024-05-04.jpg", "2024-05-05.jpg"),
        ("01.05.2024.jpg", "01.05.2025.jpg"),
        ("IMG_20240501.jpg", "IMG_20240502.jpg"),
        ("1714551330123.jpg", "1714551330124.jpg"),
        ("IMG_0001.jpg", "IMG_0002.jpg"),
        ("img_0001.png", "img_0002.png"),
        ("DSC_0042.JPG", "DSC_0043.JPG", "DSC_0044.JPG", "DSC_0045.JPG"),
        ("DSC00042.JPG", "DSC00043.JPG"),
        ("P1010001.JPG", "P1010002.JPG"),
        ("100_0042.JPG", "100_0043.JPG"),
        ("IMG-20240501-WA0001.jpg", "IMG-20240501-WA0002.jpg"),
        ("IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg", "IMG_0005.jpg", "IMG_0006.jpg", "IMG_0007.jpg"),
        ("scan_0013.png", "scan_0101.png", "scan_0250.png"),
        ("a_0001.png", "b_0002.png"),
        ("shot_0001.png", "shot_0002.jpg"),
        ("me.png", "you.png"),
        ("shot_0001.png",),
    ],
    ids=lambda names: str(names[0]),
)
def test_photos(names: tuple[str, ...]) -> None:
    assert sequence_numbers(files(*names)) is None
    assert sequence_numbers(files(*names), "no") is None


@pytest.mark.parametrize(
    ("paths", "numbers"),
    [
        (files("shot_0010.png", "shot_0020.png"), [10, 20]),
        (files("shot_0001.png", "shot_0002.png", "shot_0005.png"), [1, 2, 5]),
        (files("shot_0020.png", "shot_0010.png"), [20, 10]),
        (files("SHOT0010.png", "SHOT0020.png"), [10, 20]),
        (files("img001.png", "img002.png"), [1, 2]),
        (files("hand0001.jpg", "hand0002.jpg"), [1, 2]),
        (files("a.0001.exr", "a.0002.exr"), [1, 2]),
        (files("1.jp2", "2.jp2"), [1, 2]),
        (files("proj_2024_0501.png", "proj_2024_0502.png"), [501, 502]),
        (run("IMG_{:04}.jpg", 40, 5), [40, 41, 42, 43, 44]),
        (run("G001{:04}.JPG", 42, 5), [10042, 10043, 10044, 10045, 10046]),
        (files("IMG_20240501_101530_BURST001.jpg", "IMG_20240501_101530_BURST002.jpg"), [1, 2]),
        (run("VID_20240501_101530_{:03}.png", 1, 3), [1, 2, 3]),
        (run("2024-05-01 10-15-30_{:03}.png", 1, 3), [1, 2, 3]),
        (run("render_20240501_{:04}.png", 1, 3), [1, 2, 3]),
        (run("render_20240501_{:04}.png", 1001, 3), [1001, 1002, 1003]),
        (run("render_20240501_{:06}.png", 0, 3), [0, 1, 2]),
        (files("render_20240501_000059.png", "render_20240501_000060.png"), [59, 60]),
    ],
    ids=lambda value: value[0].name if isinstance(value[0], Path) else "",
)
def test_sequences(paths: list[Path], numbers: list[int]) -> None:
    assert sequence_numbers(paths) == dict(zip(paths, numbers, strict=True))


def test_the_person_decides() -> None:
    burst = files("IMG_20240501_101530.jpg", "IMG_20240501_101812.jpg")
    assert sequence_numbers(burst, "yes") == {burst[0]: 101530, burst[1]: 101812}
    assert sequence_numbers(files("shot_0005.png"), "yes") == {Path("/shots/shot_0005.png"): 5}
    assert sequence_numbers(files("shot_0010.png", "shot_0020.png"), "no") is None
    for names in (("me.png", "you.png"), ("1714551330123.jpg", "1714551330124.jpg"), ("1.png", "01.png")):
        with pytest.raises(InputError, match="no numbered sequence"):
            sequence_numbers(files(*names), "yes")


def test_takes_that_do_not_say_so_are_judged_as_when_they_were_made() -> None:
    assert follow_each_other("images", files("shot_0001.png", "shot_0900.png"))
    assert not follow_each_other("images", files("shot_0001.png"))
    assert follow_each_other("video", files("a.mp4"))
