"""Reading of a clip frame by frame with FFmpeg. Frames are told apart by their times, and decoded forwards only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import FrameError, InputError
from im2hands.core.files import open_regular

from .animation import is_animation, probe_animation, read_animation
from .clip_info import ClipInfo, spacing
from .colour import BT2020, HLG, PQ, over_grey, wide_to_srgb
from .container import CLIP_FORMATS, boxes, is_still, open_container
from .deinterlace import Deinterlacer
from .images import MIN_SIDE, TRANSPARENT
from .packets import PacketList, list_packets
from .picture_file import check_size
from .upright import orientation_of_matrix, plausible_aspect, square_size, upright, upright_size

__all__ = ["VIDEO_SUFFIXES", "ClipInfo", "is_animation", "probe_clip", "read_clip"]

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".ogv"}
)

# Frames that are decoded to learn how the pictures are stored, and whether packets and frames belong together.
_SAMPLE_FRAMES = 24
_SAMPLE_LEAST = 8  # packets from which on the comparison says something
_SAMPLE_PART = 0.75  # of the packets that give a frame; of clips whose packets hold single fields it is a half

# Codecs without references between frames: what is wrong in a packet of theirs damages its own frame only.
_STRICT_CODECS = frozenset({"mjpeg", "png"})
_STRICT = "crccheck+bitstream+buffer+explode"

_JPEG_HEAD = b"\xff\xd8"
_MP4_BRAND, _MP4_INDEX, _MP4_DATA = b"ftyp", b"moov", b"mdat"

# Why Blender shows other pictures than these; noticed only where they are decoded.
INTERLACED = "some of its pictures are interlaced"
RESIZED = "its pictures have different sizes"

_ASPECT_TOLERANCE = 0.01  # relative difference of aspect ratios at which a picture is not scaled to the clip's size


@dataclass
class _Sample:
    """What the first decoded frames say."""

    first: Any = None
    stamps: list[int | None] = field(default_factory=list)
    interlaced: bool = False
    hdr: bool = False
    orientation: int = 1


def probe_clip(path: Path) -> ClipInfo:
    """Read through a clip, and decode its first frames.

    Parameters
    ----------
    path : Path
        The clip, or a GIF, WebP or PNG file with several pictures.

    Returns
    -------
    ClipInfo
        Number and times of the frames, rate and size.

    Raises
    ------
    InputError
        The clip cannot be opened, has no readable frame, or its pictures are too small or too large.
    """
    if is_animation(path):
        return probe_animation(path)
    with _opened(path) as (container, stream, file):
        aspect = plausible_aspect(float(stream.sample_aspect_ratio or 1))
        rates = [float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
        unit = float(stream.time_base)
        length_known = container.duration is not None
        first_stream = stream is container.streams.video[0]
        packets = list_packets(container, stream, file)
    with _opened(path) as (container, stream, _):
        sample = _take_sample(container, stream)
    if sample.first is None:
        raise InputError(f"{path} has no frame that can be read.", "Convert the clip to MP4 (H.264).")
    stamps = _trusted_stamps(packets, sample)
    times = tuple((stamp - stamps[0]) * unit for stamp in stamps) if stamps else _times_by_decoding(path, rates)
    fps, varies = spacing(times, rates)
    width, height = upright_size(*square_size(sample.first.width, sample.first.height, aspect), sample.orientation)
    _check_size(width, height, path)
    return ClipInfo(
        len(times) + packets.missing, fps, width, height, varies, sample.orientation, aspect, sample.interlaced,
        times, stamps, length_known, sample.hdr, first_stream,
    )  # fmt: skip


def read_clip(
    path: Path, clip: ClipInfo, wanted: Iterable[int], notice: Callable[[str], None] = lambda reason: None
) -> Iterator[tuple[int, np.ndarray | FrameError]]:
    """Decode the wanted frames of a clip.

    Parameters
    ----------
    path : Path
        The clip.
    clip : ClipInfo
        What :func:`probe_clip` returned for it.
    wanted : iterable of int
        Frame numbers, counted from 1, ascending, none above ``len(clip.times)``.
    notice : callable
        Called with the reason before a picture that Blender shows otherwise, for a reason that ``clip`` does not know.

    Yields
    ------
    int
        The frame number.
    (H, W, 3) uint8 or FrameError
        Upright sRGB with square pixels, or the reason why the frame cannot be decoded.

    Raises
    ------
    InputError
        The clip cannot be opened.
    """
    if is_animation(path):
        yield from read_animation(path, wanted)
        return
    waiting = list(reversed(list(wanted)))
    convert = _Converter(path, clip, notice)
    with _opened(path) as (container, stream, _):
        for frame, number, whole, interlaced in _numbered(container, stream, clip):
            while waiting and waiting[-1] < number:
                yield waiting[-1], _damaged(path, waiting.pop())
            if waiting and waiting[-1] == number:
                yield waiting.pop(), convert(frame, number, interlaced) if whole else _damaged(path, number)
            if not waiting:
                return
    while waiting:
        yield waiting[-1], _damaged(path, waiting.pop())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Open a clip; gives the container, its video stream and the file."""
    import av

    try:
        file = open_regular(path)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    with file:
        head = file.read(len(_JPEG_HEAD))
        if not head:
            raise InputError(f"{path} is empty (0 bytes).", "Copy or export the clip again.")
        try:
            container = open_container(file, CLIP_FORMATS)
        except (av.error.FFmpegError, ValueError) as error:
            raise _unknown(path, _has_no_index(file)) from error
        with container:
            pictures = [stream for stream in container.streams.video if not _is_cover(stream)]
            if is_still(container) or _is_found_inside(container, head) or not (pictures or container.streams.audio):
                raise _unknown(path)
            if not pictures:
                raise InputError(f"{path} has sound, but no pictures.", "Give a clip with a picture.")
            stream = _best_of(container, pictures)
            _check_size(stream.codec_context.width, stream.codec_context.height, path)
            if stream.codec_context.name in _STRICT_CODECS:
                stream.codec_context.options = {"err_detect": _STRICT}
            yield container, stream, file


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _best_of(container: Any, pictures: list[Any]) -> Any:
    """Return the stream that FFmpeg holds for the best; but none with one picture, a cover, where others have more."""
    moving = [stream for stream in pictures if stream.frames != 1] or pictures
    best = container.streams.best("video")
    return best if best in moving else moving[0]


def _is_found_inside(container: Any, head: bytes) -> bool:
    """Return whether FFmpeg found pictures within a file of another kind, for example the preview of a raw file."""
    return container.format.name == "mjpeg" and head != _JPEG_HEAD


def _has_no_index(file: Any) -> bool:
    """Return whether a file is an MP4 without the index that a camera writes last."""
    names = [name for name, _, _ in boxes(file)]
    return names[:1] == [_MP4_BRAND] and _MP4_DATA in names and _MP4_INDEX not in names


def _take_sample(container: Any, stream: Any) -> _Sample:
    from av.sidedata.sidedata import Type

    sample = _Sample()
    for frame, whole in _decoded(container, stream):
        if sample.first is None:
            sample.first = frame
            matrix = frame.side_data.get(Type.DISPLAYMATRIX)
            sample.orientation = orientation_of_matrix(bytes(matrix)) if matrix is not None else 1
            sample.hdr = _is_wide(frame)
        sample.interlaced |= frame.interlaced_frame
        if whole:
            sample.stamps.append(frame.pts)
        if len(sample.stamps) >= _SAMPLE_FRAMES:
            break
    return sample


def _trusted_stamps(packets: PacketList, sample: _Sample) -> tuple[int, ...]:
    """Return the presentation times of the frames; empty if packets and decoded frames do not belong together."""
    stamps = packets.stamps
    found = [stamp for stamp in sample.stamps if stamp is not None]
    if not stamps or not found or len(found) < len(sample.stamps):
        return ()
    begin = packets.packets[0].stamp
    if begin is not None and found[0] >= begin:  # what precedes the first key frame refers to frames that are not there
        stamps = tuple(stamp for stamp in stamps if stamp >= begin)
    expected = [stamp for stamp in stamps if stamp <= max(found)]
    ascending = all(a < b for a, b in pairwise(found))
    fields = len(expected) >= _SAMPLE_LEAST and len(found) < _SAMPLE_PART * len(expected)
    return stamps if ascending and not fields and set(found) <= set(expected) else ()


def _times_by_decoding(path: Path, rates: list[float]) -> tuple[float, ...]:
    """Decode a whole clip and return the times of its frames, by its rate where the frames do not tell."""
    with _opened(path) as (container, stream, _):
        stamps = [frame.pts for frame, _ in _decoded(container, stream)]
        unit = float(stream.time_base)
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) == len(stamps) and all(a < b for a, b in pairwise(known)):
        return tuple((stamp - known[0]) * unit for stamp in known)
    rate, _ = spacing([0.0], rates)
    return tuple(number / (rate or 1.0) for number in range(len(stamps)))


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Any, bool]]:
    """Decode a stream; gives each frame, and whether it is whole. A packet that cannot be decoded gives none."""
    import av

    cut: set[int | None] = set()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:  # the file ends here; the decoder still holds frames
            packet = None
        if packet is not None and not packet.size and packet.pts is not None:
            continue  # the frame before it is shown longer; an empty packet without a time ends decoding
        if packet is not None and packet.is_corrupt:
            cut.add(packet.pts)
        try:
            frames = stream.codec_context.decode(packet if packet is not None and packet.size else None)
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            yield frame, not frame.is_corrupt and frame.pts not in cut
        if packet is None or not packet.size:
            return


def _numbered(container: Any, stream: Any, clip: ClipInfo) -> Iterator[tuple[Any, int, bool, bool]]:
    """Decode a stream; gives each deinterlaced frame, its number, and whether it is whole and was interlaced."""
    numbers = {stamp: number for number, stamp in enumerate(clip.stamps, 1)}
    deinterlacer: Deinterlacer[tuple[int, bool, bool]] = Deinterlacer(stream)
    for count, (frame, whole) in enumerate(_decoded(container, stream), 1):
        number = numbers.get(frame.pts, 0) if numbers else count
        for ready, tag in deinterlacer.push(frame, (number, whole, frame.interlaced_frame)):
            if tag[0]:
                yield ready, *tag
    for ready, tag in deinterlacer.flush():
        if tag[0]:
            yield ready, *tag


class _Converter:
    """Converts decoded frames to the pictures that the clip shows."""

    def __init__(self, path: Path, clip: ClipInfo, notice: Callable[[str], None]) -> None:
        from av.video.reformatter import VideoReformatter

        self._path, self._clip, self._notice = path, clip, notice
        self._stored: tuple[int, int] | None = None  # size of the first picture
        self._size = upright_size(clip.width, clip.height, clip.orientation)  # before the picture is turned
        self._reformat: Callable[..., Any] = VideoReformatter().reformat

    def __call__(self, frame: Any, number: int, interlaced: bool) -> np.ndarray | FrameError:
        import av

        width, height = self._size
        shown = frame.width / frame.height * self._clip.pixel_aspect
        if abs(shown * height / width - 1) > _ASPECT_TOLERANCE:
            return FrameError(
                f"Frame {number} of {self._path.name} has {frame.width} x {frame.height} pixels, "
                "another shape than the frames before it.",
                "Export the clip again with one size.",
            )
        wide = _is_wide(frame)
        alpha = not wide and any(component.is_alpha for component in frame.format.components)
        try:
            pixels: np.ndarray = self._reformat(
                frame, width=width, height=height, format="rgb48le" if wide else "rgba" if alpha else "rgb24",
                interpolation="BICUBIC", src_color_range=frame.color_range,
            ).to_ndarray()  # fmt: skip
        except (av.error.FFmpegError, ValueError) as error:
            return FrameError(
                f"Frame {number} of {self._path.name} cannot be converted: {error}.", "Convert the clip to MP4 (H.264)."
            )
        if alpha:
            pixels, transparent = over_grey(pixels)
        self._tell((frame.width, frame.height), alpha and transparent, interlaced)
        return upright(wide_to_srgb(pixels, frame.color_trc) if wide else pixels, self._clip.orientation)

    def _tell(self, size: tuple[int, int], transparent: bool, interlaced: bool) -> None:
        """Tell why Blender would not show this picture, which the first pictures of the clip did not say."""
        self._stored = self._stored or size
        if transparent:
            self._notice(TRANSPARENT)
        if interlaced and not self._clip.interlaced:
            self._notice(INTERLACED)
        if size != self._stored:
            self._notice(RESIZED)


def _is_wide(frame: Any) -> bool:
    return frame.color_trc in (PQ, HLG) or frame.color_primaries == BT2020


def _check_size(width: int, height: int, path: Path) -> None:
    try:
        check_size(width, height, path)
    except FrameError as error:
        raise InputError(error.message, error.hint) from error
    if 0 < min(width, height) < MIN_SIDE:
        raise InputError(
            f"{path} has {width} x {height} pixels, too few to show a hand.",
            f"Give a clip of at least {MIN_SIDE} x {MIN_SIDE} pixels.",
        )


def _unknown(path: Path, unfinished: bool = False) -> InputError:
    if unfinished:
        return InputError(
            f"{path} was not finished: the index at its end (moov) is missing.",
            "The recording stopped too early, or the copy is not complete; copy it again, or repair it with a tool "
            "for such clips.",
        )
    return InputError(
        f"{path} cannot be opened as a video.",
        "The clip is damaged or of an unknown kind; convert it to MP4 (H.264).",
    )


def _damaged(path: Path, number: int) -> FrameError:
    return FrameError(
        f"Frame {number} of {path.name} is damaged and cannot be decoded.",
        "The other frames are read; export the clip again for this one.",
    )
