"""Pictures of odd kinds, made here: what is in them is read or refused, and where copies are needed."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from fakes import picture
from im2hands.core.errors import FrameError
from im2hands.media.footage import why_copies
from im2hands.media.images import probe_picture, read_picture
from im2hands.media.source import Frame, Source, open_source
from im2hands.media.upright import upright

CASES = Path(__file__).resolve().parents[2] / "media_cases"
PICTURE = cv2.GaussianBlur(picture(), (0, 0), 2)
NEITHER = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # what stores an upright picture for each orientation


def moved(number: int) -> np.ndarray:
    return np.roll(PICTURE, 8 * number, axis=1)


def frames_of(source: Source) -> list[Frame]:
    frames = [frame for _, frame in source]
    assert all(isinstance(frame, Frame) for frame in frames)
    return [frame for frame in frames if isinstance(frame, Frame)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_lossless_pictures_of_all_orientations_are_the_same_to_the_last_bit(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    """So their hands are the same. JPEG, HEIC and AVIF differ by their compression alone (test_stills.py)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    stored = Image.fromarray(upright(PICTURE, NEITHER[orientation]))
    stored.save(path, exif=exif.tobytes(), **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_picture(path), PICTURE)


def sensor_file(
    path: Path, order: str = "<", subfile: int | None = None, colours: int = 32803, linked: bool = False
) -> Path:
    """Write what cameras write: a thumbnail, and what the sensor recorded in a directory inside or after it."""
    thumbnail, sensor = bytes([90, 100, 110]) * 64 * 64, bytes(200 * 160 * 2)
    bits_at = 8 + len(thumbnail) + len(sensor)
    first_at = bits_at + 6

    def directory(tags: dict[int, tuple[int, int, int]], following: int) -> bytes:
        rows = b"".join(
            struct.pack(f"{order}HHIHH", tag, kind, count, value, 0) if (kind, count) == (3, 1)
            else struct.pack(f"{order}HHII", tag, kind, count, value)
            for tag, (kind, count, value) in sorted(tags.items())
        )  # fmt: skip
        return struct.pack(f"{order}H", len(tags)) + rows + struct.pack(f"{order}I", following)

    first = {
        256: (3, 1, 64), 257: (3, 1, 64), 258: (3, 3, bits_at), 259: (3, 1, 1), 262: (3, 1, 2), 273: (4, 1, 8),
        277: (3, 1, 3), 278: (3, 1, 64), 279: (4, 1, len(thumbnail)),
    }  # fmt: skip
    if subfile is not None:
        first[254] = (4, 1, subfile)
    second_at = first_at + 2 + 12 * (len(first) + (0 if linked else 1)) + 4
    if not linked:
        first[330] = (4, 1, second_at)
    second = {
        256: (3, 1, 200), 257: (3, 1, 160), 258: (3, 1, 16), 259: (3, 1, 1), 262: (3, 1, colours),
        273: (4, 1, 8 + len(thumbnail)), 277: (3, 1, 1), 278: (3, 1, 160), 279: (4, 1, len(sensor)),
    }  # fmt: skip
    path.write_bytes(
        struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, first_at) + thumbnail + sensor
        + struct.pack(f"{order}3H", 8, 8, 8) + directory(first, second_at if linked else 0) + directory(second, 0)
    )  # fmt: skip
    return path


@pytest.mark.parametrize("name", ["a.nef", "a.arw", "a.cr2", "a.dng", "a.tif", "a.jpg", "a"])
@pytest.mark.parametrize("options", [{}, {"order": ">"}, {"subfile": 0}, {"subfile": 1}, {"linked": True}])
def test_a_thumbnail_is_never_the_picture(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    for colours in (32803, 34892):
        path = sensor_file(tmp_path / name, colours=colours, **options)  # type: ignore[arg-type]
        for read in (probe_picture, read_picture):
            with pytest.raises(FrameError, match="raw file of a camera"):
                read(path)
    with pytest.raises(FrameError, match=r"raw file of a camera|larger picture than its first"):
        read_picture(sensor_file(tmp_path / name, colours=2, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.raf", "a.jpg", "a.dat", "a"])
def test_a_preview_inside_another_file_is_no_picture(tmp_path: Path, name: str) -> None:
    inside = io.BytesIO()
    Image.fromarray(PICTURE).save(inside, "JPEG")
    for head in (b"FUJIFILMCCD-RAW 0201FF389501", b"%PDF-1.7\n"):
        (tmp_path / name).write_bytes(head + bytes(64) + inside.getvalue())
        [(_, frame)] = open_source([tmp_path / name])
        assert isinstance(frame, FrameError)


def test_pages_are_told_of(tmp_path: Path) -> None:
    first = Image.fromarray(PICTURE)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(moved(2))] * 2)
    first.save(tmp_path / "b.tif")
    source = open_source([tmp_path])
    assert [note.message.split(" is read")[0] for note in source.notes] == ["Only the first page of a.tif (3)"]
    assert np.array_equal(frames_of(source)[0].image, PICTURE)


def matrix_profile(*columns: tuple[float, float, float]) -> bytes:
    """Make an ICC profile with these primaries (XYZ) and a gamma of 2.2."""

    def numbers(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": name, b"wtpt": b"XYZ " + bytes(4) + numbers(0.9642, 1, 0.8249), b"cprt": b"text" + bytes(8)}
    tags |= {
        key + b"XYZ": b"XYZ " + bytes(4) + numbers(*one) for key, one in zip((b"r", b"g", b"b"), columns, strict=True)
    }
    tags |= {key + b"TRC": curve for key in (b"r", b"g", b"b")}
    table, body = b"", b""
    start = 132 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + numbers(0.9642, 1, 0.8249) + bytes(48)
    return head[:128] + struct.pack(">I", len(tags)) + table + body


DISPLAY_P3 = matrix_profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
SRGB = matrix_profile((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".heic", ".avif"])
def test_colour_profiles_are_applied(tmp_path: Path, suffix: str) -> None:
    probe_picture(CASES / "single.heic")  # registers HEIC, to write it here
    stored = np.full((64, 64, 3), (180, 120, 100), np.uint8)
    path = tmp_path / f"a{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {"quality": 98}
    Image.fromarray(stored).save(path, icc_profile=DISPLAY_P3, **options)
    found = read_picture(path)[32, 32].astype(int)
    assert np.abs(found - (191, 118, 96)).max() <= 4  # (180, 120, 100) of Display P3 in sRGB
    assert "colour profile" in why_copies(open_source([path]))
    Image.fromarray(stored).save(path, icc_profile=SRGB, **options)
    assert np.abs(read_picture(path)[32, 32].astype(int) - stored[0, 0]).max() <= 2
    assert "colour profile" not in why_copies(open_source([path]))
    Image.fromarray(stored).save(path, icc_profile=DISPLAY_P3[:200], **options)
    assert np.abs(read_picture(path)[32, 32].astype(int) - stored[0, 0]).max() <= 2


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparent_pictures_need_copies(tmp_path: Path, suffix: str) -> None:
    whole = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    half = whole.copy()
    half[:, :80, 3] = 0
    for pixels, differs in ((whole, ""), (half, "some of its pictures are transparent")):
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        [frame] = frames_of(open_source([tmp_path / f"a{suffix}"]))
        assert frame.differs == differs
        assert np.array_equal(frame.image[:, 80:], PICTURE[:, 80:])
    assert (frame.image[:, :80] == 128).all()


def test_floats_that_are_no_light_are_refused(tmp_path: Path) -> None:
    Image.fromarray(PICTURE[..., 0].astype(np.float32) + 20).save(tmp_path / "a.tif")
    with pytest.raises(FrameError, match="not light from 0 to 1"):
        read_picture(tmp_path / "a.tif")
    Image.fromarray(PICTURE[..., 0].astype(np.float32) / 255).save(tmp_path / "a.tif")
    assert "other colours" in why_copies(open_source([tmp_path / "a.tif"]))


def test_a_changed_byte_in_a_png_is_noticed(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FrameError, match="damaged"):
        read_picture(tmp_path / "a.png")


def exr(path: Path, *parts: tuple[str, dict[str, np.ndarray]], **header: object) -> Path:
    made = [
        OpenEXR.Part({"name": name, "type": OpenEXR.scanlineimage, **header}, dict(channels))
        for name, channels in parts
    ]
    OpenEXR.File(made).write(str(path))
    return path


def test_exr_passes_are_not_the_picture(tmp_path: Path) -> None:
    grey, black = np.full((48, 64), 0.2140411, np.float32), np.zeros((48, 64), np.float32)
    shown, other = dict.fromkeys("RGB", grey), dict.fromkeys("RGB", black)
    for name, parts in {
        "a": [("View.AO", other), ("View.Combined", shown)],
        "b": [("depth", {"Z": black}), ("rgba", shown)],
        "c": [("", {**{f"AO.{c}": black for c in "RGB"}, **{f"beauty.{c}": grey for c in "RGB"}})],
    }.items():
        path = exr(tmp_path / f"{name}.exr", *parts)
        assert np.abs(read_picture(path).astype(int) - 128).max() <= 1, name
        assert "several layers" in why_copies(open_source([path]))
    plain = exr(tmp_path / "plain.exr", ("", shown))
    assert why_copies(open_source([plain])) == ""
    crop = {"displayWindow": (np.array([0, 0], np.int32), np.array([99, 79], np.int32))}
    assert "another part" in why_copies(open_source([exr(tmp_path / "crop.exr", ("", shown), **crop)]))
