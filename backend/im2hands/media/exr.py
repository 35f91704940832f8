"""Reading of OpenEXR pictures: the display window of the first part that has colours or grey."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from im2hands.core.errors import FrameError

from .picture_file import check_size
from .upright import plausible_aspect, square_size

SIGNATURE = b"\x76\x2f\x31\x01"

_DAMAGE = (RuntimeError, ValueError, TypeError, OSError, EOFError, IndexError, KeyError, AttributeError, MemoryError)
_LARGEST_BYTES = 2 * 10**9  # of all layers of a file, which are decoded together
_BYTES_PER_VALUE = 4
_GROUND = 0.2158605  # linear light of mid grey (128 of 255 in sRGB), which shows through transparent pixels
_MAIN_LAYER = re.compile(r"(^|\.)(combined|composite|beauty|rgba?)(\.|$)", re.IGNORECASE)
_CHROMA_WEIGHTS = (0.2126, 0.7152, 0.0722)  # of red, green and blue in Y, with the primaries of sRGB
# Names before "R", "G" and "B": plain files, then the layer that Blender's files name last.
_LAYERS_FIRST = ("", "Composite.Combined.", "Combined.")


@dataclass(frozen=True)
class _Layer:
    part: int
    channels: tuple[str, ...]  # R, G, B, or one grey channel
    alpha: str | None
    data: tuple[int, int, int, int]  # first column, first row, width, height
    window: tuple[int, int, int, int]
    pixel_aspect: float
    rank: int  # the smallest shows the picture; the others are passes of it
    is_chroma: bool = False  # the channels are Y, RY and BY
    differs: str = ""


def probe_exr(file: BinaryIO, path: Path) -> tuple[tuple[int, int], str]:
    """Read the size of an EXR picture from its header, and whether Blender shows it.

    Parameters
    ----------
    file : binary stream
        The file.
    path : Path
        Its path, for messages.

    Returns
    -------
    size : tuple of int
        Width and height with square pixels.
    differs : str
        Why Blender would show another picture; empty if it would not.

    Raises
    ------
    FrameError
        The header is damaged, the picture is too large, or it has no colours.
    """
    layer = _find_layer(file, path)
    return square_size(*layer.window[2:], layer.pixel_aspect), layer.differs


def read_exr(file: BinaryIO, path: Path) -> tuple[np.ndarray, str]:
    """Decode an EXR picture.

    Parameters
    ----------
    file : binary stream
        The file.
    path : Path
        Its path, for messages.

    Returns
    -------
    pixels : (H, W, 3) float32
        Linear light. What the file has no pixels for is black; transparent pixels are laid over mid grey.
    differs : str
        Why Blender would show another picture; empty if it would not.

    Raises
    ------
    FrameError
        The file is damaged, the picture is too large, or it has no colours.
    """
    layer = _find_layer(file, path)
    differs = layer.differs
    file.seek(0)
    try:
        import OpenEXR

        channels = OpenEXR.File(file, separate_channels=True).parts[layer.part].channels
        found = [np.asarray(channels[name].pixels, np.float32) for name in layer.channels]
        if layer.is_chroma:
            found = _from_chroma(*found)
        colours = np.stack(found if len(found) == 3 else found * 3, axis=-1)
        if layer.alpha is not None:  # colours in EXR are already multiplied by alpha
            alpha = np.clip(np.asarray(channels[layer.alpha].pixels, np.float32), 0.0, 1.0)
            colours += (1.0 - alpha)[..., None] * _GROUND
            if alpha.min() < 1.0:
                differs = differs or "some of its pictures are transparent"
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    pixels = _in_window(colours, layer)
    size = square_size(*layer.window[2:], layer.pixel_aspect)
    if size == layer.window[2:]:
        return pixels, differs
    import cv2

    return cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), differs


def _find_layer(file: BinaryIO, path: Path) -> _Layer:
    import OpenEXR

    file.seek(0)
    try:
        headers = [part.header for part in OpenEXR.File(file, separate_channels=True, header_only=True).parts]
        layers = [_layer_of(number, header, OpenEXR) for number, header in enumerate(headers)]
        values = sum(
            np.prod(_box(header["dataWindow"])[2:], dtype=float) * len(header["channels"]) for header in headers
        )
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    layer = min((layer for layer in layers if layer is not None), key=lambda layer: layer.rank, default=None)
    if layer is None:
        names = ", ".join(sorted({channel.name for header in headers for channel in header["channels"]})[:8])
        raise FrameError(
            f"{path} has no picture with the channels R, G and B (it has {names}).", "Render it with its colours."
        )
    for box in (layer.data, layer.window):
        check_size(*box[2:], path)
    check_size(*square_size(*layer.window[2:], layer.pixel_aspect), path)
    if values * _BYTES_PER_VALUE > _LARGEST_BYTES:
        raise FrameError(f"{path} is too large: its layers take {values * 4 / 1e9:.0f} GB.", "Save its colours alone.")
    several = len(headers) > 1 or any("." in channel.name for channel in headers[layer.part]["channels"])
    reasons = {
        "Blender shows no EXR with several layers as a picture": several,
        "Blender shows another part of the EXR": layer.data[2:] != layer.window[2:] or layer.data != layer.window,
        "its pixels are not square": layer.pixel_aspect != 1.0,
    }
    return replace(layer, differs=", ".join(reason for reason, holds in reasons.items() if holds))


def _layer_of(number: int, header: dict[str, Any], openexr: Any) -> _Layer | None:
    if header.get("type") in (openexr.deepscanline, openexr.deeptile):
        return None
    names = {channel.name for channel in header["channels"] if channel.xSampling == channel.ySampling == 1}
    before = _layer_names(names)
    if before is not None:
        channels, alpha = tuple(before + colour for colour in "RGB"), before + "A"
    elif {"Y", "RY", "BY"} <= {channel.name for channel in header["channels"]}:
        channels, alpha = ("Y", "RY", "BY"), "A"
    elif "Y" in names:
        channels, alpha = ("Y",), "A"
    else:
        return None
    return _Layer(
        number, channels, alpha if alpha in names else None, _box(header["dataWindow"]), _box(header["displayWindow"]),
        plausible_aspect(float(header.get("pixelAspectRatio", 1.0))),
        0 if _MAIN_LAYER.search(f"{header.get('name', '')}.{before or ''}") else 1 if not before else 2,
        "RY" in channels,
    )  # fmt: skip


def _from_chroma(y: np.ndarray, ry: np.ndarray, by: np.ndarray) -> list[np.ndarray]:
    """Convert luminance and chroma, which has half the size, to red, green and blue."""
    import cv2

    size = y.shape[1], y.shape[0]
    red, blue = ((cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) + 1.0) * y for part in (ry, by))
    of_red, of_green, of_blue = _CHROMA_WEIGHTS
    return [red, (y - of_red * red - of_blue * blue) / of_green, blue]


def _layer_names(names: Iterable[str]) -> str | None:
    """Return what stands before R, G and B in the names of the channels that show the picture."""
    known = set(names)
    found = sorted(name[:-1] for name in known if name.endswith("R") and {name[:-1] + c for c in "GB"} <= known)
    if not found:
        return None
    first = [layer for layer in _LAYERS_FIRST if layer in found]
    combined = [layer for layer in found if _MAIN_LAYER.search(layer)]
    return (first + combined + found)[0]


def _box(window: Any) -> tuple[int, int, int, int]:
    (left, top), (right, bottom) = ([int(value) for value in corner] for corner in window)
    return left, top, right - left + 1, bottom - top + 1


def _in_window(colours: np.ndarray, layer: _Layer) -> np.ndarray:
    """Lay the pixels that the file has into its display window, which is the whole picture."""
    if layer.data == layer.window:
        return colours
    left, top, width, height = layer.window
    whole = np.zeros((height, width, 3), np.float32)
    x, y = layer.data[0] - left, layer.data[1] - top
    first_x, first_y = max(x, 0), max(y, 0)
    last_x, last_y = min(x + layer.data[2], width), min(y + layer.data[3], height)
    if first_x < last_x and first_y < last_y:
        whole[first_y:last_y, first_x:last_x] = colours[first_y - y : last_y - y, first_x - x : last_x - x]
    return whole


def _damaged(path: Path, error: Exception) -> FrameError:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, IndexError):  # OpenEXR gives no pixels and no reason
        words = "its data ends early or is damaged"
    return FrameError(f"{path} cannot be read as EXR: {words}.", "Save it again, or convert it to 16-bit TIFF.")
