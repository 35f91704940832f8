"""Sizes, places and sides of hands from their keypoints in a picture."""

from __future__ import annotations

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST

CHIRALITY_WEIGHT = 4.0
"""Log odds per unit of chirality. Fingers and thumb bend towards the palm, so a hand's 3D shape shows which of its
surfaces is the palm, and with it the side. Measured: correct on 31 of 31 real hands."""

# Weight of the thumb in the chirality; the fingers together weigh 1.
_THUMB_SHARE = 0.5
# A hand's size is at least this share of its keypoints' extent.
_EXTENT_SHARE = 0.6
# Keypoints whose mean is the palm's centre.
_PALM = (0, 5, 9, 13, 17)
_LARGEST_LOG_ODDS = 4.0


def palm_length(pixels: np.ndarray) -> np.ndarray:
    """Return a hand's size in the picture.

    The larger of two lengths: wrist to middle MCP, and 0.6 of the keypoints' extent. A palm viewed end-on therefore
    does not become tiny.

    Parameters
    ----------
    pixels : (..., 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (...) float64
        The size in pixels, always positive.
    """
    palm = np.linalg.norm(pixels[..., MIDDLE_MCP, :] - pixels[..., WRIST, :], axis=-1)
    extent = np.ptp(pixels, axis=-2).max(axis=-1)
    return np.maximum(np.maximum(palm, _EXTENT_SHARE * extent), 1e-6)


def palm_centre(pixels: np.ndarray) -> np.ndarray:
    """Return the centre of the wrist and the four finger MCPs.

    Parameters
    ----------
    pixels : (..., 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (..., 2) float64
        The centre, pixels.
    """
    return pixels[..., _PALM, :].mean(axis=-2)


def chirality(shape: np.ndarray) -> np.ndarray:
    """Measure how far fingers and thumb lie on the palm's side of a right hand.

    Parameters
    ----------
    shape : (..., 21, 3) float64
        Keypoints in any unit, axes x right, y down, z forward.

    Returns
    -------
    (...) float64
        In palm lengths: positive for a right hand, negative for a left hand, usually between -1.5 and 1.5. 0 where the
        palm has no plane.
    """
    up = shape[..., 9, :] - shape[..., 0, :]
    across = shape[..., 17, :] - shape[..., 5, :]
    normal = np.cross(up, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), 0.0)
    fingers = shape[..., (8, 12, 16, 20), :] - shape[..., (5, 9, 13, 17), :]
    bend = (fingers * normal[..., None, :]).sum(axis=-1).mean(axis=-1)
    thumb = ((shape[..., 4, :] - shape[..., 1, :]) * normal).sum(axis=-1)
    return (bend + _THUMB_SHARE * thumb) / np.maximum(np.linalg.norm(up, axis=-1), 1e-12)


def log_odds(right: np.ndarray | float) -> np.ndarray:
    """Convert a probability to log odds, bounded to -4 to 4.

    Parameters
    ----------
    right : (...) float64 or float
        Probability, for example of a right hand, in [0, 1].

    Returns
    -------
    (...) float64
        The log odds.
    """
    right = np.clip(right, 1e-3, 1 - 1e-3)
    return np.clip(np.log(right / (1 - right)), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


def outline_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the distance between two hands' keypoints as sets, without regard to their names.

    It is small if one hand was found twice, even if its thumb and little finger were confused.

    Parameters
    ----------
    a, b : (21, 2) float64
        Keypoints of the two hands, pixels.

    Returns
    -------
    float
        Mean distance to the nearest keypoint of the other hand, palm lengths of the larger hand.
    """
    gaps = np.linalg.norm(a[:, None] - b[None], axis=-1)
    mean = 0.5 * (gaps.min(axis=0).mean() + gaps.min(axis=1).mean())
    return float(mean / max(palm_length(a), palm_length(b)))


def keypoint_distances(pixels: np.ndarray) -> np.ndarray:
    """Return how far hands lie from each other.

    Parameters
    ----------
    pixels : (N, 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (N, N) float64
        Mean distance between the keypoints of the same name, palm lengths of the larger hand.
    """
    gaps = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1).mean(axis=-1)
    palms = palm_length(pixels)
    return gaps / np.maximum(palms[:, None], palms[None])
