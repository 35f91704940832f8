"""Pictures and clips, opened and read as frames with index and time stamp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from im2hands.core.errors import FrameError, InputError

from .frame_range import FrameRange
from .images import PictureInfo, probe_picture, read_with_info
from .inputs import Note, find_inputs
from .sequence import sequence_numbers
from .video import ClipInfo, probe_clip, read_clip

DEFAULT_FPS = 25.0  # for pictures, which have no frame rate

KEPT_BYTES = 256 * 2**20
"""Largest total size of the decoded pictures that a source keeps for the second reading, bytes."""

SourceKind = Literal["images", "video"]


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
    differs : str
        Why Blender would not show this picture of the file, if that was noticed only while it was decoded.
    """

    index: int
    time: float
    image: np.ndarray
    name: str
    path: Path | None = None
    differs: str = ""


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
    numbered : bool
        Whether the pictures are a numbered sequence, of which ``entries`` are the chosen frames.
    notes : list of Note
        What a person should know, for example which files of a folder are left out.
    """

    kind: SourceKind
    fps: float
    inputs: list[Path]
    entries: list[Entry]
    step: int = 1
    clip: ClipInfo | None = None
    mirrored: bool = False
    numbered: bool = False
    notes: list[Note] = field(default_factory=list)
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
        return self.kind == "video" or (self.numbered and len(self.entries) > 1)

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
            Its frame, or the reason why it cannot be read. If a clip was cut off, the first missing frame yields a
            FrameError, and the iteration ends.

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
                differs = self._infos[entry.index].differs
                yield entry, Frame(entry.index, entry.time, image, entry.name, entry.path, differs)

    def _read_clip(self, entries: Sequence[Entry], clip: ClipInfo) -> Iterator[tuple[Entry, Frame | FrameError]]:
        there = [entry for entry in entries if entry.index <= len(clip.times)]
        noticed: list[str] = []
        numbers = [entry.index for entry in there]
        results = read_clip(there[0].path, clip, numbers, noticed.append) if there else iter(())
        for entry, (_, image) in zip(there, results, strict=True):
            if isinstance(image, FrameError):
                yield entry, image
            else:
                differs = noticed[0] if noticed else ""
                yield entry, Frame(entry.index, entry.time, image, entry.name, entry.path, differs)
            noticed.clear()
        for missing in entries[len(there) : len(there) + 1]:
            yield (
                missing,
                FrameError(
                    f"{missing.path.name} ends early: it says it has {clip.count} frames, "
                    f"and frame {missing.index} cannot be read ({len(clip.times)} was the last).",
                    "The clip was cut off; export it again for the frames after that.",
                ),
            )


def open_source(
    inputs: Sequence[str | Path], frames: str | None = None, step: int = 1, fps: float | None = None,
    mirrored: bool = False, sequence: str = "auto",
) -> Source:  # fmt: skip
    """Open pictures, a folder of pictures, a numbered sequence or one clip.

    Parameters
    ----------
    inputs : sequence of str or Path
        Picture files, folders, patterns (``*.jpg``, ``shot_####.png``, ``shot_%04d.png``), or one video file.
    frames : str, optional
        Range of frame indices, for example ``"1-100,120"``; None for all.
    step : int
        Take every n-th frame of the range.
    fps : float, optional
        Frames per second, in place of the source's frame rate.
    mirrored : bool
        Whether the pictures are mirror images, see :class:`Source`.
    sequence : str
        Whether the pictures are a numbered sequence: "auto", "yes" or "no", see :func:`.sequence.sequence_numbers`.

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
    chosen = FrameRange.parse(frames)
    found = find_inputs(inputs)
    if found.is_clip:
        clip = _open_clip(found.files[0], chosen, step, fps)
        return replace(clip, inputs=found.paths, mirrored=mirrored, notes=found.notes)
    rate = fps or DEFAULT_FPS
    known = sequence_numbers(found.files, sequence, named_so=found.numbered)
    numbers = known or {file: number for number, file in enumerate(found.files, 1)}
    indices = chosen.choose(sorted(numbers.values()), step, f"the {len(numbers)} pictures")
    by_index = {number: file for file, number in numbers.items()}
    start = min(numbers.values())
    entries = [Entry(i, (i - start) / rate, by_index[i].name, by_index[i]) for i in indices]
    return Source(
        "images", rate, found.paths, entries, step,
        mirrored=mirrored, numbered=known is not None, notes=found.notes,
    )  # fmt: skip


def _open_clip(path: Path, chosen: FrameRange, step: int, fps: float | None) -> Source:
    clip = probe_clip(path)
    rate = fps or clip.fps or DEFAULT_FPS
    indices = chosen.choose(range(1, clip.count + 1), step, path.name)
    # A given rate takes the place of the clip's times.
    times = {index: (index - 1) / fps if fps else clip.time(index) for index in indices}
    entries = [Entry(index, times[index], f"{path.name} frame {index}", path) for index in indices]
    return Source("video", rate, [path], entries, step, clip)
