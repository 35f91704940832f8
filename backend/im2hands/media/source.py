"""Pictures, folders, numbered sequences and clips, read as frames with index and time stamp."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from im2hands.core.errors import FrameError, InputError
from im2hands.core.person_path import person_path

from .frame_range import FrameRange
from .images import PICTURE_SUFFIXES, PictureInfo, probe_picture, read_with_info
from .sequence import follow_each_other, sequence_numbers
from .video import COUNT_TOLERANCE, VIDEO_SUFFIXES, ClipInfo, probe_clip, read_clip

DEFAULT_FPS = 25.0  # for pictures, which have no frame rate

KEPT_BYTES = 256 * 2**20
"""Largest total size of the decoded pictures that a source keeps for the second reading, bytes."""

SourceKind = Literal["images", "video"]

_PATTERN = re.compile(r"#+|%0?\d*d")


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Parameters
    ----------
    index : int
        Number of the frame in the source (see ``docs/take.md``).
    time : float
        Seconds from the start of the source.
    image : (H, W, 3) uint8
        RGB, EXIF orientation applied.
    name : str
        Name for messages, for example ``"shot_0012.png"`` or ``"clip.mp4 frame 12"``.
    path : Path, optional
        File that the frame comes from; None for an array.
    """

    index: int
    time: float
    image: np.ndarray
    name: str
    path: Path | None = None


@dataclass(frozen=True)
class Entry:
    """One frame of a source that is not decoded yet.

    Parameters
    ----------
    index : int
        Number of the frame in the source.
    time : float
        Seconds from the start of the source.
    name : str
        Name for messages.
    path : Path
        The picture or the clip.
    """

    index: int
    time: float
    name: str
    path: Path


@dataclass
class Source:
    """Pictures or a clip, opened but not decoded. Made by :func:`open_source`.

    The two phases of a job read the same frames in the same order. The first frames, up to :data:`KEPT_BYTES`, are kept
    in memory for the second reading. The others are decoded again.

    Parameters
    ----------
    kind : SourceKind
        "images" or "video".
    fps : float
        Frames per second.
    inputs : list of Path
        Absolute paths of the inputs that the user gave.
    entries : list of Entry
        The chosen frames, in the order of their indices.
    step : int
        Every n-th frame was chosen.
    clip : ClipInfo, optional
        Header of the clip; None for pictures.
    mirrored : bool
        Whether the pictures on disk are mirror images. Frames are then flipped back, as the camera saw the scene.
    """

    kind: SourceKind
    fps: float
    inputs: list[Path]
    entries: list[Entry]
    step: int = 1
    clip: ClipInfo | None = None
    mirrored: bool = False
    _kept: dict[int, Frame] = field(default_factory=dict, repr=False)
    _kept_bytes: int = field(default=0, repr=False)
    _decoded: set[int] = field(default_factory=set, repr=False)
    _infos: dict[int, PictureInfo] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[tuple[Entry, Frame | FrameError]]:
        return self.read(self.entries)

    @property
    def is_sequence(self) -> bool:
        """Whether the chosen frames follow each other in time: frames of a clip or of a numbered sequence."""
        return follow_each_other(self.kind, [entry.path for entry in self.entries])

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the first readable picture, pixels.

        Raises
        ------
        InputError
            No picture can be read.
        """
        info = self.first_picture()
        return info.width, info.height

    def first_picture(self) -> PictureInfo:
        """Return size and EXIF focal length of the first readable picture.

        Returns
        -------
        PictureInfo
            Size and EXIF focal length.

        Raises
        ------
        InputError
            No picture can be read. The message is that of the first picture.
        """
        first_error: FrameError | None = None
        for entry in self.entries:
            try:
                return self.probe(entry)
            except FrameError as error:
                first_error = first_error or error
        assert first_error is not None
        raise InputError(first_error.message, first_error.hint)

    def probe(self, entry: Entry) -> PictureInfo:
        """Read size and EXIF focal length of one frame from the header of its picture or clip.

        Parameters
        ----------
        entry : Entry
            The frame.

        Returns
        -------
        PictureInfo
            Size and EXIF focal length.

        Raises
        ------
        FrameError
            The header cannot be read.
        """
        if self.clip is not None:
            return PictureInfo(self.clip.width, self.clip.height)
        if entry.index not in self._infos:
            self._infos[entry.index] = probe_picture(entry.path)
        return self._infos[entry.index]

    def read(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Frame | FrameError]]:
        """Decode frames one at a time.

        Parameters
        ----------
        entries : sequence of Entry
            Some of ``entries`` of this source, ascending.

        Yields
        ------
        Entry
            The entry.
        Frame or FrameError
            Its frame, or the reason why it cannot be read. If a clip lacks one or two frames of the number in its
            header, the iteration ends without an error. If it lacks more, the first missing frame yields a FrameError.

        Raises
        ------
        InputError
            The clip cannot be opened again.
        """
        kept = {entry.index: self._kept.pop(entry.index) for entry in entries if entry.index in self._kept}
        others = self._decode([entry for entry in entries if entry.index not in kept])
        for entry in entries:
            if entry.index in kept:
                again = kept.pop(entry.index)
                self._kept_bytes -= again.image.nbytes
                yield entry, again
                continue
            following = next(others, None)
            if following is None:  # the clip is over
                return
            frame = following[1]
            if isinstance(frame, Frame):
                if self.mirrored:
                    frame = replace(frame, image=np.ascontiguousarray(frame.image[:, ::-1]))
                self._keep(frame)
            yield entry, frame

    def _keep(self, frame: Frame) -> None:
        """Keep a frame that was decoded for the first time, if there is room."""
        size = frame.image.nbytes
        if frame.index not in self._decoded and self._kept_bytes + size <= KEPT_BYTES:
            self._kept[frame.index] = frame
            self._kept_bytes += size
        self._decoded.add(frame.index)

    def _decode(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Frame | FrameError]]:
        if self.clip is not None:
            yield from self._read_clip(entries, self.clip)
            return
        for entry in entries:
            try:
                image, self._infos[entry.index] = read_with_info(entry.path)
            except FrameError as error:
                yield entry, error
            else:
                yield entry, Frame(entry.index, entry.time, image, entry.name, entry.path)

    def _read_clip(self, entries: Sequence[Entry], clip: ClipInfo) -> Iterator[tuple[Entry, Frame | FrameError]]:
        waiting = list(reversed(entries))
        last = 0
        for number, image in read_clip(entries[0].path, [entry.index for entry in entries]) if entries else ():
            entry = waiting.pop()
            last = number
            yield entry, Frame(entry.index, entry.time, image, entry.name, entry.path)
        if not waiting:
            return
        missing = waiting.pop()
        if clip.count - missing.index >= COUNT_TOLERANCE:
            yield (
                missing,
                FrameError(
                    f"{missing.path.name} ends early: it says it has {clip.count} frames, "
                    f"and frame {missing.index} cannot be read" + (f" ({last} was the last)." if last else "."),
                    "The clip was cut off; export it again for the frames after that.",
                ),
            )


def open_source(
    inputs: Sequence[str | Path], frames: str | None = None, step: int = 1, fps: float | None = None,
    mirrored: bool = False,
) -> Source:  # fmt: skip
    """Open pictures, a folder of pictures, a numbered sequence or one clip.

    Parameters
    ----------
    inputs : sequence of str or Path
        Picture files, folders, patterns (``shot_####.png``, ``shot_%04d.png``), or one video file.
    frames : str, optional
        Range of frame indices, for example ``"1-100,120"``; None for all.
    step : int
        Take every n-th frame of the range.
    fps : float, optional
        Frames per second, in place of the source's frame rate.
    mirrored : bool
        Whether the pictures are mirror images, see :class:`Source`.

    Returns
    -------
    Source
        The opened source.

    Raises
    ------
    InputError
        An input is missing or cannot be used, pictures and clips are mixed, or no frame is chosen.
    """
    if not inputs:
        raise InputError("No pictures or video given.", "Give files, a folder or a clip.")
    if step < 1:
        raise InputError(f"The step is {step}, it must be 1 or more.", "A step of 2 takes every second frame.")
    if fps is not None and not 0.1 <= fps <= 1000:
        raise InputError(f"{fps} frames a second is not possible.", "Give 0.1 to 1000.")
    paths = [person_path(path).absolute() for path in inputs]
    chosen = FrameRange.parse(frames)
    clips = [path for path in paths if _is_clip(path)]
    if clips and len(paths) > 1:
        raise InputError(
            f"{clips[0].name} is a video and cannot be mixed with other files.", "Give one video, or only pictures."
        )
    if clips:
        return replace(_open_clip(clips[0], chosen, step, fps), mirrored=mirrored)
    files = [file for path in paths for file in _pictures(path)]
    rate = fps or DEFAULT_FPS
    numbers = sequence_numbers(files) or {file: number for number, file in enumerate(files, 1)}
    indices = chosen.choose(sorted(numbers.values()), step, f"the {len(files)} pictures")
    by_index = {number: file for file, number in numbers.items()}
    start = min(numbers.values())
    entries = [Entry(i, (i - start) / rate, by_index[i].name, by_index[i]) for i in indices]
    return Source("images", rate, paths, entries, step, mirrored=mirrored)


def _open_clip(path: Path, chosen: FrameRange, step: int, fps: float | None) -> Source:
    clip = probe_clip(path)
    rate = fps or clip.fps or DEFAULT_FPS
    indices = chosen.choose(range(1, clip.count + 1), step, path.name)
    entries = [Entry(index, (index - 1) / rate, f"{path.name} frame {index}", path) for index in indices]
    return Source("video", rate, [path], entries, step, clip)


def _is_clip(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        if not path.exists():
            raise _no_such_file(path)
        return path.is_file()
    if suffix in PICTURE_SUFFIXES or not path.is_file():
        return False
    try:  # unknown suffix: the header decides whether it is a picture or a clip
        probe_picture(path)
    except FrameError:
        try:
            probe_clip(path)
        except InputError:
            return False
        return True
    return False


def _pictures(path: Path) -> list[Path]:
    """Return the picture files that one input stands for, in natural order."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()]
        files = [file for file in files if not file.name.startswith(".")]
        if not files:
            raise InputError(
                f"The folder {path} has no pictures.",
                f"Known are {', '.join(sorted(PICTURE_SUFFIXES))}; give a video as a file.",
            )
        return sorted(files, key=_natural)
    if path.exists():
        return [path]
    if _PATTERN.search(path.name) and path.parent.is_dir():
        parts = _PATTERN.split(path.name, maxsplit=1)
        pattern = re.compile(re.escape(parts[0]) + r"\d+" + re.escape(parts[1]) + "$")
        files = [file for file in path.parent.iterdir() if pattern.match(file.name)]
        if files:
            return sorted(files, key=_natural)
    raise _no_such_file(path)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    key: list[tuple[int, int | str]] = [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
    return [*key, (2, path.name)]


def _no_such_file(path: Path) -> InputError:
    return InputError(f"There is no file or folder {path}.", "Check the path.")
