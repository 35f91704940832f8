"""Decides which picture of a take is shown on which frame, and loads it: for the camera's background, for footage in
space and for the overlay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import bpy
import numpy as np

from ..errors import InputError
from ..take.photo_orientation import Turn, read_turn
from ..take.reader import Intrinsics, Take
from .camera import pixel_aspect
from .picture import load_clip_frame, load_picture

_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")
_CLIP_TURNED = (
    "The clip is stored on its side and was rotated clockwise. If that is wrong, rotate its background image."
)


@dataclass(frozen=True)
class Part:
    """A photo, a run of a numbered sequence or a clip, not loaded.

    Parameters
    ----------
    kind : str
        "FILE", "SEQUENCE" or "MOVIE", as Blender calls the source of an image.
    path : str
        The photo, a file of the sequence, or the clip.
    turn : Turn
        The operation that makes the stored picture match the hands: upright, and mirrored back if it is a mirror image.
    cameras : mapping of int to Intrinsics
        Scene frame -> camera of the upright picture; at least one.
    span : tuple of int or None
        First and last scene frame of a sequence or clip, whose pictures have the numbers of the scene frames. None for
        a photo.
    only_on : tuple of int or None
        First and last scene frame on which this one of several parts is visible; None for one that is always visible.
    """

    kind: Literal["FILE", "SEQUENCE", "MOVIE"]
    path: str
    turn: Turn
    cameras: Mapping[int, Intrinsics]
    span: tuple[int, int] | None = None
    only_on: tuple[int, int] | None = None

    @property
    def picture(self) -> Intrinsics:
        """Camera of the upright picture; of the first one if there are several."""
        return self.cameras[min(self.cameras)]

    def is_shown(self, frame: int) -> bool:
        """Whether this part is visible on a scene frame."""
        limits = self.only_on or self.span
        return limits is None or limits[0] <= frame <= limits[1]

    def file_of(self, frame: int) -> str:
        """Return the file that is shown on a scene frame."""
        return _numbered_file(self.path, frame) if self.kind == "SEQUENCE" else self.path

    def set_span(self, user: bpy.types.ImageUser) -> None:
        """Make each scene frame of the span show the picture of the same number.

        Parameters
        ----------
        user : bpy.types.ImageUser
            The user of the image; unchanged without a span.
        """
        if self.span is not None:
            first, last = self.span
            user.frame_start = first
            user.frame_duration = last - first + 1
            user.frame_offset = first - 1
            user.use_auto_refresh = True


class Shot(NamedTuple):
    """A part of the footage and its picture as stored."""

    image: bpy.types.Image
    part: Part


def load_shots(take: Take) -> tuple[list[Shot], list[str]]:
    """Load the footage of a take.

    Parameters
    ----------
    take : Take
        The take.

    Returns
    -------
    tuple of list of Shot and list of str
        The shots, and messages about what cannot be loaded.
    """
    parts = plan_footage(take)
    if take.kind == "video" and not parts:
        return [], ["The take does not name its clip."]
    shots: list[Shot] = []
    lost: list[str] = []
    told: list[str] = []
    for part in parts:
        image = _load(part)
        if image is None:
            what = "clip" if part.kind == "MOVIE" else "picture"
            lost.append(f"The {what} {part.path}")
            continue
        if part.kind == "MOVIE":
            first, last = part.span or (1, 1)
            turn = _turn_of_clip(image, take)
            part = replace(part, turn=turn, span=(first, max(last, image.frame_duration)))
            if turn.quarters:
                told.append(_CLIP_TURNED)
        image.display_aspect = pixel_aspect(take.camera)
        shots.append(Shot(image, part))
    lost = list(dict.fromkeys(lost))
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        told.append(f"{lost[0]}{more} is missing or cannot be read.")
    return shots, told


def read_shown(take: Take, frame: int) -> np.ndarray | None:
    """Read the picture that is shown on a scene frame, as it matches the hands.

    Parameters
    ----------
    take : Take
        The take.
    frame : int
        The scene frame.

    Returns
    -------
    (H, W, 4) float32 or None
        sRGB values and straight alpha, 0 to 1; the first row is the top. None if no picture is shown.

    Raises
    ------
    InputError
        The picture cannot be read.
    """
    part = next((part for part in plan_footage(take) if part.kind == "MOVIE" or part.is_shown(frame)), None)
    if part is None:
        return None
    if part.kind != "MOVIE":
        return load_picture(part.file_of(frame), part.turn)
    size, turn = _clip_as_loaded(part, take)
    return load_clip_frame(part.path, frame, size, turn)


def plan_footage(take: Take) -> list[Part]:
    """Decide which files are shown on which frames. Nothing is loaded.

    Parameters
    ----------
    take : Take
        The take.

    Returns
    -------
    list of Part
        The parts, in the order of their frames. At most one is visible on each frame.
    """
    copies = take.find_copies()
    if copies:
        return _plan_copies(take, copies)
    pictures = {record.index: record.image for record in take.records.values() if record.image}
    cameras = {record.index: record.camera for record in take.records.values()}
    if take.kind == "video":
        span = 1, max(cameras, default=1)
        clip = take.files[0] if take.files else ""
        return [Part("MOVIE", clip, turned_back(Turn(), take), cameras or {1: take.camera}, span)] if clip else []
    same_size = len({(camera.width, camera.height) for camera in cameras.values()}) <= 1
    if same_size and numbered_sequence(pictures) and read_turn(pictures[min(pictures)]) == Turn():
        return _plan_sequence(take, pictures, cameras)
    several = len(pictures) > 1
    return [
        Part(
            "FILE", path, turned_back(read_turn(path), take), {frame: cameras[frame]},
            only_on=(frame, frame + take.step - 1) if several else None,
        )
        for frame, path in pictures.items()
    ]  # fmt: skip


def numbered_sequence(files: Mapping[int, str]) -> bool:
    """Whether pictures are one numbered sequence whose numbers are the frames.

    Blender finds the file of a frame by replacing the last number in the name of the first file.

    Parameters
    ----------
    files : mapping of int to str
        Frame -> path of its picture.

    Returns
    -------
    bool
        False also for a single picture.
    """
    if len(files) < 2:
        return False
    first = files[min(files)]
    if _NUMBERED.match(Path(first).stem) is None:
        return False
    return all(Path(file) == Path(_numbered_file(first, frame)) for frame, file in files.items())


def is_moving(take: Take) -> bool:
    """Whether the frames of a take follow each other in time; unrelated photos do not."""
    pictures = {record.index: record.image for record in take.records.values() if record.image}
    return len(take.records) > 1 and (take.kind == "video" or not pictures or numbered_sequence(pictures))


def turned_back(turn: Turn, take: Take) -> Turn:
    """Return the operation that makes a stored picture of the take match the hands.

    The hands are those of the upright picture, mirrored back if the pictures are mirror images. A Turn mirrors before
    it rotates, so mirroring after the rotation reverses the rotation.

    Parameters
    ----------
    turn : Turn
        The operation that makes the stored picture upright.
    take : Take
        The take; its settings say whether its pictures are mirror images.

    Returns
    -------
    Turn
        ``turn``, followed by the mirroring if there is one.
    """
    return Turn(not turn.mirror, -turn.quarters % 4) if take.settings.get("mirrored") else turn


def _numbered_file(first: str, frame: int) -> str:
    """The file of a frame of a sequence, by the name of one of its files."""
    path = Path(first)
    head, digits, tail = _NUMBERED.match(path.stem).groups()
    return str(path.with_name(f"{head}{frame:0{len(digits)}d}{tail}{path.suffix}"))


def _plan_copies(take: Take, copies: Mapping[int, str]) -> list[Part]:
    """Runs of copies without holes whose pictures have one size. They match the hands as they are."""
    if len(copies) == 1:
        ((frame, path),) = copies.items()
        return [Part("FILE", path, Turn(), {frame: _camera_on(take, frame)})]
    cameras: dict[int, Intrinsics] = {}
    camera = _camera_on(take, min(copies))
    for frame in copies:
        record = take.records.get(frame)
        camera = cameras[frame] = record.camera if record is not None else camera
    runs = list(_runs(list(copies), {frame: (one.width, one.height) for frame, one in cameras.items()}))
    return [_run(copies[first], Turn(), cameras, (first, last), len(runs) > 1) for first, last in runs]


def _plan_sequence(take: Take, pictures: Mapping[int, str], cameras: Mapping[int, Intrinsics]) -> list[Part]:
    """Runs of a numbered sequence whose files are there. The last picture may be held over the steps of the take."""
    first, last = min(pictures), max(pictures)
    path = pictures[first]
    there = [
        frame
        for frame in range(first, last + take.step)
        if frame in pictures or Path(_numbered_file(path, frame)).is_file()
    ]
    runs = list(_runs(there, {}))
    turn = turned_back(Turn(), take)
    return [_run(_numbered_file(path, start), turn, cameras, (start, end), len(runs) > 1) for start, end in runs]


def _run(
    path: str, turn: Turn, cameras: Mapping[int, Intrinsics], span: tuple[int, int], is_one_of_several: bool
) -> Part:
    """A run of a sequence, with the cameras of its frames."""
    own = {frame: camera for frame, camera in cameras.items() if span[0] <= frame <= span[1]}
    if not own:  # pictures that the take does not use
        own = {span[0]: cameras[max((frame for frame in cameras if frame < span[0]), default=min(cameras))]}
    return Part("SEQUENCE", path, turn, own, span, span if is_one_of_several else None)


def _runs(frames: list[int], sizes: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last frame of each run of consecutive frames whose pictures have one size."""
    start = frames[0]
    for frame, following in zip(frames, [*frames[1:], None], strict=True):
        if following != frame + 1 or sizes.get(frame) != sizes.get(following):
            yield start, frame
            start = following if following is not None else frame


def _camera_on(take: Take, frame: int) -> Intrinsics:
    """The camera of the picture that is shown on a frame: its own, or that of the record before it."""
    before = [record for record in take.records.values() if record.index <= frame]
    return before[-1].camera if before else take.camera


def _turn_of_clip(image: bpy.types.Image, take: Take) -> Turn:
    """How a clip must be turned. Older versions of Blender show it as it is stored, which may be on its side."""
    lies = tuple(image.size) == (take.camera.height, take.camera.width) and image.size[0] != image.size[1]
    return turned_back(Turn(False, 1) if lies else Turn(), take)


def _clip_as_loaded(part: Part, take: Take) -> tuple[tuple[int, int], Turn]:
    """Width and height in which Blender shows a clip, pixels, and how it must be turned."""
    try:
        image = bpy.data.images.load(part.path, check_existing=False)
    except RuntimeError as error:
        raise InputError(f"Cannot read the clip {part.path}.") from error
    try:
        return (image.size[0], image.size[1]), _turn_of_clip(image, take)
    finally:
        bpy.data.images.remove(image)


def _load(part: Part) -> bpy.types.Image | None:
    """The image of a part; None when the file is missing or Blender cannot show it."""
    known = bpy.path.extensions_image | bpy.path.extensions_movie
    if not Path(part.path).is_file() or Path(part.path).suffix.lower() not in known:
        return None
    try:
        # Blender itself would not find clips and sequences that are already shown.
        for image in bpy.data.images:
            if part.kind == image.source != "FILE" and bpy.path.abspath(image.filepath) == part.path:
                return image
        if part.kind != "SEQUENCE":
            image = bpy.data.images.load(part.path, check_existing=True)
            if part.kind == "FILE" or image.size[0]:
                return image
            if image.users == 0:
                bpy.data.images.remove(image)
            return None
        image = bpy.data.images.load(part.path)
    except RuntimeError:
        return None
    image.source = "SEQUENCE"
    return image
