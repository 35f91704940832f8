"""Which sources Blender would not show as their hands need it, and the copies of pictures that it shows instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from im2hands.core.errors import FrameError

from .clip_info import ClipInfo
from .images import PictureInfo
from .source import Entry, Source

JPEG_QUALITY = 94  # with colours at full resolution, dithered pictures (GIF) stay within 2 % too

# The names of clips that Blender opens as clips, whatever is in them.
_BLENDER_CLIPS = frozenset(
    {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".ogv"}
)
# Pillow's names of the formats that Blender opens. An empty name stands for OpenEXR and other formats of Blender's.
_BLENDER_PICTURES = frozenset(
    {"", "JPEG", "MPO", "PNG", "TIFF", "BMP", "WEBP", "JPEG2000", "TGA", "SGI", "DDS", "PSD", "EXR", "HDR"}
)
_TURNED_BY_THE_ADD_ON = frozenset({"JPEG", "MPO"})
_SQUARE = 0.005  # deviation of the pixel aspect from 1 that is less than a few pixels across a picture

DAMAGED = "a frame of it is damaged"
ASKED_FOR = "copies were asked for"


def why_copies(source: Source) -> str:
    """Find out why Blender would not show the right picture on each frame of a source.

    Pictures are examined by their headers. Damaged frames of a clip are noticed only when they are decoded.

    Parameters
    ----------
    source : Source
        The opened source.

    Returns
    -------
    str
        The reasons, for a person; ``""`` if Blender can show the source itself.
    """
    if source.clip is not None:
        return ", ".join(_of_clip(source.clip, source.entries[0].path, source.mirrored))
    infos = []
    for entry in source.entries:
        try:
            infos.append((entry, source.probe(entry)))
        except FrameError:  # its frame fails with this error when it is read
            continue
    return ", ".join(_of_pictures(infos, source.is_sequence))


def encode_copy(pixels: np.ndarray) -> bytes:
    """Encode a picture as a copy. Equal pixels give equal bytes.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        RGB.

    Returns
    -------
    bytes
        Content of a JPEG file.

    Raises
    ------
    FrameError
        The picture is too large for a JPEG file.
    """
    import cv2

    quality = [
        cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    try:
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    except cv2.error:
        ok = False
    if not ok:
        raise FrameError(f"A picture of {pixels.shape[1]} x {pixels.shape[0]} pixels cannot be copied as a JPEG file.")
    return data.tobytes()


def _of_clip(clip: ClipInfo, path: Path, mirrored: bool) -> list[str]:
    reasons = {
        "its frame rate varies": clip.varies,
        "it is stored turned or mirrored": clip.orientation != 1,
        "its pixels are not square": abs(clip.pixel_aspect - 1.0) > _SQUARE,
        "it is interlaced": clip.interlaced,
        "its colours are those of HDR": clip.hdr,
        "Blender shows another of its video streams": not clip.first_stream,
        "its header does not say how long it is": not clip.length_known,
        "it is a mirror image": mirrored,
        f"Blender plays no {path.suffix or 'file without a suffix'}": path.suffix.lower() not in _BLENDER_CLIPS,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _of_pictures(infos: list[tuple[Entry, PictureInfo]], is_sequence: bool) -> list[str]:
    reasons = []
    unknown = sorted({info.format for _, info in infos} - _BLENDER_PICTURES)
    if unknown:
        reasons.append(f"Blender opens no {' or '.join(unknown)}")
    turned = {info.format for _, info in infos if info.stored != 1} - _TURNED_BY_THE_ADD_ON - set(unknown)
    if turned:
        reasons.append(f"Blender does not turn {' or '.join(sorted(turned))} pictures upright")
    reasons += sorted({info.differs for _, info in infos if info.differs})
    if len({entry.path for entry, _ in infos}) < len(infos):
        reasons.append("there are several pictures in one file")
    if is_sequence and len({info.stored for _, info in infos}) > 1:
        reasons.append("its pictures are stored in different orientations")
    if is_sequence and len({(info.width, info.height) for _, info in infos}) > 1:
        reasons.append("its pictures have different sizes")
    return reasons
