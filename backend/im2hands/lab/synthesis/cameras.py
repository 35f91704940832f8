"""Random cameras for synthetic hands: lens, distance, direction and roll, and the crop around the hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from im2hands.core.camera import Camera
from im2hands.surfaces.hand_crop import CROP_SIZE, FLESH_M, crop_affine

Kind = Literal["crop", "whole"]

FIELD_OF_VIEW = (25.0, 95.0)
"""Range in degrees over the picture's longer side, from a telephoto lens to a phone's wide lens."""

PICTURES = (
    (640, 480), (640, 480), (640, 360), (640, 360), (480, 640), (360, 640), (512, 512), (320, 240), (320, 180),
    (480, 360), (240, 320), (480, 480),
)  # fmt: skip
"""Sizes (width, height) of whole pictures, pixels. ``aim`` scales them to another longest side."""
LONGEST = 640
"""Longest side in ``PICTURES``, pixels."""

_NEAREST = 0.16
_NEAREST_KEYPOINT = 0.07
"""Least depths in metres of the middle of the hands and of every keypoint."""


@dataclass(frozen=True)
class Jitter:
    """How a crop box differs from the box of the crop convention.

    Parameters
    ----------
    scale : float
        Factor on the box's side.
    shift : (float, float)
        Displacement in x and y, as a share of the box's side.
    """

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Jitter:
        """Draw a difference like that of a keypoint detector: a quarter are exact, the others a few per cent off."""
        if rng.uniform() < 0.25:
            return cls()
        x, y = np.clip(0.025 * rng.standard_normal(2), -0.06, 0.06)
        return cls(float(np.exp(np.clip(0.05 * rng.standard_normal(), -0.1, 0.12))), (float(x), float(y)))


@dataclass(frozen=True)
class View:
    """A camera and its pose: ``X_camera = rotation @ X_body + translation``.

    Parameters
    ----------
    camera : Camera
        Intrinsics and picture size.
    rotation : (3, 3) float64
        Body frame to camera frame (OpenCV axes: x right, y down, z forward).
    translation : (3,) float64
        Metres.
    """

    camera: Camera
    rotation: np.ndarray
    translation: np.ndarray


def aim(
    keypoints: np.ndarray, rng: np.random.Generator, kind: Kind = "crop", look: np.ndarray | None = None,
    longest: int = LONGEST,
) -> View:  # fmt: skip
    """Draw a camera that shows the hands.

    A fifth of the views are first-person views, and a fifth are seen from a person or screen opposite. The others come
    from any direction with any roll. The lens is drawn first, then the size and the position of the hands in the
    picture.

    Parameters
    ----------
    keypoints : (N, 3) float64
        Keypoints of all hands, body frame (x right, y up, z towards the person), metres. May be empty.
    rng : numpy.random.Generator
        Source of the random numbers.
    kind : {"crop", "whole"}
        "crop" makes the hands fill much of the picture. "whole" makes them smaller, anywhere in the picture, and partly
        outside in some pictures.
    look : (3,) float64 or None
        Direction to look in, body frame. Zero or None means any.
    longest : int
        Longest side of the largest pictures, pixels.

    Returns
    -------
    View
        The camera and its pose.
    """
    width, height = PICTURES[int(rng.integers(len(PICTURES)))]
    if longest != LONGEST:
        width, height = (max(16, round(x * longest / LONGEST)) for x in (width, height))
    low, high = np.log(FIELD_OF_VIEW)
    camera = Camera.from_fov(float(np.exp(rng.uniform(low, high))), width, height)
    rotation = _direction(rng, look)
    if not len(keypoints):
        return View(camera, rotation, np.array([0.0, 0.0, 1.0]))
    turned = keypoints @ rotation.T
    middle = (turned.min(axis=0) + turned.max(axis=0)) / 2
    turned = turned - middle
    extent = float((turned.max(axis=0) - turned.min(axis=0))[:2].max())
    largest = 0.95 if kind == "crop" else 0.7
    smallest = 0.14 if kind == "crop" else 0.06
    share = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    distance = max(camera.fx * extent / (share * min(width, height)), _NEAREST)
    distance = max(distance, float(-turned[:, 2].min()) + _NEAREST_KEYPOINT)
    share = camera.fx * extent / (distance * min(width, height))
    # Pixel of the middle of the hands. Whole pictures may cut hands off at the border.
    over = 0.12 if kind == "whole" and rng.uniform() < 0.25 else 0.0
    room = [max(0.0, 0.5 * s - (0.5 - over) * share * min(width, height)) for s in (width, height)]
    pixel = np.array([camera.cx, camera.cy]) + rng.uniform(-1, 1, 2) * room
    ray = camera.unproject(pixel, 1.0)
    ray = ray / np.linalg.norm(ray)
    towards = _between(np.array([0.0, 0.0, 1.0]), ray)
    return View(camera, towards @ rotation, ray * distance - towards @ middle)


def crop_camera(camera: Camera, keypoints: np.ndarray, jitter: Jitter, size: int = CROP_SIZE) -> Camera:
    """Compute the camera of the crop around the hands, by the convention of ``surfaces.hand_crop``.

    Parameters
    ----------
    camera : Camera
        Camera of the whole picture.
    keypoints : (N, 3) float64
        Keypoints of all hands, camera frame, metres.
    jitter : Jitter
        Difference of the crop box from the convention's.
    size : int
        Side of the crop, pixels.

    Returns
    -------
    Camera
        Camera of the crop, in the same frame.
    """
    pixels = camera.project(keypoints)
    flesh = FLESH_M / keypoints[:, 2:3] * (camera.fx, camera.fy)
    low, high = (pixels - flesh).min(axis=0), (pixels + flesh).max(axis=0)
    middle = (low + high) / 2
    side = float((high - low).max())
    half = (high - low) / 2 * jitter.scale
    middle = middle + np.array(jitter.shift) * side
    affine = crop_affine(middle - half, middle + half) * (size / CROP_SIZE)
    scale = float(affine[0, 0])
    centre = affine[:, :2] @ (camera.cx, camera.cy) + affine[:, 2]
    return Camera(camera.fx * scale, camera.fy * scale, float(centre[0]), float(centre[1]), size, size, camera.origin)


def _direction(rng: np.random.Generator, look: np.ndarray | None) -> np.ndarray:
    """Draw a rotation (3, 3) from body to camera axes."""
    kind = rng.uniform()
    if look is not None and np.any(look):
        forward, up, roll = np.asarray(look, float), rng.standard_normal(3), 0.0
        forward = forward + 0.12 * rng.standard_normal(3)
    elif kind < 0.2:  # first-person view: from above and behind the wrists
        forward = np.array([0.0, -1.0, -1.0]) * (1, rng.uniform(0.3, 1.3), 1) + 0.2 * rng.standard_normal(3)
        up, roll = np.array([0.0, 1.0, 0.0]), 0.15 * rng.standard_normal()
    elif kind < 0.4:  # view of a person opposite, or of a camera on a screen
        forward = np.array([0.0, 0.0, 1.0]) + (0, rng.uniform(-0.6, 0.4), 0) + 0.25 * rng.standard_normal(3)
        up, roll = np.array([0.0, 1.0, 0.0]), 0.15 * rng.standard_normal()
    else:
        forward, up, roll = rng.standard_normal(3), rng.standard_normal(3), rng.uniform(-np.pi, np.pi)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, up)
    right = right / np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    result: np.ndarray = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.stack([right, down, forward])
    return result


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the smallest rotation that takes unit ``a`` to unit ``b``; they must not be opposite."""
    axis = np.cross(a, b)
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result: np.ndarray = np.eye(3) + skew + skew @ skew / (1 + a @ b)
    return result
