"""The hands of a take as exports hold them: y up, named, a frame at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from im2hands.core.hands import SIDES, Side
from im2hands.take.take import Take

OBJECT_NAMES: dict[Side, str] = {"left": "Hand.L", "right": "Hand.R"}

# The camera frame (y down, z forward) turned half a turn around x.
CAMERA_TO_Y_UP = np.array([1.0, -1.0, -1.0], dtype=np.float32)


def hands_y_up(take: Take, index: int) -> Iterator[tuple[Side, tuple[np.ndarray, np.ndarray]]]:
    """The hands of a frame: side and ((V, 3) float32 vertices, metres, y up; (F, 3) int32 faces)."""
    hands = take.read_frame(index)
    for side in SIDES:
        if side in hands:
            yield side, (hands[side]["vertices"] * CAMERA_TO_Y_UP, hands[side]["faces"])
