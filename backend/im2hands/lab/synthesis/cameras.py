"""Random cameras on hands: any lens, distance, direction and roll; views from the person's own eyes; crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from im2hands.core.hands import Camera
from im2hands.surfaces.hand_crop import CROP_SIZE, FLESH_M, crop_affine

Kind = Literal["crop", "whole"]

FIELD_OF_VIEW = (25.0, 95.0)
"""Degrees over the picture's longer side, from tele to a phone's wide lens."""

PICTURES = (
    (640, 480), (640, 480), (640, 360), (640, 360), (480, 640), (360, 640), (512, 512), (320, 240), (320, 180),
    (480, 360), (240, 320), (480, 480),
)  # fmt: skip
"""Sizes of whole pictures, pixels, at the largest; see :func:`aim`."""
LONGEST = 640

_NEAREST = 0.16
_NEAREST_KEYPOINT = 0.07
"""Metres before the camera that the hands' middle and every keypoint keep."""


@dataclass(frozen=True)
class Jitter:
    """How a crop's box differs from the convention's: factor on its side, shift in shares of its side (2,)."""

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Jitter:
        """Boxes as a detector's keypoints would give them: a quarter exact, the rest a few per cent off."""
        if rng.uniform() < 0.25:
            return cls()
        x, y = np.clip(0.025 * rng.standard_normal(2), -0.06, 0.06)
        return cls(float(np.exp(np.clip(0.05 * rng.standard_normal(), -0.1, 0.12))), (float(x), float(y)))


@dataclass(frozen=True)
class View:
    """A camera and where it stands: ``X_camera = rotation @ X_body + translation``, metres, OpenCV's axes."""

    camera: Camera
    rotation: np.ndarray
    translation: np.ndarray


def aim(
    keypoints: np.ndarray, rng: np.random.Generator, kind: Kind = "crop", look: np.ndarray | None = None,
    longest: int = LONGEST,
) -> View:  # fmt: skip
    """A random camera that sees the hands.

    A fifth of the views are the person's own, a fifth those of a person or screen in front, the others are from
    anywhere, rolled by any angle. The lens is drawn first, then how large the hands are and where in the picture.

    Args:
        keypoints: (N, 3) of all hands, body frame (x right, y up, z to the person), metres; may be empty.
        kind: "crop" for hands that fill much of the picture often, "whole" for small hands anywhere, some partly
            outside. look: (3,) direction to look along, zero or None for any. longest: pixels of the longer side of the
            largest pictures.
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
    # Where the middle of the hands is seen; whole pictures may cut hands off a little.
    over = 0.12 if kind == "whole" and rng.uniform() < 0.25 else 0.0
    room = [max(0.0, 0.5 * s - (0.5 - over) * share * min(width, height)) for s in (width, height)]
    pixel = np.array([camera.cx, camera.cy]) + rng.uniform(-1, 1, 2) * room
    ray = camera.unproject(pixel, 1.0)
    ray = ray / np.linalg.norm(ray)
    towards = _between(np.array([0.0, 0.0, 1.0]), ray)
    return View(camera, towards @ rotation, ray * distance - towards @ middle)


def crop_camera(camera: Camera, keypoints: np.ndarray, jitter: Jitter, size: int = CROP_SIZE) -> Camera:
    """The camera of the crop around hands, by the convention of :mod:`im2hands.surfaces.hand_crop`.

    Args:
        camera: of the whole picture. keypoints: (N, 3) of all hands, camera frame, metres. size: pixels a side.
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
    """(3, 3) body to camera axes."""
    kind = rng.uniform()
    if look is not None and np.any(look):
        forward, up, roll = np.asarray(look, float), rng.standard_normal(3), 0.0
        forward = forward + 0.12 * rng.standard_normal(3)
    elif kind < 0.2:  # the person's own eyes: from above and behind the wrists
        forward = np.array([0.0, -1.0, -1.0]) * (1, rng.uniform(0.3, 1.3), 1) + 0.2 * rng.standard_normal(3)
        up, roll = np.array([0.0, 1.0, 0.0]), 0.15 * rng.standard_normal()
    elif kind < 0.4:  # somebody opposite, or a screen's camera
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
    """The smallest rotation that takes unit ``a`` to unit ``b``, less than half a turn apart."""
    axis = np.cross(a, b)
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result: np.ndarray = np.eye(3) + skew + skew @ skew / (1 + a @ b)
    return result
