"""Finds a hand that a user marked: the landmark network on crops in and around the box or point."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from im2hands.core.hands import SIDES, Side
from im2hands.keypoints.hand_geometry import palm_centre, palm_length
from im2hands.keypoints.reading.consensus import read_repeatedly
from im2hands.keypoints.reading.crops import crops_around
from im2hands.keypoints.reading.network import LandmarkNetwork

SOURCE = "boxes"
# Crops: the number of turns; for a box, sizes in multiples of its longer side and shifts in crop sizes; for a point,
# sizes as shares of the picture's longer side.
_TURNS = 8
_BOX_SIZES = (1.1, 1.5, 2.0)
_BOX_SHIFTS = (-0.15, 0.15)
_POINT_SIZES = (0.12, 0.18, 0.27, 0.4, 0.6)
# Least presence of a reading to be kept, and how often kept readings are read again in the crop around their keypoints.
_KEEP_PRESENCE = 0.3
_RECROPS = 2
# How many of the best readings are verified by repeated readings, and the least value (presence, agreement and fit
# multiplied) of a hand.
_VERIFIED, _LEAST_VALUE = 3, 0.1
# Distance from a point at which a hand fits it by a third, palm lengths.
_POINT_REACH = 0.5


def find_boxed(network: LandmarkNetwork, image: np.ndarray, boxes: Mapping[Side, np.ndarray]) -> dict[Side, np.ndarray]:
    """Find the hands that a user marked.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    boxes : Mapping[Side, np.ndarray]
        By side a box (4,) left, top, right, bottom, or a point (2,) x, y anywhere on the hand; pixels.

    Returns
    -------
    dict[Side, (21, 2) float64]
        Keypoints of the marked hands, pixels. A side whose box shows no hand is left out.
    """
    found = {side: _find_one(network, image, np.asarray(boxes[side], np.float64)) for side in SIDES if side in boxes}
    return {side: pixels for side, pixels in found.items() if pixels is not None}


def _find_one(network: LandmarkNetwork, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Return the keypoints of the hand of one box or point; None if the network reads none there."""
    readings = network.read(image, _crops(image, box))
    for _ in range(1 + _RECROPS):
        readings = readings.take(readings.presence > _KEEP_PRESENCE)
        if not len(readings):
            return None
        readings = network.read(image, crops_around(readings.pixels))
    fits = readings.presence * np.array([_fit(pixels, box) for pixels in readings.pixels])
    chosen = np.argsort(-fits, kind="stable")[:_VERIFIED]
    looks = read_repeatedly(network, image, readings.pixels[chosen])
    values = [look.presence * look.agreement * _fit(look.pixels, box) for look in looks]
    best = int(np.argmax(values))
    if values[best] < _LEAST_VALUE:
        return None
    return looks[best].pixels


def _crops(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return crops (N, 4) in and around a box (4,) or point (2,)."""
    turns = np.arange(_TURNS) * (2 * np.pi / _TURNS)
    if len(box) == 2:
        sizes = np.array(_POINT_SIZES) * max(image.shape[:2])
        shifts: tuple[float, ...] = (0.0,)
        centre = box
    else:
        sizes = np.array(_BOX_SIZES) * float((box[2:] - box[:2]).max())
        shifts = _BOX_SHIFTS
        centre = 0.5 * (box[:2] + box[2:])
    x, y, size, turn = np.stack(np.meshgrid(shifts, shifts, sizes, turns, indexing="ij"), axis=-1).reshape(-1, 4).T
    return np.column_stack([centre[0] + x * size, centre[1] + y * size, size, turn])


def _fit(pixels: np.ndarray, box: np.ndarray) -> float:
    """Return how well keypoints (21, 2) fit a box (by overlap) or a point (by distance), in [0, 1]."""
    if len(box) == 2:
        nearest = min(
            float(np.linalg.norm(pixels - box, axis=1).min()), float(np.linalg.norm(palm_centre(pixels) - box))
        )
        return float(np.exp(-((nearest / (_POINT_REACH * float(palm_length(pixels)))) ** 2)))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    common = np.clip(np.minimum(high, box[2:]) - np.maximum(low, box[:2]), 0, None).prod()
    union = (high - low).prod() + (box[2:] - box[:2]).prod() - common
    return float(common / max(union, 1e-9))
