"""The square picture of the hands that the published networks look at (specification 2.3 and 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.hands import Camera, TwoHands
from im2hands.media.source import Frame

CROP_SIZE = 256
"""Pixels a side."""

FILL = 0.8
"""Share of the crop's side that the hands' longer extent takes."""

FLESH_M = 0.01
"""Metres of hand around a keypoint. The published crops are drawn around the vertices of the hands, which lie about
this far outside their keypoints; we only have the keypoints."""

_MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)  # ImageNet, RGB
_DEVIATION = np.array((0.229, 0.224, 0.225), dtype=np.float32)


@dataclass(frozen=True)
class HandCrop:
    """The crop around the hands of a frame.

    Args:
        image: (256, 256, 3) uint8 RGB, black outside the photo. camera: of the crop, R = I and T = 0: the frame of the
            keypoints is the camera frame. affine: (2, 3) float64, pixels of the photo to pixels of the crop.
    """

    image: np.ndarray
    camera: Camera
    affine: np.ndarray

    def network_input(self) -> np.ndarray:
        """(3, 256, 256) float32 RGB, ImageNet-normalised (2.3)."""
        return normalised(self.image)


def normalised(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB as the networks take it: (3, H, W) float32, ImageNet-normalised (2.3)."""
    scaled = (image.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def crop_affine(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The map (2, 3) from pixels of the photo to a crop in which a box is centred and fills :data:`FILL` of the side.

    Args:
        low, high: (2,) corners of the box, pixels.

    Source: specification 2.4 (DATASETS section 2 has a worked example).
    """
    middle = (np.asarray(low, np.float64) + high) / 2
    half = np.max(np.asarray(high, np.float64) - low) / 2 / FILL
    return CROP_SIZE / 2 / half * np.array([[1.0, 0.0, half - middle[0]], [0.0, 1.0, half - middle[1]]])


def crop_hands(frame: Frame, camera: Camera, hands: TwoHands) -> HandCrop:
    """The crop around both hands, or around the one that is there.

    The box holds the projected keypoints of all hands, each with :data:`FLESH_M` around it in the plane parallel to the
    picture. A hand alone fills the crop as two would.

    Args:
        frame: the photo. camera: its intrinsics. hands: at least one, camera frame, metres.

    Raises:
        FrameError: a hand that is behind the camera or has no keypoint in the photo.
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
