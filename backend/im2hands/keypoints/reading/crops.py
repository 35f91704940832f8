"""Square crops along hands: where they lie, and how they are cut out of a picture."""

from __future__ import annotations

import cv2
import numpy as np

CROP_PIXELS = 224
# MediaPipe's tracking rule: the keypoints that span the next crop, its shift towards the fingers, its growth.
_BOX_KEYPOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_BOX_SHIFT = -0.1
_BOX_SCALE = 2.0


def warp_crop(levels: list[np.ndarray], crop: np.ndarray) -> np.ndarray:
    """Cut a square crop out of a picture and scale it to the network's input size.

    Parameters
    ----------
    levels : list of (H, W, 3) uint8
        The picture and its halvings, see ``pyramid``. Large crops are taken from the smaller levels, so that fine
        texture does not alias.
    crop : (4,) float64
        The crop as in ``LandmarkNetwork.read``, in pixels of the first level.

    Returns
    -------
    (224, 224, 3) uint8
        The crop. Beyond the picture its edge pixels are repeated.
    """
    x, y, size, turn = crop
    level = levels[min(max(int(np.log2(max(size / CROP_PIXELS, 1.0))), 0), len(levels) - 1)]
    shrink = np.array([level.shape[1] / levels[0].shape[1], level.shape[0] / levels[0].shape[0]])
    linear = turn_matrix(np.array(turn)) * (size / CROP_PIXELS)
    offset = np.array([x, y]) + linear @ np.full(2, 0.5 - CROP_PIXELS / 2)
    matrix = np.column_stack([linear, offset + 0.5]) * shrink[:, None]
    matrix[:, 2] -= 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(level, matrix, (CROP_PIXELS, CROP_PIXELS), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def crops_around(pixels: np.ndarray) -> np.ndarray:
    """Return the crops that show the hands with these keypoints: MediaPipe's tracking rule.

    Parameters
    ----------
    pixels : (N, 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (N, 4) float64
        Crops as in ``LandmarkNetwork.read``.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    knuckles = 0.5 * (0.5 * (pixels[:, 5] + pixels[:, 13]) + pixels[:, 9])
    up = knuckles - pixels[:, 0]
    turn = np.arctan2(up[:, 0], -up[:, 1])
    rotation = turn_matrix(turn)
    upright = pixels[:, _BOX_KEYPOINTS] @ rotation
    low, high = upright.min(axis=1), upright.max(axis=1)
    extent = high - low
    centre = 0.5 * (low + high)
    centre[:, 1] += _BOX_SHIFT * extent[:, 1]
    centre = np.einsum("nij,nj->ni", rotation, centre)
    size = _BOX_SCALE * extent.max(axis=1)
    return np.column_stack([centre, np.maximum(size, 1.0), turn])


def contiguous(image: np.ndarray) -> np.ndarray:
    """Return a picture, which may be a mirrored view of another one, contiguous in memory.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The picture.

    Returns
    -------
    (H, W, 3) uint8
        The same pixels. OpenCV mirrors much faster than NumPy copies a mirrored view.
    """
    if image.flags.c_contiguous:
        return image
    mirrored = image[:, ::-1]
    return np.asarray(cv2.flip(mirrored, 1)) if mirrored.flags.c_contiguous else np.ascontiguousarray(image)


def pyramid(image: np.ndarray, largest: float) -> list[np.ndarray]:
    """Return a picture and its halvings.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The picture.
    largest : float
        Side length of the largest crop, pixels. It decides the number of levels.

    Returns
    -------
    list of (H, W, 3) uint8
        The levels, the full picture first.
    """
    levels = [image]
    while largest >= CROP_PIXELS * 2 ** len(levels) and min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))
    return levels


def to_crop(pixels: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Map pixels of the frame to the coordinates of a crop.

    Parameters
    ----------
    pixels : (..., 2) float64
        Pixels of the frame.
    crop : (4,) float64
        The crop as in ``LandmarkNetwork.read``.

    Returns
    -------
    (..., 2) float64
        Pixels of the crop as the network outputs them: (0, 0) is its upper left corner.
    """
    return (pixels - crop[:2]) @ turn_matrix(crop[3]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2


def from_crop(pixels: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Map coordinates of a crop to pixels of the frame: the inverse of ``to_crop``.

    Parameters
    ----------
    pixels : (..., 2) float64
        Pixels of the crop.
    crop : (4,) float64
        The crop as in ``LandmarkNetwork.read``.

    Returns
    -------
    (..., 2) float64
        Pixels of the frame.
    """
    return (pixels - CROP_PIXELS / 2) * (crop[2] / CROP_PIXELS) @ turn_matrix(crop[3]).T + crop[:2]


def turn_matrix(angle: np.ndarray) -> np.ndarray:
    """Return rotations of the picture plane (x right, y down).

    Parameters
    ----------
    angle : (...) float64
        Radians, clockwise as seen.

    Returns
    -------
    (..., 2, 2) float64
        The rotation matrices.
    """
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
