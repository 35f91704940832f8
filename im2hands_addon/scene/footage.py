"""The photo, sequence or clip behind the hands: background images of the take's camera."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import bpy

from ..photo_orientation import Turn, read_turn
from ..take_reader import Intrinsics, Take
from . import animation
from .camera import pixel_aspect

_NUMBERED = re.compile(r"^(.*?)(\d+)(\D*)$")


def numbered_sequence(files: Mapping[int, str]) -> bool:
    """Whether the pictures, by frame, are one numbered sequence whose numbers are the frames.

    Blender finds the file of a frame by writing the frame into the last number of the first file's name.
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


def write_footage(data: bpy.types.Camera, take: Take) -> list[str]:
    """Show the take's pictures behind the hands, in place of what was behind them before.

    The camera's animation must have been written before (:func:`.camera.set_lenses`): curves are added to it.

    Returns:
        For a person: what could not be shown.
    """
    _clear(data)
    pictures = {record.index: record.image for record in take.records.values() if record.image}
    cameras = {record.index: record.camera for record in take.records.values()}
    same_size = len({(camera.width, camera.height) for camera in cameras.values()}) <= 1
    if take.kind == "video":
        problems = _show_clip(data, take)
    elif same_size and numbered_sequence(pictures) and read_turn(pictures[min(pictures)]) == Turn():
        problems = _show_sequence(data, take, pictures)
    else:
        problems = _show_photos(data, take, pictures, cameras)
    if take.settings.get("mirrored"):
        for background in data.background_images:
            # The pictures are mirror images, the hands are those of the picture turned back. Blender mirrors first.
            background.use_flip_x = not background.use_flip_x
            background.rotation = -background.rotation
    data.show_background_images = len(data.background_images) > 0
    return problems


def _clear(data: bpy.types.Camera) -> None:
    images = {background.image for background in data.background_images if background.image is not None}
    data.background_images.clear()
    for image in images:
        if image.users == 0:
            bpy.data.images.remove(image)


def _load(path: str) -> bpy.types.Image | None:
    if not Path(path).is_file():
        return None
    try:
        return bpy.data.images.load(path, check_existing=True)
    except RuntimeError:
        return None


def _show_clip(data: bpy.types.Camera, take: Take) -> list[str]:
    """A clip's frames count from 1, as the take's do."""
    if not take.files:
        return ["The take does not name its clip."]
    image = _load(take.files[0])
    if image is None:
        return [f"The clip {take.files[0]} is not there or cannot be read."]
    last = max(take.records, default=1)
    background = _add(data, image, take.camera, take.camera)
    _set_range(background.image_user, first=1, last=max(last, image.frame_duration))
    if tuple(image.size) == (take.camera.height, take.camera.width) and image.size[0] != image.size[1]:
        _turn(background, Turn(False, 1), take.camera, take.camera)
        return ["The clip is stored on its side: it was turned clockwise; turn its background image if that is wrong."]
    return []


def _show_sequence(data: bpy.types.Camera, take: Take, pictures: Mapping[int, str]) -> list[str]:
    first, last = min(pictures), max(pictures)
    path = pictures[first]
    existing = next(
        (one for one in bpy.data.images if one.source == "SEQUENCE" and bpy.path.abspath(one.filepath) == path), None
    )
    image = existing
    if image is None and Path(path).is_file():
        image = bpy.data.images.load(path)
        image.source = "SEQUENCE"
    if image is None:
        return [f"The picture {path} is not there."]
    background = _add(data, image, take.camera, take.camera)
    _set_range(background.image_user, first=first, last=last)
    return []


def _show_photos(
    data: bpy.types.Camera, take: Take, pictures: Mapping[int, str], cameras: Mapping[int, Intrinsics]
) -> list[str]:
    """One background image per photo, each keyed to show on its own frame."""
    lost = []
    for frame, path in pictures.items():
        image = _load(path)
        if image is None:
            lost.append(path)
            continue
        background = _add(data, image, cameras[frame], take.camera)
        turn = read_turn(path)
        if turn != Turn():
            _turn(background, turn, cameras[frame], take.camera)
        if len(pictures) > 1:
            number = len(data.background_images) - 1
            frames, hidden = animation.held_visibility([frame], take.step)
            shown = [not value for value in hidden]
            animation.write_curve(data, f"background_images[{number}].show_background_image", frames, shown)
    if not lost:
        return []
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return [f"The picture {lost[0]}{more} is not there or cannot be read."]


def _add(
    data: bpy.types.Camera, image: bpy.types.Image, picture: Intrinsics, view: Intrinsics
) -> bpy.types.CameraBackgroundImage:
    background = data.background_images.new()
    background.source = "IMAGE"
    background.image = image
    background.frame_method = "STRETCH" if (picture.width, picture.height) == (view.width, view.height) else "FIT"
    background.display_depth = "BACK"
    background.alpha = 1.0
    background.show_expanded = False
    image.display_aspect = pixel_aspect(view)
    return background


def _set_range(user: bpy.types.ImageUser, first: int, last: int) -> None:
    """Let scene frame ``first`` show picture number ``first``, and so on."""
    user.frame_start = first
    user.frame_duration = last - first + 1
    user.frame_offset = first - 1
    user.use_auto_refresh = True


def _turn(background: bpy.types.CameraBackgroundImage, turn: Turn, picture: Intrinsics, view: Intrinsics) -> None:
    """Turn a stored picture upright; ``picture`` has the upright size. Blender fits it before it turns it."""
    background.frame_method = "FIT"
    background.use_flip_x = turn.mirror
    background.rotation = turn.quarters * math.pi / 2
    if turn.quarters % 2:
        fitted_lying = min(view.width / picture.height, view.height / picture.width)
        fitted_upright = min(view.width / picture.width, view.height / picture.height)
        background.scale = fitted_upright / fitted_lying
