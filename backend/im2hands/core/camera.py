"""The pinhole camera: intrinsics, projection, back-projection, world-to-camera transform.

Units are metres and pixels. The camera frame is OpenCV's: x right, y down, z forward. The centre of the top left pixel
is at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from .errors import InputError

CameraOrigin = Literal["file", "exif", "user", "assumed"]
"""Where intrinsics come from: a camera file, EXIF tags, the user, or an assumed field of view."""

LARGEST_PIXELS, LARGEST_SIDE = 1e9, 65_536
"""Largest focal length and distance of the centre, and largest side of a picture, pixels. They are the limits of a
take (``take/arrays.toml``): a camera beyond them could be written, but not read."""


def is_rotation(matrix: np.ndarray) -> bool:
    """Whether a matrix (3, 3) of a file is a rotation, to the precision of files; a mirror is none."""
    return bool(np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3) and np.linalg.det(matrix) > 0)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion.

    Parameters
    ----------
    fx : float
        Focal length along x, pixels.
    fy : float
        Focal length along y, pixels.
    cx : float
        x of the principal point, pixels.
    cy : float
        y of the principal point, pixels.
    width : int
        Width of the picture that the intrinsics belong to, pixels.
    height : int
        Height of that picture, pixels.
    origin : CameraOrigin
        Where the intrinsics come from.
    rotation : (3, 3) float64
        World-to-camera rotation: ``X_cam = rotation @ X_world + translation``. The default is the identity.
    translation : (3,) float64
        World-to-camera translation, metres. The default is zero.

    Raises
    ------
    InputError
        A focal length or a size is not positive, a number is not finite or beyond its limit, or rotation and
        translation are not a rigid motion.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    origin: CameraOrigin = "user"
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3), compare=False)
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3), compare=False)

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "width", "height"):
            value, most = getattr(self, name), LARGEST_SIDE if name in ("width", "height") else LARGEST_PIXELS
            if not 0 < value <= most:  # false for NaN, too
                raise InputError(
                    f"Camera: {name} is {value}, it must be a positive number, at most {most:g}.",
                    "Give focal lengths and picture size in pixels, for example fx=1200, width=1920.",
                )
        for name in ("cx", "cy"):
            value = getattr(self, name)
            if not abs(value) <= LARGEST_PIXELS:  # false for NaN, too
                raise InputError(
                    f"Camera: {name} is {value}, it must be a number, at most {LARGEST_PIXELS:g}.", "Give pixels."
                )
        rotation = np.asarray(self.rotation, dtype=np.float64)
        translation = np.asarray(self.translation, dtype=np.float64).reshape(-1)
        if rotation.shape != (3, 3) or translation.shape != (3,) or not np.isfinite(translation).all():
            raise InputError("Camera: R must be 3x3 and t must be 3 finite numbers.", "t is in metres.")
        if not is_rotation(rotation):
            raise InputError("Camera: R is not a rotation.", "Give a world-to-camera rotation with determinant +1.")
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsic matrix K, pixels."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @classmethod
    def from_fov(cls, fov_degrees: float, width: int, height: int, origin: CameraOrigin = "user") -> Camera:
        """Make a centred camera from the field of view across the longer side of the picture.

        Parameters
        ----------
        fov_degrees : float
            Field of view, degrees.
        width : int
            Width of the picture, pixels.
        height : int
            Height of the picture, pixels.
        origin : CameraOrigin
            Where the field of view comes from.

        Returns
        -------
        Camera
            The camera, with square pixels.

        Raises
        ------
        InputError
            The field of view is not between 1 and 170 degrees.
        """
        if not 1.0 <= fov_degrees <= 170.0:
            raise InputError(f"A field of view of {fov_degrees} degrees is not possible.", "Give 1 to 170 degrees.")
        focal = 0.5 * max(width, height) / np.tan(np.radians(fov_degrees) / 2)
        return cls.from_focal(float(focal), width, height, origin)

    @classmethod
    def from_focal(cls, focal_px: float, width: int, height: int, origin: CameraOrigin = "user") -> Camera:
        """Make a centred camera with square pixels.

        Parameters
        ----------
        focal_px : float
            Focal length, pixels.
        width : int
            Width of the picture, pixels.
        height : int
            Height of the picture, pixels.
        origin : CameraOrigin
            Where the focal length comes from.

        Returns
        -------
        Camera
            The camera.

        Raises
        ------
        InputError
            The focal length or a size is not finite and positive.
        """
        return cls(focal_px, focal_px, (width - 1) / 2, (height - 1) / 2, width, height, origin)

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of the same picture scaled to another size.

        Parameters
        ----------
        width : int
            Width of the scaled picture, pixels.
        height : int
            Height of the scaled picture, pixels.

        Returns
        -------
        Camera
            Scaled intrinsics, the same extrinsics.
        """
        sx, sy = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        return replace(self, fx=self.fx * sx, fy=self.fy * sy, cx=cx, cy=cy, width=width, height=height)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points to pixels.

        Parameters
        ----------
        points : (..., 3) array
            Camera frame, metres, with z other than 0.

        Returns
        -------
        (..., 2) float64
            Pixels.
        """
        points = np.asarray(points, dtype=np.float64)
        depth = points[..., 2:3]
        return points[..., :2] / depth * (self.fx, self.fy) + (self.cx, self.cy)

    def unproject(self, pixels: np.ndarray, depth: np.ndarray | float) -> np.ndarray:
        """Compute the points that lie at given depths behind given pixels.

        Parameters
        ----------
        pixels : (..., 2) array
            Pixels.
        depth : (...) array or float
            z of the points in the camera frame, metres.

        Returns
        -------
        (..., 3) float64
            Camera frame, metres.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        depth = np.broadcast_to(np.asarray(depth, dtype=np.float64), pixels.shape[:-1])[..., None]
        xy = (pixels - (self.cx, self.cy)) / (self.fx, self.fy) * depth
        return np.concatenate([xy, depth], axis=-1)

    def world_to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform points from the world frame to the camera frame.

        Parameters
        ----------
        points : (..., 3) array
            World frame, metres.

        Returns
        -------
        (..., 3) float64
            Camera frame, metres.
        """
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def to_dict(self) -> dict[str, Any]:
        """Return the intrinsics as ``take.json`` holds them, as plain JSON types."""
        return {
            "fx": float(self.fx), "fy": float(self.fy), "cx": float(self.cx), "cy": float(self.cy),
            "width": int(self.width), "height": int(self.height), "origin": self.origin,
        }  # fmt: skip
