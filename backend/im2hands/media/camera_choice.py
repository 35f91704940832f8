"""Choice of a picture's camera: from a camera file, a focal length, a field of view, EXIF tags, or an assumption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.unpacking import parse_json

from .images import PictureInfo

# Across the longer side. Phones have 65-70 degrees in photos and 55-65 in video, webcams 60-78, film lenses 40-55.
ASSUMED_FOV_DEGREES = 60.0

_FILE_BYTES = 10**6  # largest camera file; one has about 200 bytes

ASPECT_TOLERANCE = 0.01  # relative difference of aspect ratios; scaling rounds sizes to whole pixels


@dataclass(frozen=True)
class CameraChoice:
    """The source of the cameras of a job. At most one of ``file``, ``focal_px`` and ``fov`` is given.

    Parameters
    ----------
    file : Camera, optional
        Camera read from a camera file.
    focal_px : float, optional
        Focal length, pixels.
    fov : float, optional
        Field of view across the longer side, degrees.
    file_name : str
        Name of the camera file, for messages.
    file_has_size : bool
        Whether the camera file gives the picture size that it belongs to.
    mirrored : bool
        Whether the pictures on disk are mirror images. The camera of the file then belongs to the picture on disk, and
        cameras are made for the picture flipped back.

    Raises
    ------
    InputError
        More than one of the three is given.
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
        """Make the choice from the options of a job; read the camera file if there is one.

        Parameters
        ----------
        camera : str or Path, optional
            Path of a camera file.
        focal_px : float, optional
            Focal length, pixels.
        fov : float, optional
            Field of view across the longer side, degrees.
        mirrored : bool
            Whether the pictures on disk are mirror images.

        Returns
        -------
        CameraChoice
            The choice.

        Raises
        ------
        InputError
            More than one of the three is given, the file cannot be read, or a value is impossible.
        """
        if camera is None:
            choice = cls(None, focal_px, fov)
            choice.for_picture(PictureInfo(1000, 1000))  # refuses impossible values before any picture is opened
            return choice
        data = _read_json(Path(camera))
        has_size = "width" in data and "height" in data
        return cls(_camera_from(data, Path(camera).name), focal_px, fov, Path(camera).name, has_size, mirrored)

    def for_picture(self, info: PictureInfo) -> Camera:
        """Return the camera of a picture.

        Parameters
        ----------
        info : PictureInfo
            Size and EXIF focal length of the picture.

        Returns
        -------
        Camera
            Its ``origin`` gives the source; it is "assumed" for a field of view of :data:`ASSUMED_FOV_DEGREES`.

        Raises
        ------
        InputError
            The camera file belongs to a picture with another aspect ratio.
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
                "Give the camera of this picture. A camera fits scaled pictures, not cropped or rotated ones.",
            )
        return camera.resized(width, height)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = parse_json(read_regular(path, _FILE_BYTES), nan=True)
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
    sizes: list[int] = []
    for key in ("width", "height"):
        value = data.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
            raise InputError(f"The camera file {name}: {key} is {value!r}, it must be a whole number.", _EXAMPLE)
        sizes.append(int(value))
    width, height = sizes
    try:
        rotation = np.asarray(data.get("R", np.eye(3)), dtype=np.float64)
        translation = np.asarray(data.get("t", np.zeros(3)), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The camera file {name} has a value that is no number: {error}.", _EXAMPLE) from error
    try:
        return Camera(**numbers, width=width, height=height, origin="file", rotation=rotation, translation=translation)
    except InputError as error:
        raise InputError(f"The camera file {name}: {error.message}", error.hint) from error
