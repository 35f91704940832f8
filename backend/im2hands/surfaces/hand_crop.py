"""The square crop around the hands that is the published networks' input (Im2Hands, Lee et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.hands import TwoHands
from im2hands.media.source import Frame

CROP_SIZE = 256
"""Side of the crop, pixels."""

FILL = 0.8
"""Share of the crop's side that the longer extent of the hands fills."""

FLESH_M = 0.01
"""Margin around each keypoint, metres.

The published crops enclose the vertices of the hand meshes, which lie about this far outside the keypoints. Here only
the keypoints are known.
"""

_MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)  # ImageNet, RGB
_DEVIATION = np.array((0.229, 0.224, 0.225), dtype=np.float32)


@dataclass(frozen=True)
class HandCrop:
    """The crop around the hands of a frame.

    Parameters
    ----------
    image : (256, 256, 3) uint8
        RGB, black outside the photo.
    camera : Camera
        Camera of the crop, with R = I and T = 0: the keypoints are in its camera frame.
    affine : (2, 3) float64
        Maps pixels of the photo to pixels of the crop.
    """

    image: np.ndarray
    camera: Camera
    affine: np.ndarray

    def network_input(self) -> np.ndarray:
        """(3, 256, 256) float32 RGB, normalised with ImageNet's mean and standard deviation."""
        return normalised(self.image)


def normalised(image: np.ndarray) -> np.ndarray:
    """Normalise a picture for the networks with ImageNet's mean and standard deviation.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.

    Returns
    -------
    (3, H, W) float32
        The network input.
    """
    scaled = (image.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def crop_affine(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The map from photo pixels to a crop in which a box is centred and fills ``FILL`` of the side.

    With the box centre ``mid`` and ``L = max(high - low) / 2 / FILL`` the map is ``(CROP_SIZE / 2) / L * [[1, 0, L -
    mid_x], [0, 1, L - mid_y]]``, as in the published preprocessing.

    Parameters
    ----------
    low : (2,) float
        Lowest corner of the box, pixels.
    high : (2,) float
        Highest corner of the box, pixels.

    Returns
    -------
    (2, 3) float64
        Maps pixels of the photo to pixels of the crop.
    """
    middle = (np.asarray(low, np.float64) + high) / 2
    half = np.max(np.asarray(high, np.float64) - low) / 2 / FILL
    return CROP_SIZE / 2 / half * np.array([[1.0, 0.0, half - middle[0]], [0.0, 1.0, half - middle[1]]])


def crop_hands(frame: Frame, camera: Camera, hands: TwoHands) -> HandCrop:
    """Crop the picture around the hands that are present.

    The box holds the projected keypoints of all hands, each with a margin of ``FLESH_M`` parallel to the picture plane.
    A single hand fills the crop as two hands would.

    Parameters
    ----------
    frame : Frame
        The photo.
    camera : Camera
        Its intrinsics.
    hands : TwoHands
        At least one hand, camera frame, metres.

    Returns
    -------
    HandCrop
        The crop.

    Raises
    ------
    FrameError
        A hand lies behind the camera or has no keypoint inside the photo, or there is no hand.
    """
    height, width = frame.image.shape[:2]
    corners = []
    for hand in hands.present():
        depth = hand.positions[:, 2]
        if not (np.isfinite(hand.positions).all() and depth.min() > FLESH_M):
            raise FrameError(
                f"{frame.name}: the {hand.side} hand lies behind the camera.", "Check the keypoints of this frame."
            )
        pixels = camera.project(hand.positions)
        if not ((pixels > -0.5) & (pixels < (width - 0.5, height - 0.5))).all(axis=1).any():
            raise FrameError(
                f"{frame.name}: the {hand.side} hand lies outside the picture, where the networks cannot see it.",
                "Check keypoints and camera, or leave this hand out of the frame.",
            )
        flesh = FLESH_M / depth[:, None] * (camera.fx, camera.fy)
        corners += [pixels - flesh, pixels + flesh]
    if not corners:
        raise FrameError(f"{frame.name}: there is no hand to look at.", "Give keypoints for this frame.")
    around = np.concatenate(corners)
    affine = crop_affine(around.min(0), around.max(0))
    image = cv2.warpAffine(frame.image, affine, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
    scale = float(affine[0, 0])
    centre = affine[:, :2] @ (camera.cx, camera.cy) + affine[:, 2]
    seen = Camera(
        camera.fx * scale, camera.fy * scale, float(centre[0]), float(centre[1]), CROP_SIZE, CROP_SIZE, camera.origin
    )
    return HandCrop(image, seen, affine)
