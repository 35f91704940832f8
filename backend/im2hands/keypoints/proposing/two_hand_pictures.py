"""The two-hand network's square pictures, cut from a photo: the whole of it, or a part."""

from __future__ import annotations

import cv2
import numpy as np

from im2hands.core.hands import WRIST

PALM = (0, 5, 9, 13, 17)
"""Keypoints whose mean is a palm's centre."""

_KNUCKLES = ((5, 0.25), (13, 0.25), (9, 0.5))


def palm_frame(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and the vector from wrist to knuckles of palms seen at (..., 21, 2), both (..., 2), pixels."""
    knuckles = np.sum([share * pixels[..., k, :] for k, share in _KNUCKLES], axis=0)
    return pixels[..., PALM, :].mean(axis=-2), knuckles - pixels[..., WRIST, :]


def letterbox(size: tuple[int, int], side: int) -> np.ndarray:
    """(2, 3) from the pixels of a picture (width, height) to the network's of that side, all of it in the middle."""
    return square_part((np.array(size) - 1) / 2, float(max(size)), side)


def square_part(centre: np.ndarray, extent: float, side: int) -> np.ndarray:
    """(2, 3) from a picture's pixels to the network's of that side: the upright square of centre (2,) and extent."""
    zoom = side / extent
    return np.column_stack([zoom * np.eye(2), (side - 1) / 2 - zoom * np.asarray(centre, dtype=np.float64)])


def warp(
    image: np.ndarray, affine: np.ndarray, side: int, border: int = cv2.BORDER_CONSTANT, nearest: bool = False
) -> np.ndarray:
    """The network's picture, ``side`` pixels square, of ``image`` (H, W[, 3]) under ``affine`` (2, 3), a similarity.

    Strong reductions are halved first, so that nothing aliases; outside the picture it is black, or as ``border`` says.
    """
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    affine = affine.copy()
    while scale < 0.6 and not nearest and min(image.shape[:2]) > 1:
        height, width = image.shape[:2]
        image = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        # Pixel centres: a pixel x of the half picture lies at x * step + (step - 1) / 2 in the whole one.
        step = np.array([width / image.shape[1], height / image.shape[0]])
        affine[:, 2] += affine[:, :2] @ ((step - 1) / 2)
        affine[:, :2] *= step
        scale *= 2
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpAffine(image, affine, (side, side), flags=flags, borderMode=border)


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) mapped by (2, 3)."""
    return points @ affine[:, :2].T + affine[:, 2]


def inverse(affine: np.ndarray) -> np.ndarray:
    """The map back, (2, 3)."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])
