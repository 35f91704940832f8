"""Fake readings of the two-hand network, and a fake of the network that returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from hand_pictures import hand_shape

from im2hands.core.hands import Side
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.two_hand_network import HandMap, HandReading, PictureReading


def reading(
    side: Side = "right", centre: tuple[float, float] = (320, 240), palm_px: float = 80.0, presence: float = 0.9,
    right: float | None = None, **more: object,
) -> HandReading:  # fmt: skip
    """A reading of the synthetic hand of ``hand_pictures.seen_hand``."""
    shape = hand_shape(side) / 0.088
    pixels = (shape[:, :2] - shape[:, :2].mean(axis=0)) * palm_px + centre
    sure = (3.0 if side == "right" else -3.0) if right is None else right
    made = HandReading(
        pixels, shape - shape[0], np.full(21, 0.1), palm_px, presence, sure, np.array([0.0, 0.0, 0.5]), np.full(3, 0.2)
    )
    return replace(made, **more)  # type: ignore[arg-type]


def reading_of(hand: HandDetection, presence: float = 0.9, right: float | None = None) -> HandReading:
    """A reading of a detected hand."""
    size = float(np.linalg.norm(hand.pixels[9] - hand.pixels[0]))
    sure = (3.0 if hand.side == "right" else -3.0) if right is None else right
    shape = (hand.shape - hand.shape[0]) / np.linalg.norm(hand.shape[9] - hand.shape[0])
    wrist_offset = np.array([1.0, 0.0, 0.5])
    return HandReading(hand.pixels, shape, np.full(21, 0.1), size, presence, sure, wrist_offset, np.full(3, 0.1))


def hand_map(hands: Sequence[HandReading]) -> HandMap:
    """The map of these hands, for pictures of up to 1280 pixels."""
    values = np.zeros((320, 320), np.uint8)
    for hand in hands:
        points = np.rint(hand.pixels / 4).astype(np.int32)
        for k in range(1, 21):
            start = points[0 if k % 4 == 1 else k - 1]
            cv2.line(values, start.tolist(), points[k].tolist(), 1, max(round(0.3 * hand.size / 4), 1))
        cv2.fillConvexPoly(values, cv2.convexHull(points[[0, 1, 5, 9, 13, 17]]), 1)
    return HandMap(values.astype(np.float64), np.array([[0.25, 0, 0], [0, 0.25, 0]]))


class FakePalms:
    """Returns the readings that it was given; ``asked`` counts the calls."""

    def __init__(self, hands: Sequence[HandReading] = (), others: Sequence[HandReading] = ()) -> None:
        every = [*hands, *others]
        pairs = (tuple(hands),) if len(hands) == 2 else tuple((hand,) for hand in every)
        self.seen, self.asked = PictureReading(tuple(hands), tuple(others), pairs, hand_map(every)), 0

    def read(self, image: np.ndarray) -> PictureReading:
        self.asked += 1
        return self.seen
