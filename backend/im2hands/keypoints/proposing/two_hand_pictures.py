"""Square inputs of the two-hand network, cut from a picture: the whole picture or a part of it."""

from __future__ import annotations

import cv2
import numpy as np

from im2hands.core.hands import WRIST

PALM = (0, 5, 9, 13, 17)
"""Indices of the keypoints whose mean is the palm's centre."""

# Index and weight of the keypoints whose mean is the knuckles' centre.
_KNUCKLES = ((5, 0.25), (13, 0.25), (9, 0.5))


def palm_frame(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and direction of palms.

    Parameters
    ----------
    pixels : (..., 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    centre : (..., 2) float64
        The palm's centre, pixels.
    up : (..., 2) float64
        Vector from the wrist to the centre of the knuckles, pixels.
    """
    knuckles = np.sum([share * pixels[..., k, :] for k, share in _KNUCKLES], axis=0)
    return pixels[..., PALM, :].mean(axis=-2), knuckles - pixels[..., WRIST, :]


def letterbox(size: tuple[int, int], side: int) -> np.ndarray:
    """Return the transform that puts a whole picture into the middle of a square input.

    Parameters
    ----------
    size : tuple[int, int]
        Width and height of the picture, pixels.
    side : int
        Side of the network's input, pixels.

    Returns
    -------
    (2, 3) float64
        Transform from pixels of the picture to pixels of the input.
    """
    return square_part((np.array(size) - 1) / 2, float(max(size)), side)


def square_part(centre: np.ndarray, extent: float, side: int) -> np.ndarray:
    """Return the transform that puts an upright square of a picture into a square input.

    Parameters
    ----------
    centre : (2,) float64
        The square's centre, pixels of the picture.
    extent : float
        The square's side, pixels of the picture.
    side : int
        Side of the network's input, pixels.

    Returns
    -------
    (2, 3) float64
        Transform from pixels of the picture to pixels of the input.
    """
    zoom = side / extent
    return np.column_stack([zoom * np.eye(2), (side - 1) / 2 - zoom * np.asarray(centre, dtype=np.float64)])


def warp(
    image: np.ndarray, affine: np.ndarray, side: int, border: int = cv2.BORDER_CONSTANT, nearest: bool = False
) -> np.ndarray:
    """Cut a square input of the network out of a picture.

    The picture is halved first where it shrinks strongly, so that it does not alias.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8
        The picture.
    affine : (2, 3) float64
        A similarity from pixels of the picture to pixels of the input.
    side : int
        Side of the input, pixels.
    border : int
        OpenCV border mode for places outside the picture; black by default.
    nearest : bool
        True takes the nearest pixel instead of interpolating, for label images.

    Returns
    -------
    (side, side) or (side, side, 3) uint8
        The input.
    """
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    affine = affine.copy()
    while scale < 0.6 and not nearest and min(image.shape[:2]) > 1:
        height, width = image.shape[:2]
        image = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        # Coordinates count pixel centres: pixel x of the halved picture lies at x * step + (step - 1) / 2 before.
        step = np.array([width / image.shape[1], height / image.shape[0]])
        affine[:, 2] += affine[:, :2] @ ((step - 1) / 2)
        affine[:, :2] *= step
        scale *= 2
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpAffine(image, affine, (side, side), flags=flags, borderMode=border)


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a transform to points.

    Parameters
    ----------
    affine : (2, 3) float64
        The transform.
    points : (..., 2) float64
        The points.

    Returns
    -------
    (..., 2) float64
        The transformed points.
    """
    return points @ affine[:, :2].T + affine[:, 2]


def inverse(affine: np.ndarray) -> np.ndarray:
    """Return the inverse of a transform.

    Parameters
    ----------
    affine : (2, 3) float64
        The transform.

    Returns
    -------
    (2, 3) float64
        The inverse.
    """
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])
