"""Reading of a picture file as upright uint8 RGB, and of the size and focal length in its header."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.files import open_regular

from . import exr, ffmpeg_picture, profile
from .colour import MID_GREY, to_8_bits
from .focal_length import focal_px
from .heic import refuse_missing_tiles
from .picture_file import ANIMATED_FORMATS, DAMAGE, check_size, open_with_pillow, read_head, tiff_tags
from .png import refuse_damaged_png
from .upright import orientation_of, upright, upright_size

PICTURE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".exr", ".heic", ".heif", ".hif",
        ".avif", ".gif",
    }
)  # fmt: skip

# Smallest side, pixels. MediaPipe scales pictures to 192 pixels: 32 pixels would be enlarged six times.
MIN_SIDE = 32

_EXIF_IFD = 0x8769
_WIDTH, _HEIGHT = 256, 257  # tags of TIFF
_OPAQUE = 255
_BRIGHTEST_MEDIAN = 10.0  # times white; no photo has half of its pixels above it

TRANSPARENT = "some of its pictures are transparent"
_SHOWN_OTHERWISE = "Blender shows its kind of TIFF in other colours"


@dataclass(frozen=True)
class PictureInfo:
    """Size and focal length from the header of a picture.

    Parameters
    ----------
    width : int
        Width of the upright picture, pixels.
    height : int
        Height of the upright picture, pixels.
    focal_px : float, optional
        Focal length by EXIF, pixels; None without it.
    orientation : int
        EXIF orientation of the picture as its decoder gives it, 1 to 8; 1 is upright.
    format : str
        Pillow's name of the format, for example ``"JPEG"``, or ``"EXR"``; empty for other files.
    stored : int
        EXIF orientation in the file. It differs from ``orientation`` where the decoder turns the picture upright.
    differs : str
        Why Blender would show another picture than this file's, for a reason that is not the orientation; empty if it
        would not. Whether the picture is transparent is known only after it is decoded.
    """

    width: int
    height: int
    focal_px: float | None = None
    orientation: int = 1
    format: str = ""
    stored: int = 1
    differs: str = field(default="", compare=False)


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
        The file is not a readable picture, or the picture is too small, too large, or an animation.
    """
    with _opened(path) as file:
        if read_head(file).startswith(exr.SIGNATURE):
            size, differs = exr.probe_exr(file, path)
            return _check_small(PictureInfo(*size, format="EXR", differs=differs), path)
        image = _still(file, path)
        if image is None:
            pixels, orientation = _read_rare(file, path)
            return _check_small(_rare_info(pixels, orientation, file), path)
        return _check_small(_info(image, _exif(image)), path)


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
        The file is missing, empty, truncated, damaged, not a picture, too small, too large, or an animation.
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
        The file is missing, empty, truncated, damaged, not a picture, too small, too large, or an animation.
    """
    with _opened(path) as file:
        if read_head(file).startswith(exr.SIGNATURE):
            light, differs = exr.read_exr(file, path)
            pixels = _light_to_8_bits(light, path)
            info = PictureInfo(pixels.shape[1], pixels.shape[0], format="EXR", differs=differs)
            return pixels, _check_small(info, path)
        image = _still(file, path)
        if image is None:
            pixels, orientation = _read_rare(file, path)
            return pixels, _check_small(_rare_info(pixels, orientation, file), path)
        info = _check_small(_info(image, _exif(image)), path)
        pixels = _decode(image, info, file, path)
        return pixels, replace(info, differs=info.differs or (TRANSPARENT if is_transparent(image) else ""))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with open_regular(path) as file:
            if not file.seek(0, os.SEEK_END):
                raise FrameError(f"{path} is empty (0 bytes).", "Copy or export the picture again.")
            yield file
    except FileNotFoundError as error:
        raise FrameError(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise FrameError(f"Cannot read {path}: {error.strerror or error}.", "Check the file's permissions.") from error


def _still(file: BinaryIO, path: Path) -> Any:
    """Open a still picture with Pillow; None if Pillow cannot. Animations are clips, and refused."""
    image = open_with_pillow(file, path)
    if image is not None and image.format in ANIMATED_FORMATS:
        count = count_pictures(image)
        if count > 1:
            raise FrameError(
                f"{path} is an animation of {count} pictures.", "Give it alone, so that it is read as a clip."
            )
    return image


def count_pictures(image: Any) -> int:
    """Count the pictures of an opened animation.

    Parameters
    ----------
    image : PIL.Image.Image
        The opened file.

    Returns
    -------
    int
        Number of pictures; 1 if the count is damaged, so that decoding says what is wrong.
    """
    try:
        return int(getattr(image, "n_frames", 1))
    except DAMAGE:
        return 1


def _exif(image: Any) -> dict[int, Any]:
    """Return the EXIF tags of both directories; an empty dict if there are none or they are damaged."""
    try:
        exif = image.getexif()
        return {**dict(exif.get_ifd(_EXIF_IFD)), **dict(exif)}
    except DAMAGE:
        return {}


def _info(image: Any, exif: dict[int, Any]) -> PictureInfo:
    """Describe an opened picture that is not decoded yet. Pillow turns TIFF files, and gives their upright size."""
    orientation = 1 if image.format == "TIFF" else orientation_of(exif)
    width, height = upright_size(image.width, image.height, orientation)
    stored = orientation_of(exif)
    focal = focal_px(exif, *upright_size(width, height, stored))
    return PictureInfo(width, height, focal, orientation, image.format or "", stored, _why_differs(image))


def _why_differs(image: Any) -> str:
    """Return why Blender shows an opened picture with other colours."""
    if profile.needs_conversion(image):
        return "Blender does not apply its colour profile"
    if image.format == "TIFF" and image.mode in ("F", "LAB"):
        return _SHOWN_OTHERWISE
    return ""


def _rare_info(pixels: np.ndarray, orientation: int, file: BinaryIO) -> PictureInfo:
    differs = _SHOWN_OTHERWISE if tiff_tags(file) else ""
    return PictureInfo(pixels.shape[1], pixels.shape[0], None, orientation, "", orientation, differs)


def _decode(image: Any, info: PictureInfo, file: BinaryIO, path: Path) -> np.ndarray:
    if image.format == "HEIF":
        refuse_missing_tiles(image, file, path)
    if image.format == "PNG":
        refuse_damaged_png(file, path)
    try:
        image.load()  # Pillow refuses a file that ends early
        if image.mode == "F":
            pixels = _light_to_8_bits(np.asarray(image), path)[..., None].repeat(3, axis=2)
        else:
            pixels = to_rgb8(image)
        pixels = upright(pixels, info.orientation)
    except DAMAGE as error:
        if image.format != "TIFF":
            raise _damaged(path, error) from error
        pixels = _read_rare(file, path)[0]  # Pillow opens some TIFF layouts that it does not decode
    if pixels.shape[:2] != (info.height, info.width):
        raise _damaged(path, ValueError("its size is not the one in its header"))
    return pixels


def _read_rare(file: BinaryIO, path: Path) -> tuple[np.ndarray, int]:
    """Decode a picture that Pillow does not read; return it upright, and its orientation."""
    tags = tiff_tags(file)
    if isinstance(tags.get(_WIDTH), int) and isinstance(tags.get(_HEIGHT), int):
        check_size(tags[_WIDTH], tags[_HEIGHT], path)
    pixels = ffmpeg_picture.read_with_ffmpeg(file, path) if ffmpeg_picture.is_known(read_head(file)) else None
    if pixels is None:
        raise FrameError(
            f"{path} is not a picture that can be read.", "Give a JPEG, PNG, WebP, TIFF, HEIC or EXR file."
        )
    eight = _light_to_8_bits(pixels, path) if pixels.dtype.kind == "f" else to_8_bits(pixels)
    orientation = orientation_of(tags)
    return upright(np.repeat(eight[..., None], 3, axis=2) if eight.ndim == 2 else eight, orientation), orientation


def to_rgb8(image: Any) -> np.ndarray:
    """Convert a decoded Pillow image of any mode.

    Parameters
    ----------
    image : PIL.Image.Image
        The decoded image.

    Returns
    -------
    (H, W, 3) uint8
        RGB. Transparent pixels are blended over mid grey.
    """
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    image = profile.to_srgb(image)
    if _may_be_transparent(image):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*[MID_GREY] * 3, 255))
        image = Image.alpha_composite(ground, image)
    return np.array(image.convert("RGB"))


def is_transparent(image: Any) -> bool:
    """Return whether a pixel of a decoded Pillow image is transparent."""
    return _may_be_transparent(image) and image.convert("RGBA").getchannel("A").getextrema()[0] < _OPAQUE


def _may_be_transparent(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _light_to_8_bits(light: np.ndarray, path: Path) -> np.ndarray:
    """Convert linear light to sRGB; refuse floats that are something else."""
    if light.dtype.kind == "f" and np.median(light) > _BRIGHTEST_MEDIAN:
        raise FrameError(
            f"{path} has floats that are not light from 0 to 1 (half of them are above {_BRIGHTEST_MEDIAN:g}).",
            "Save it with 8 or 16 bits, or scale it to 1.",
        )
    return to_8_bits(light)


def _check_small(info: PictureInfo, path: Path) -> PictureInfo:
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
