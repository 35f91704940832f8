"""Combines the two-hand network's readings with known hands: sides, wrist offsets, and hands that only it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.keypoints.choosing.sides import evidence, log_odds, outline_distance, palm_centre, with_side
from im2hands.keypoints.hypothesis import HandDetection, WristOffset
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M

from .two_hand_network import HandReading, PictureReading

SOURCE = "network"
"""Source of hands with the two-hand network's own keypoints."""

SEEDED = "palm_seed"
"""Source of hands that the landmark network reads in crops along a palm of the two-hand network."""

# A known hand and a reading are one hand up to this distance (mean, palm lengths).
_SAME = 0.75
# A reading whose outline lies within this distance (palm lengths) of a known hand's outline is that hand.
_KNOWN_HAND = 0.2
# Weight of the two-hand network's log odds of a side beside the landmark network's, and their largest magnitude.
_SIDE_WEIGHT, _LARGEST_SIDE = 1.0, 4.0
# Least presence of a hand that only the two-hand network reads: without MediaPipe, and with it. On photographs of one
# hand the network reads false second hands with a presence of up to 0.8.
FILL_ALONE, FILL_BESIDE = 0.55, 0.85
# A further hand's palm must lie at least this far (palm lengths) from the palm of a known hand.
_PALMS_APART = 0.2


def side_evidence(reading: HandReading) -> float:
    """Return the log odds of a right hand that a reading adds to other evidence.

    Parameters
    ----------
    reading : HandReading
        The two-hand network's reading of a hand.

    Returns
    -------
    float
        Log odds, bounded to -4 to 4.
    """
    return float(np.clip(_SIDE_WEIGHT * reading.right, -_LARGEST_SIDE, _LARGEST_SIDE))


def with_wrist_offset(hand: HandDetection, reading: HandReading) -> HandDetection:
    """Set a detection's offset to the other wrist from a reading.

    Parameters
    ----------
    hand : HandDetection
        The detection.
    reading : HandReading
        The two-hand network's reading of the same hand.

    Returns
    -------
    HandDetection
        The detection with ``wrist_offset``.
    """
    return replace(hand, wrist_offset=WristOffset(reading.wrist_offset, reading.wrist_offset_spread))


def own_detection(reading: HandReading) -> HandDetection:
    """Return a reading as a detection with the two-hand network's own keypoints, for hands that no other network reads.

    Parameters
    ----------
    reading : HandReading
        The two-hand network's reading of the hand.

    Returns
    -------
    HandDetection
        The detection, source "network".
    """
    sure = reading.presence * np.exp(-reading.spread)
    score = float(np.clip(reading.presence, 0, 1))
    hand = HandDetection(
        reading.side, reading.pixels, reading.shape * DEFAULT_PALM_M, np.clip(sure, 0, 1), score, SOURCE
    )
    return with_wrist_offset(hand, reading)


def match(hands: Sequence[HandDetection], picture_reading: PictureReading) -> list[HandReading | None]:
    """Match known hands with readings of the same hands, nearest pairs first. Each reading is used once.

    Parameters
    ----------
    hands : Sequence[HandDetection]
        The known hands.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.

    Returns
    -------
    list[HandReading or None]
        For each hand its reading, or None.
    """
    found: list[HandReading | None] = [None] * len(hands)
    pairs = sorted(
        (float(np.linalg.norm(hand.pixels - reading.pixels, axis=1).mean()) / reading.size, i, j)
        for i, hand in enumerate(hands)
        for j, reading in enumerate(picture_reading.hands)
    )
    taken: set[int] = set()
    for distance, i, j in pairs:
        if distance < _SAME and found[i] is None and j not in taken:
            found[i] = picture_reading.hands[j]
            taken.add(j)
    return found


def with_sides(hands: Sequence[HandDetection], picture_reading: PictureReading) -> list[HandDetection]:
    """Add the two-hand network's evidence for sides, and its wrist offsets, to known hands.

    Parameters
    ----------
    hands : Sequence[HandDetection]
        The known hands.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.

    Returns
    -------
    list[HandDetection]
        The hands in order; those without a matching reading unchanged.
    """
    made = []
    for hand, reading in zip(hands, match(hands, picture_reading), strict=True):
        if reading is None:
            made.append(hand)
            continue
        sided = with_side(hand, float(log_odds_of(hand)) + side_evidence(reading))
        made.append(with_wrist_offset(sided, reading))
    return made


def log_odds_of(hand: HandDetection) -> float:
    """Return the log odds of a right hand from a detection's side and score, bounded to -8 to 8.

    Parameters
    ----------
    hand : HandDetection
        The detection. A score of 0.5 or less is no evidence.

    Returns
    -------
    float
        The log odds.
    """
    return float(np.clip(evidence(hand), -8.0, 8.0)) if hand.score > 0.5 else float(log_odds(0.5))


def unmatched(hands: Sequence[HandDetection], picture_reading: PictureReading) -> list[HandReading]:
    """Return the readings of hands that are not known yet.

    Parameters
    ----------
    hands : Sequence[HandDetection]
        The known hands.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.

    Returns
    -------
    list[HandReading]
        Highest presence first.
    """
    matched = [reading for reading in match(hands, picture_reading) if reading is not None]
    return [reading for reading in picture_reading.hands if all(reading is not other for other in matched)]


def _covers(hand: HandDetection, reading: HandReading) -> bool:
    """Return whether the reading is an inaccurate reading of the known hand instead of another hand over it."""
    apart = float(np.linalg.norm(palm_centre(hand.pixels) - palm_centre(reading.pixels))) / reading.size
    return apart < _PALMS_APART or outline_distance(hand.pixels, reading.pixels) < _KNOWN_HAND


def fill(hands: Sequence[HandDetection], picture_reading: PictureReading, least: float) -> list[HandDetection]:
    """Add the two-hand network's own keypoints for a hand that no other network reads.

    Parameters
    ----------
    hands : Sequence[HandDetection]
        The known hands.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    least : float
        Least presence of a reading to be added.

    Returns
    -------
    list[HandDetection]
        The known hands and the added ones. Nothing is added beyond two hands.
    """
    found = list(hands)
    for reading in unmatched(hands, picture_reading):
        if len(found) < 2 and reading.presence >= least and not any(_covers(hand, reading) for hand in found):
            found.append(own_detection(reading))
    return found
