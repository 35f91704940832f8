"""Which camera a picture gets: from a file, a focal length, a field of view, EXIF, or an assumption."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError

from .images import PictureInfo

# Longer side; phones see 65-70 degrees in photos and 55-65 in video, webcams 60-78, film lenses 40-55.
ASSUMED_FOV_DEGREES = 60.0

ASPECT_TOLERANCE = 0.01  # relative; scaling rounds sizes to whole pixels


@dataclass(frozen=True)
class CameraChoice:
    """How cameras are chosen; at most one of the three is given.

    Args:
        file: intrinsics read from a camera file. focal_px: focal length in pixels. fov: degrees over the longer side.
        file_name: for messages. file_has_size: whether the file says which picture size it is for.
        mirrored: the pictures are mirror images; the camera is that of the picture turned back.

    Raises:
        InputError: more than one is given.
    """

    file: Camera | None = None
    focal_px: float | None = None
    fov: float | None = None
    file_name: str = ""
    file_has_size: bool = True
    mirrored: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("file", "focal_px", "fov") if getattr(self, name) is not None]
        if len(given) > 1:
            words = {"file": "a camera file", "focal_px": "a focal length", "fov": "a field of view"}
            raise InputError(
                f"The camera is given twice: {' and '.join(words[name] for name in given)}.",
                "Give one of --camera, --focal-px and --fov.",
            )

    @classmethod
    def from_options(
        cls, camera: str | Path | None, focal_px: float | None, fov: float | None, mirrored: bool = False
    ) -> CameraChoice:
        """Read the camera file if there is one and check the rest.

        Raises:
            InputError: more than one is given, the file cannot be read, or a value is impossible.
        """
        if camera is None:
            choice = cls(None, focal_px, fov)
            choice.for_picture(PictureInfo(1000, 1000))  # an impossible value is refused before any picture is opened
            return choice
        data = _read_json(Path(camera))
        has_size = "width" in data and "height" in data
        return cls(_camera_from(data, Path(camera).name), focal_px, fov, Path(camera).name, has_size, mirrored)

    def for_picture(self, info: PictureInfo) -> Camera:
        """The camera of a picture of that size.

        Returns:
            Its ``origin`` says where it came from; "assumed" for :data:`ASSUMED_FOV_DEGREES`.

        Raises:
            InputError: the camera file is for a picture of another shape.
        """
        width, height = info.width, info.height
        if self.file is not None:
            camera = self._fit_file(self.file, width, height)
            return replace(camera, cx=width - 1 - camera.cx) if self.mirrored else camera
        if self.focal_px is not None:
            return Camera.from_focal(float(self.focal_px), width, height, "user")
        if self.fov is not None:
            return Camera.from_fov(float(self.fov), width, height, "user")
        if info.focal_px is not None:
            return Camera.from_focal(info.focal_px, width, height, "exif")
        return Camera.from_fov(ASSUMED_FOV_DEGREES, width, height, "assumed")

    def _fit_file(self, camera: Camera, width: int, height: int) -> Camera:
        if not self.file_has_size:
            return Camera(
                camera.fx, camera.fy, camera.cx, camera.cy, width, height, "file", camera.rotation, camera.translation
            )
        if (width, height) == (camera.width, camera.height):
            return camera
        if abs(width * camera.height / (height * camera.width) - 1) > ASPECT_TOLERANCE:
            raise InputError(
                f"The camera file {self.file_name} is for pictures of {camera.width} x {camera.height} pixels, "
                f"this one has {width} x {height}.",
                "Give the camera of this picture; only scaling is done for you, not cropping or turning.",
            )
        return camera.resized(width, height)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"Cannot read the camera file {path}: {error.strerror or error}.", "Check the path."
        ) from error
    except ValueError as error:
        raise InputError(f"The camera file {path} is not JSON: {error}.", _EXAMPLE) from error
    if not isinstance(data, dict):
        raise InputError(f"The camera file {path} is not a JSON object.", _EXAMPLE)
    return data


_EXAMPLE = 'It must look like {"fx": 1200, "fy": 1200, "cx": 959.5, "cy": 539.5, "width": 1920, "height": 1080}.'


def _camera_from(data: dict[str, Any], name: str) -> Camera:
    numbers: dict[str, float] = {}
    for key in ("fx", "fy", "cx", "cy"):
        value = data.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InputError(f"The camera file {name}: {key} is {value!r}, it must be a number.", _EXAMPLE)
        numbers[key] = float(value)
    try:
        width, height = int(data.get("width", 1)), int(data.get("height", 1))
        rotation = np.asarray(data.get("R", np.eye(3)), dtype=np.float64)
        translation = np.asarray(data.get("t", np.zeros(3)), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The camera file {name} has a value that is no number: {error}.", _EXAMPLE) from error
    try:
        return Camera(**numbers, width=width, height=height, origin="file", rotation=rotation, translation=translation)
    except InputError as error:
        raise InputError(f"The camera file {name}: {error.message}", error.hint) from error
