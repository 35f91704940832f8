"""The hands of a take as exports need them: y up, named, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from im2hands.core.hands import SIDES, Side
from im2hands.take.take import Take

OBJECT_NAMES: dict[Side, str] = {"left": "Hand.L", "right": "Hand.R"}
"""Names of the objects in exported files."""

# Factors from the camera frame (y down, z forward) to y up: half a turn around x.
CAMERA_TO_Y_UP = np.array([1.0, -1.0, -1.0], dtype=np.float32)


def hands_y_up(take: Take, index: int) -> Iterator[tuple[Side, tuple[np.ndarray, np.ndarray]]]:
    """Read the hands of a frame.

    Parameters
    ----------
    take : Take
        The take.
    index : int
        Index of the frame.

    Yields
    ------
    side : Side
        The hand.
    mesh : tuple of (V, 3) float32 and (F, 3) int32
        Vertices (y up, metres) and faces.

    Raises
    ------
    TakeError
        The frame cannot be read.
    """
    hands = take.read_frame(index)
    for side in SIDES:
        if side in hands:
            yield side, (hands[side]["vertices"] * CAMERA_TO_Y_UP, hands[side]["faces"])
