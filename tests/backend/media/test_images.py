"""Picture files: depths, channels, orientation, EXIF, damage."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakes import picture, write_picture
from im2hands.core.errors import FrameError
from im2hands.media.images import probe_picture, read_picture, read_with_info


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp", ".webp", ".jpg"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    pixels = picture()
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(pixels), **options)
    read = read_picture(path)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - pixels).max() <= (12 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits(tmp_path: Path, suffix: str, channels: int) -> None:
    eight = picture()
    wide = eight.astype(np.uint16) * 257
    if channels == 1:
        wide = wide[..., 0]
    if channels == 4:
        wide = np.dstack([wide, np.full(wide.shape[:2], 65535, np.uint16)])
    read = read_picture(write_picture(tmp_path / f"a{suffix}", wide))
    expected = eight[..., :1].repeat(3, 2) if channels == 1 else eight
    assert np.abs(read.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "F"])
def test_modes(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(picture()).convert("L" if mode == "F" else "RGB")
    if mode == "F":
        image = Image.fromarray(np.asarray(image, np.float32) / 255)
    else:
        image = image.convert("RGBA").convert(mode) if mode == "LA" else image.convert(mode)
    read = read_picture(save(tmp_path / ("a.tiff" if mode in ("CMYK", "F") else "a.png"), image))
    assert read.shape == (120, 160, 3)


def test_alpha_is_laid_over_grey(tmp_path: Path) -> None:
    pixels = np.dstack([picture(), np.zeros((120, 160), np.uint8)])
    assert (read_picture(save(tmp_path / "a.png", Image.fromarray(pixels))) == 128).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int) -> None:
    upright = picture()
    inverse = {1: 0, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    stored = Image.fromarray(upright)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    if inverse:
        stored = stored.transpose(turns[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", stored, exif=exif)
    assert np.array_equal(read_picture(path), upright)
    info = probe_picture(path)
    assert (info.width, info.height) == (160, 120)
    assert read_with_info(path)[1] == info


def exif_photo(path: Path, size: tuple[int, int], **tags: object) -> Path:
    exif = Image.Exif()
    if "orientation" in tags:
        exif[0x0112] = tags.pop("orientation")
    codes = {"focal": 0x920A, "focal35": 0xA405, "resolution": 0xA20E, "unit": 0xA210, "pixels": 0xA002}
    exif.get_ifd(0x8769).update({codes[name]: value for name, value in tags.items()})
    return save(path, Image.new("RGB", size), exif=exif)


def test_exif_focal_length(tmp_path: Path) -> None:
    photo = exif_photo(tmp_path / "a.jpg", (400, 300), focal35=26)
    assert probe_picture(photo).focal_px == pytest.approx(26 / 43.2666 * 500, rel=1e-4)
    turned = exif_photo(tmp_path / "t.jpg", (400, 300), focal35=26, orientation=6)
    assert probe_picture(turned).focal_px == pytest.approx(26 / 43.2666 * 500, rel=1e-4)
    assert probe_picture(turned).width == 300
    assert read_with_info(turned)[1] == probe_picture(turned)
    # A sensor 36 mm wide, 6000 pixels; the picture was scaled to 600.
    plane = exif_photo(tmp_path / "p.jpg", (600, 400), focal=50.0, resolution=6000 / 3.6, unit=3, pixels=6000)
    assert probe_picture(plane).focal_px == pytest.approx(50 / 36 * 600, rel=1e-3)


def test_exif_nonsense_is_no_focal_length(tmp_path: Path) -> None:
    for tags in ({"focal35": 0}, {"focal35": 60000}, {"focal": 50.0}, {"focal": 5.0, "resolution": 1.0, "unit": 9}):
        assert probe_picture(exif_photo(tmp_path / "a.jpg", (400, 300), **tags)).focal_px is None


def test_floats_are_shown_as_srgb(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    pixels = np.full((64, 64, 3), 0.2140411, np.float32)
    pixels[:8] = 7.0
    pixels[8:16] = np.nan
    path.write_bytes(cv2.imencode(".tiff", pixels)[1].tobytes())
    read = read_picture(path)
    assert np.abs(read[32].astype(int) - 128).max() <= 1
    assert (read[0] == 255).all()


def damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.jpg"
    buffer = io.BytesIO()
    Image.fromarray(picture(640, 480)).save(buffer, "JPEG", quality=95)
    if kind == "cut":
        path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    elif kind == "text":
        path.write_text("This is not a picture.")
    elif kind == "zero":
        path.write_bytes(b"")
    elif kind == "small":
        Image.new("RGB", (4, 4)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "There is no file"),
        ("cut", "is cut off: its data ends early"),
        ("text", "is not a picture that can be read"),
        ("zero", r"is empty \(0 bytes\)"),
        ("small", "has 4 x 4 pixels, too few to show a hand"),
    ],
)
def test_bad_pictures(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read_picture(damaged(tmp_path, kind))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff", ".bmp"])
def test_cut_files_are_never_half_read(tmp_path: Path, suffix: str) -> None:
    path = save(
        tmp_path / f"a{suffix}", Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8))
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FrameError):
        read_picture(path)


def test_exr_without_openexr_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    path.write_bytes(b"\x76\x2f\x31\x01" + b"\0" * 100)
    with pytest.raises(FrameError, match="EXR"):
        read_picture(path)


def test_large_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "large.jpg", Image.new("RGB", (8000, 6000), (90, 80, 70)))
    assert read_picture(path).shape == (6000, 8000, 3)
