"""Reading of a picture file as upright uint8 RGB, and of the size and focal length in its header."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from im2hands.core.errors import FrameError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".exr"})

# Smallest side, pixels. MediaPipe scales pictures to 192 pixels: 32 pixels would be enlarged six times.
MIN_SIDE = 32

FULL_FRAME_DIAGONAL_MM = (
    43.2666  # of the 36 x 24 mm frame that "35 mm equivalent" focal lengths refer to (CIPA DCG-001)
)

_EXIF_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_FOCAL_MM, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X_RESOLUTION, _PLANE_UNIT, _PIXEL_WIDTH = 0xA20E, 0xA210, 0xA002
_PLANE_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}

# First bytes of the formats that OpenCV may read where Pillow does not. OpenCV gets no file that begins otherwise.
_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",  # TIFF, BigTIFF
    b"\x76\x2f\x31\x01",  # OpenEXR
    b"#?RADIANCE", b"#?RGBE",  # Radiance HDR
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",  # JPEG 2000
    b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"PF", b"Pf",  # PBM, PGM, PPM, PAM, PFM
    b"\x59\xa6\x6a\x95",  # Sun raster
)  # fmt: skip
# Signatures that do not stand at the first byte, by offset: AVIF, and WebP (its RIFF container begins as AVI does).
_LATER_SIGNATURES = {4: (b"ftypavif", b"ftypavis"), 8: (b"WEBP",)}
_HEAD_BYTES = 16

# The errors that Pillow's readers raise on damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class PictureInfo:
    """Size and focal length from the header of a picture.

    Parameters
    ----------
    width : int
        Width of the upright picture (EXIF orientation applied), pixels.
    height : int
        Height of the upright picture, pixels.
    focal_px : float, optional
        Focal length by EXIF, pixels; None without it.
    orientation : int
        EXIF orientation of the stored picture, 1 to 8; 1 is upright.
    format : str
        Pillow's name of the format, for example ``"JPEG"``; empty if Pillow does not know it.
    """

    width: int
    height: int
    focal_px: float | None = None
    orientation: int = 1
    format: str = ""


def probe_picture(path: Path) -> PictureInfo:
    """Read size and EXIF focal length of a picture, without decoding it where possible.

    Of a file that is not a picture, only the first bytes are read, however large it is.

    Parameters
    ----------
    path : Path
        The picture file.

    Returns
    -------
    PictureInfo
        Size and EXIF focal length.

    Raises
    ------
    FrameError
        The file is not a readable picture, or the picture is too small.
    """
    with _opened(path) as file:
        image = _open(file)
        if image is None:
            pixels = _decode_opencv(file, path)
            return _check_size(PictureInfo(pixels.shape[1], pixels.shape[0]), path)
        width, height = image.size
        exif = _exif(image)
    focal = _focal_px(exif, width, height)
    orientation = _orientation(exif)
    if orientation in (5, 6, 7, 8):  # rotations by 90 degrees
        width, height = height, width
    return _check_size(PictureInfo(width, height, focal, orientation, image.format or ""), path)


def read_picture(path: Path) -> np.ndarray:
    """Decode a picture of any depth: 8 or 16 bits, floats, grey, palette, alpha, CMYK. EXIF orientation is applied.

    Parameters
    ----------
    path : Path
        The picture file.

    Returns
    -------
    (H, W, 3) uint8
        RGB. Transparent pixels are blended over mid grey. Linear floats are converted to sRGB.

    Raises
    ------
    FrameError
        The file is missing, empty, truncated, damaged, not a picture, or too small.
    """
    return read_with_info(path)[0]


def read_with_info(path: Path) -> tuple[np.ndarray, PictureInfo]:
    """Decode a picture as :func:`read_picture` does, and return what :func:`probe_picture` returns.

    Parameters
    ----------
    path : Path
        The picture file.

    Returns
    -------
    pixels : (H, W, 3) uint8
        RGB.
    info : PictureInfo
        Size and EXIF focal length.

    Raises
    ------
    FrameError
        The file is missing, empty, truncated, damaged, not a picture, or too small.
    """
    from PIL import Image, ImageOps

    focal, orientation, kind = None, 1, ""
    with _opened(path) as file:
        image = _open(file)
        if image is None:
            pixels = _decode_opencv(file, path)
        else:
            try:
                # Pillow refuses a file that ends early; OpenCV would fill the rest with grey without an error.
                image.load()
                pixels = _to_rgb8(ImageOps.exif_transpose(image))
            except (*_DAMAGE, Image.DecompressionBombError) as error:
                if image.format != "TIFF":  # Pillow opens some TIFF layouts that only OpenCV decodes
                    raise _damaged(path, error) from error
                pixels = _decode_opencv(file, path)
            exif, kind = _exif(image), image.format or ""
            focal, orientation = _focal_px(exif, *image.size), _orientation(exif)
    return pixels, _check_size(PictureInfo(pixels.shape[1], pixels.shape[0], focal, orientation, kind), path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                raise FrameError(f"{path} is empty (0 bytes).", "Copy or export the picture again.")
            yield file
    except FileNotFoundError as error:
        raise FrameError(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise FrameError(f"Cannot read {path}: {error.strerror or error}.", "Check the file's permissions.") from error


def _open(file: BinaryIO) -> Any:
    """Open a picture with Pillow without decoding it; None if Pillow does not know the format."""
    from PIL import Image

    file.seek(0)
    try:
        return Image.open(file)
    except (*_DAMAGE, Image.DecompressionBombError):
        return None


def _may_be_picture(head: bytes) -> bool:
    """Return whether a file with these first bytes has a format that OpenCV reads."""
    later = any(head[start:].startswith(words) for start, words in _LATER_SIGNATURES.items())
    return later or head.startswith(_SIGNATURES)


def _decode_opencv(file: BinaryIO, path: Path) -> np.ndarray:
    # OpenCV reads EXR only if this is set before its first import and OpenCV was built with OpenEXR.
    os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
    import cv2

    file.seek(0)
    pixels = None
    if _may_be_picture(file.read(_HEAD_BYTES)):
        file.seek(0)
        with contextlib.suppress(cv2.error):
            data = np.frombuffer(file.read(), np.uint8)
            pixels = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        if path.suffix.lower() == ".exr":
            raise FrameError(
                f"{path} cannot be read: this build of OpenCV reads no EXR.", "Convert it to PNG or 16-bit TIFF."
            )
        raise FrameError(f"{path} is not a picture that can be read.", "Give a JPEG, PNG, WebP or TIFF file.")
    if pixels.ndim == 2:
        return np.repeat(_to_8_bits(pixels)[..., None], 3, axis=2)
    return np.ascontiguousarray(_to_8_bits(pixels[..., 2::-1]))


def _to_rgb8(image: Any) -> np.ndarray:
    """Convert any upright Pillow image to (H, W, 3) uint8."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
        image = Image.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert integers of 8, 16 or 32 bits, or linear floats from 0 to 1, to uint8 of the same shape."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        linear = np.clip(np.nan_to_num(pixels.astype(np.float32)), 0.0, 1.0)
        curve = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
        return (curve * 255 + 0.5).astype(np.uint8)
    clipped = np.clip(pixels, 0, 65535).astype(np.uint32)  # Pillow sometimes returns 16-bit grey as 32-bit integers
    return ((clipped + 128) // 257).astype(np.uint8)


def _exif(image: Any) -> dict[int, Any]:
    """Return the EXIF tags of both directories; an empty dict if there are none or they are damaged."""
    try:
        exif = image.getexif()
        return {**dict(exif), **dict(exif.get_ifd(_EXIF_IFD))}
    except (*_DAMAGE, KeyError):
        return {}


def _focal_px(exif: dict[int, Any], width: int, height: int) -> float | None:
    """Compute the focal length in pixels from EXIF tags, for a picture of ``width`` x ``height`` as stored."""
    candidates = []
    equivalent = _number(exif.get(_FOCAL_35MM))
    if equivalent:
        candidates.append(equivalent / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height))
    focal_mm, resolution = _number(exif.get(_FOCAL_MM)), _number(exif.get(_PLANE_X_RESOLUTION))
    unit_mm = _PLANE_UNIT_MM.get(_int(exif.get(_PLANE_UNIT, 2)))
    if focal_mm and resolution and unit_mm:
        original_width = _number(exif.get(_PIXEL_WIDTH)) or width
        candidates.append(focal_mm * resolution / unit_mm * width / original_width)
    for focal in candidates:
        if 0.2 < focal / max(width, height) < 30.0:  # field of view from 136 to 2 degrees; outside, the tags are wrong
            return focal
    return None


def _orientation(exif: dict[int, Any]) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or it is wrong."""
    found = _int(exif.get(_EXIF_ORIENTATION))
    return found if 1 <= found <= 8 else 1


def _number(value: Any) -> float:
    """Convert an EXIF number or rational to float; 0.0 if it is not a positive finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _int(value: Any) -> int:
    return int(_number(value))


def _check_size(info: PictureInfo, path: Path) -> PictureInfo:
    if min(info.width, info.height) < MIN_SIDE:
        raise FrameError(
            f"{path} has {info.width} x {info.height} pixels, too few to show a hand.",
            f"Give a picture of at least {MIN_SIDE} x {MIN_SIDE} pixels.",
        )
    return info


def _damaged(path: Path, error: Exception) -> FrameError:
    if "truncated" in str(error).lower():
        return FrameError(f"{path} is cut off: its data ends early.", "Copy or export the picture again.")
    return FrameError(f"{path} is damaged: {error}.", "Copy or export the picture again.")
