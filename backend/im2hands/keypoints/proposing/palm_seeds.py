"""What the two-hand network says beside the hands that others find: sides, wrist_offsets, and hands that only it
sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.keypoints.choosing.sides import evidence, log_odds, outline_distance, palm_centre, with_side
from im2hands.keypoints.hypothesis import HandDetection, WristOffset
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M

from .two_hand_network import PalmReading, PalmsSeen

SOURCE = "network"
"""Source of hands whose keypoints the two-hand network gives itself."""

SEEDED = "palm_seed"
"""Source of hands that the landmark network reads along a palm that the two-hand network sees."""

# Known hands and readings are one hand up to this distance (mean, palm lengths).
_SAME = 0.75
# A crop's hand with this much of an outline on a known hand is that hand.
_KNOWN_HAND = 0.2
# What the two-hand network says of sides counts this much beside the landmark network, log odds.
_SIDE_WEIGHT, _LARGEST_SIDE = 1.0, 4.0
# Keypoints that only the two-hand network gives: a hand this sure at least, where it is asked alone and beside others.
# In photographs of one hand it sees second ones up to 0.8.
FILL_ALONE, FILL_BESIDE = 0.55, 0.85
# Its palm lies at least this far (palm lengths) from that of a known hand.
_PALMS_APART = 0.2


def side_evidence(reading: PalmReading) -> float:
    """Log odds of a right hand that a reading adds to what else is known."""
    return float(np.clip(_SIDE_WEIGHT * reading.right, -_LARGEST_SIDE, _LARGEST_SIDE))


def with_way(hand: HandDetection, reading: PalmReading) -> HandDetection:
    """The detection with the way to the other wrist that the reading gives."""
    return replace(hand, wrist_offset=WristOffset(reading.wrist_offset, reading.wrist_offset_spread))


def own_detection(reading: PalmReading) -> HandDetection:
    """The reading as a detection of its own: where no other network sees the hand."""
    sure = reading.presence * np.exp(-reading.spread)
    score = float(np.clip(reading.presence, 0, 1))
    hand = HandDetection(
        reading.side, reading.pixels, reading.shape * DEFAULT_PALM_M, np.clip(sure, 0, 1), score, SOURCE
    )
    return with_way(hand, reading)


def match(hands: Sequence[HandDetection], seen: PalmsSeen) -> list[PalmReading | None]:
    """For each known hand the reading of the same hand, each reading once, nearest first."""
    found: list[PalmReading | None] = [None] * len(hands)
    pairs = sorted(
        (float(np.linalg.norm(hand.pixels - reading.pixels, axis=1).mean()) / reading.size, i, j)
        for i, hand in enumerate(hands)
        for j, reading in enumerate(seen.hands)
    )
    taken: set[int] = set()
    for distance, i, j in pairs:
        if distance < _SAME and found[i] is None and j not in taken:
            found[i] = seen.hands[j]
            taken.add(j)
    return found


def with_sides(hands: Sequence[HandDetection], seen: PalmsSeen) -> list[HandDetection]:
    """Known hands with what the two-hand network says of their sides and of the way between them."""
    made = []
    for hand, reading in zip(hands, match(hands, seen), strict=True):
        if reading is None:
            made.append(hand)
            continue
        sided = with_side(hand, float(log_odds_of(hand)) + side_evidence(reading))
        made.append(with_way(sided, reading))
    return made


def log_odds_of(hand: HandDetection) -> float:
    """Log odds of a right hand that a detection's side and score tell, bounded as the landmark network's."""
    return float(np.clip(evidence(hand), -8.0, 8.0)) if hand.score > 0.5 else float(log_odds(0.5))


def unmatched(hands: Sequence[HandDetection], seen: PalmsSeen) -> list[PalmReading]:
    """Readings of hands that are not known yet, surest first."""
    matched = [reading for reading in match(hands, seen) if reading is not None]
    return [reading for reading in seen.hands if all(reading is not other for other in matched)]


def _covers(hand: HandDetection, reading: PalmReading) -> bool:
    """Whether the reading is rather the known hand, badly told, than another one over it."""
    apart = float(np.linalg.norm(palm_centre(hand.pixels) - palm_centre(reading.pixels))) / reading.size
    return apart < _PALMS_APART or outline_distance(hand.pixels, reading.pixels) < _KNOWN_HAND


def fill(hands: Sequence[HandDetection], seen: PalmsSeen, least: float) -> list[HandDetection]:
    """The known hands and, for one that no network but the two-hand network sees, its own keypoints; at most two.

    ``least`` is the presence from which on a reading counts.
    """
    found = list(hands)
    for reading in unmatched(hands, seen):
        if len(found) < 2 and reading.presence >= least and not any(_covers(hand, reading) for hand in found):
            found.append(own_detection(reading))
    return found
