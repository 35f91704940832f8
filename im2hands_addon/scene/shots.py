"""Loads the footage of a take: photos, a numbered sequence or a clip, and the frames on which each is visible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..take.photo_orientation import Turn, read_turn
from ..take.reader import Intrinsics, Take
from .camera import pixel_aspect

_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")


@dataclass(frozen=True)
class Shot:
    """A loaded photo, sequence or clip.

    Parameters
    ----------
    image : bpy.types.Image
        The picture as stored.
    turn : Turn
        The operation that makes the picture match the hands: upright, and mirrored back if it is a mirror image.
    cameras : mapping of int to Intrinsics
        Scene frame -> camera of the upright picture; at least one.
    span : tuple of int or None
        First and last scene frame of a sequence or clip, whose pictures have the numbers of the scene frames. None for
        a photo.
    only_on : int or None
        The scene frame of one of several photos; None for footage that is always visible.
    """

    image: bpy.types.Image
    turn: Turn
    cameras: Mapping[int, Intrinsics]
    span: tuple[int, int] | None = None
    only_on: int | None = None

    @property
    def picture(self) -> Intrinsics:
        """Camera of the upright picture; of the first one if there are several."""
        return self.cameras[min(self.cameras)]

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
    pictures = {record.index: record.image for record in take.records.values() if record.image}
    cameras = {record.index: record.camera for record in take.records.values()}
    same_size = len({(camera.width, camera.height) for camera in cameras.values()}) <= 1
    if take.kind == "video":
        shots, problems = _clip(take, cameras)
    elif same_size and numbered_sequence(pictures) and read_turn(pictures[min(pictures)]) == Turn():
        shots, problems = _sequence(take, pictures, cameras)
    else:
        shots, problems = _photos(take, pictures, cameras)
    for shot in shots:
        shot.image.display_aspect = pixel_aspect(take.camera)
    return shots, problems


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
    first = Path(files[min(files)])
    match = _NUMBERED.match(first.stem)
    if match is None:
        return False
    head, digits, tail = match.groups()
    return all(
        Path(file) == first.with_name(f"{head}{frame:0{len(digits)}d}{tail}{first.suffix}")
        for frame, file in files.items()
    )


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


def _load(path: str) -> bpy.types.Image | None:
    """The image of a file; None when the file is missing or Blender cannot show it."""
    known = bpy.path.extensions_image | bpy.path.extensions_movie
    if not Path(path).is_file() or Path(path).suffix.lower() not in known:
        return None
    try:
        image = bpy.data.images.load(path, check_existing=True)
    except RuntimeError:
        return None
    if image.source == "MOVIE" and not all(image.size):  # Blender opens a clip only when its size is asked for
        if image.users == 0:
            bpy.data.images.remove(image)
        return None
    return image


def _clip(take: Take, cameras: Mapping[int, Intrinsics]) -> tuple[list[Shot], list[str]]:
    """The shot of a clip. Its frames count from 1, as those of the take do."""
    if not take.files:
        return [], ["The take does not name its clip."]
    image = _load(take.files[0])
    if image is None:
        return [], [f"The clip {take.files[0]} is missing or cannot be read."]
    lies = tuple(image.size) == (take.camera.height, take.camera.width) and image.size[0] != image.size[1]
    turn = turned_back(Turn(False, 1) if lies else Turn(), take)
    span = 1, max(max(cameras, default=1), image.frame_duration)
    told = "The clip is stored on its side and was rotated clockwise. If that is wrong, rotate its background image."
    return [Shot(image, turn, cameras or {1: take.camera}, span)], [told] if lies else []


def _sequence(
    take: Take, pictures: Mapping[int, str], cameras: Mapping[int, Intrinsics]
) -> tuple[list[Shot], list[str]]:
    """The shot of a numbered sequence."""
    first, last = min(pictures), max(pictures)
    path = pictures[first]
    image = next(
        (one for one in bpy.data.images if one.source == "SEQUENCE" and bpy.path.abspath(one.filepath) == path), None
    )
    if image is None and Path(path).is_file():
        image = bpy.data.images.load(path)
        image.source = "SEQUENCE"
    if image is None:
        return [], [f"The picture {path} is missing."]
    return [Shot(image, turned_back(Turn(), take), cameras, (first, last))], []


def _photos(take: Take, pictures: Mapping[int, str], cameras: Mapping[int, Intrinsics]) -> tuple[list[Shot], list[str]]:
    """One shot per photo; of several photos each is visible on its own frame."""
    shots, lost = [], []
    for frame, path in pictures.items():
        image = _load(path)
        if image is None:
            lost.append(path)
            continue
        only_on = frame if len(pictures) > 1 else None
        shots.append(Shot(image, turned_back(read_turn(path), take), {frame: cameras[frame]}, only_on=only_on))
    if not lost:
        return shots, []
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return shots, [f"The picture {lost[0]}{more} is missing or cannot be read."]
