"""Both hands' keypoints drawn as pictures, for the image encoder: it is to say where hands differ from what these tell.

Six channels, left hand first: how far bones of ordinary thickness cover a pixel (0 to 1), the depth of the nearest of
them (decimetres from the middle of all keypoints, nearer is larger, -1 to 1), and the bones as thin lines.
"""

from __future__ import annotations

import cv2
import numpy as np

from .hands import KEYPOINT_PARENTS

CHANNELS = 6
_PER_HAND = CHANNELS // 2
# Radii of fingers and of the palm's edge around its bones, metres.
_FINGER_M, _PALM_M, _LINE_M = 0.0085, 0.012, 0.002
_PALM = (0, 1, 5, 9, 13, 17)
_DEPTH_M = 0.1
_BITS = 4  # of a pixel's fraction, in OpenCV's drawing
_FAR_PX = 4096.0


def skeleton_maps(keypoints: np.ndarray, intrinsics: np.ndarray, picture: int, side: int) -> np.ndarray:
    """The maps of one crop.

    Args:
        keypoints: (2, 21, 3) left and right hand, camera frame, metres; an absent hand is NaN. intrinsics: (3, 3) of a
            square picture of ``picture`` pixels a side. side: pixels a side of the maps, which cover it all.

    Returns:
        (6, side, side) float32.
    """
    maps = np.zeros((2, _PER_HAND, side, side), np.float32)
    known = np.isfinite(keypoints).all(axis=(1, 2)) & (np.nan_to_num(keypoints[..., 2]).min(axis=1) > 1e-3)
    if not known.any():
        return maps.reshape(CHANNELS, side, side)
    middle = float(keypoints[known][..., 2].mean())
    zoom = side / picture
    for hand in np.flatnonzero(known):
        points = keypoints[hand].astype(np.float64)
        scaled = points @ np.asarray(intrinsics, np.float64).T
        pixels = ((scaled[:, :2] / scaled[:, 2:] + 0.5) * zoom - 0.5).clip(-_FAR_PX, _FAR_PX)
        focal = float(intrinsics[0, 0]) * zoom
        _draw(maps[hand], pixels, points[:, 2], focal, middle)
    return maps.reshape(CHANNELS, side, side)


def _draw(maps: np.ndarray, pixels: np.ndarray, depth: np.ndarray, focal: float, middle: float) -> None:
    """One hand's three maps; what is farther is drawn first."""
    cover, near, lines = (np.zeros(maps.shape[1:], np.uint8) for _ in range(_PER_HAND))
    fixed = np.rint(pixels * (1 << _BITS)).astype(np.int32)
    palm = list(_PALM)
    pieces: list[tuple[float, int]] = [(float(depth[palm].mean()), 0)]
    pieces += [
        (float(depth[[k, KEYPOINT_PARENTS[k]]].mean()), k) for k in range(1, 21) if k % 4 != 1
    ]  # the palm's own bones are the palm
    for far, k in sorted(pieces, reverse=True):
        value = int(np.clip(128 - 127 * (far - middle) / _DEPTH_M, 1, 255))
        if k == 0:
            hull = cv2.convexHull(fixed[palm])
            width = max(round(2 * _PALM_M * focal / far), 1)
            for picture, shade in ((cover, 255), (near, value)):
                cv2.fillPoly(picture, [hull], shade, cv2.LINE_AA, _BITS)
                cv2.polylines(picture, [hull], True, shade, width, cv2.LINE_AA, _BITS)
            continue
        first, second = (tuple(int(v) for v in fixed[j]) for j in (KEYPOINT_PARENTS[k], k))
        width = max(round(2 * _FINGER_M * focal / far), 1)
        for picture, shade in ((cover, 255), (near, value)):
            cv2.line(picture, first, second, shade, width, cv2.LINE_AA, _BITS)
    for k in range(1, 21):
        first, second = (tuple(int(v) for v in fixed[j]) for j in (KEYPOINT_PARENTS[k], k))
        width = max(round(2 * _LINE_M * focal / float(depth.mean())), 1)
        cv2.line(lines, first, second, 255, width, cv2.LINE_AA, _BITS)
    maps[0] = cover.astype(np.float32) / 255
    # At an edge both are drawn with the same share; the depth fades out there as the cover does.
    maps[1] = (near.astype(np.float32) - cover.astype(np.float32) * (128 / 255)) / 127
    maps[2] = lines.astype(np.float32) / 255
