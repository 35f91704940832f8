"""Figures of the hands of a clip that need no truth: exchanged sides, leaps, and hands that cannot be there.

The hands of a frame are given by side, as keypoints (21, 2) in pixels. A swap is usually a leap of both hands, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations

import numpy as np

from im2hands.keypoints.hand_geometry import palm_length

LEAP = 1.0
"""Movement from one frame to the next that is a leap: mean over the keypoints, palm lengths."""

SAME = 0.5
"""Largest distance at which a hand goes on from a hand of an earlier frame: mean over the keypoints, palm lengths."""

Hands = Mapping[str, np.ndarray]
"""Keypoints of the hands of one frame by side, pixels."""


def swaps(frames: Sequence[Hands]) -> list[int]:
    """Find the frames in which a hand goes on from a hand of the other side.

    The hands of a frame are paired with those of the last frame that has hands, so that they move least.

    Parameters
    ----------
    frames : Sequence[Hands]
        The frames, in order.

    Returns
    -------
    list[int]
        Their numbers in ``frames``.
    """
    found: list[int] = []
    before: Hands = {}
    for number, hands in enumerate(frames):
        if any(was != side and gap < SAME for was, side, gap in _paired(before, hands)):
            found.append(number)
        before = hands or before
    return found


def leaps(frames: Sequence[Hands]) -> list[int]:
    """Find the frames in which a hand lies more than a palm length from its place in the frame before.

    Parameters
    ----------
    frames : Sequence[Hands]
        The frames, in order. A hand that is not in the frame before does not leap.

    Returns
    -------
    list[int]
        Their numbers in ``frames``.
    """
    found = []
    for number, (before, hands) in enumerate(pairwise(frames), start=1):
        if any(_moved(before[side], hands[side]) > LEAP for side in before.keys() & hands.keys()):
            found.append(number)
    return found


def invented(frames: Sequence[Hands], indices: Sequence[int], one_handed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Count the frames with two hands in stretches that show one.

    Parameters
    ----------
    frames : Sequence[Hands]
        The frames.
    indices : Sequence[int]
        The number of each frame in its source.
    one_handed : Sequence[tuple[int, int]]
        First and last frame of each stretch, by their numbers in the source.

    Returns
    -------
    invented : int
        Frames of these stretches with two hands.
    frames : int
        Frames of these stretches.
    """
    counts = [
        len(hands)
        for hands, index in zip(frames, indices, strict=True)
        if any(first <= index <= last for first, last in one_handed)
    ]
    return sum(count > 1 for count in counts), len(counts)


def _paired(before: Hands, after: Hands) -> list[tuple[str, str, float]]:
    """Pair the hands of two frames so that they move least: side before, side after, movement."""
    count = min(len(before), len(after))
    ways = [
        [(a, b, _moved(before[a], after[b])) for a, b in zip(some, others, strict=True)]
        for some in permutations(before, count)
        for others in permutations(after, count)
    ]
    return min(ways, key=lambda way: sum(gap for *_, gap in way))


def _moved(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean distance of the keypoints, palm lengths of the larger hand."""
    size = max(float(palm_length(before)), float(palm_length(after)))
    return float(np.linalg.norm(after - before, axis=-1).mean()) / size
