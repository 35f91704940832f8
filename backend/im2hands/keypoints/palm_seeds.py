"""Fingers along a palm: the landmark network where the two-hand network sees a palm; what both say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .landmark_network import LandmarkNetwork, crops_around
from .palm_pictures import palm_frame
from .palm_reader import PalmReading, PalmsSeen
from .provider import HandDetection, Way
from .second_look import SecondLook, look_again
from .sides import evidence, log_odds, outline_distance, palm_centre, palm_length, with_side

SOURCE = "network"
"""Source of hands whose keypoints the two-hand network gives itself."""

SEEDED = "palm_seed"
"""Source of hands that the landmark network reads where the two-hand network sees a palm."""

# Turns (radians) and sizes of the crops along a palm. From the wrist to beyond the fingers, as MediaPipe's own crops.
_TURNS, _SIZES = (0.0, -0.5, 0.5), (0.85, 1.15)
_CROP_SIZE, _CROP_UP = 2.9, 0.25
_KEEP_PRESENCE, _RECROPS, _LOOK_AT = 0.3, 1, 3
# Keypoints of one hand as both networks see them lie this far apart (mean, palm lengths) at most.
_LARGEST_GAP = 0.9
_GAP = 0.55
# Known hands and readings are one hand up to this distance (mean, palm lengths).
_SAME = 0.75
# A crop's hand with this much of an outline on a known hand is that hand.
_KNOWN_HAND = 0.2
ACCEPT = 0.2
# Logarithm (base 2) of the ratio of one person's two palms in a picture.
_LARGEST_RATIO = 1.0
# What the two-hand network says of sides counts this much beside the landmark network, log odds.
_SIDE_WEIGHT, _LARGEST_SIDE = 1.0, 4.0
# Keypoints that only the two-hand network gives: a hand this sure at least, where it is asked alone and beside others.
# In photographs of one hand it sees second ones up to 0.8.
FILL_ALONE, FILL_BESIDE = 0.55, 0.85
# Its palm lies at least this far (palm lengths) from that of a known hand.
_PALMS_APART = 0.2


@dataclass(frozen=True)
class Seeded:
    """A hand read along a palm.

    Args:
        look: what the landmark network says. reading: the palm. value: how sure it is that both are one hand, [0, 1].
    """

    look: SecondLook
    reading: PalmReading
    value: float

    def detection(self) -> HandDetection:
        """With the side that both networks give together."""
        hand = self.look.detection(SEEDED)
        return with_way(with_side(hand, self.look.right + side_evidence(self.reading)), self.reading)


def side_evidence(reading: PalmReading) -> float:
    """Log odds of a right hand that a reading adds to what else is known."""
    return float(np.clip(_SIDE_WEIGHT * reading.right, -_LARGEST_SIDE, _LARGEST_SIDE))


def with_way(hand: HandDetection, reading: PalmReading) -> HandDetection:
    """The detection with the way to the other wrist that the reading gives."""
    return replace(hand, way=Way(reading.way, reading.way_spread))


def read_fingers(
    network: LandmarkNetwork, image: np.ndarray, reading: PalmReading, known: Sequence[HandDetection] = ()
) -> Seeded | None:
    """What the landmark network sees along a palm.

    Args:
        network: reads the crops. image: (H, W, 3) uint8 RGB. known: hands that it is not to see once more.

    Returns:
        The hand that goes best with the palm, or None where none does.
    """
    readings = network.read(image, _crops(reading))
    for _ in range(1 + _RECROPS):
        readings = readings.take(readings.presence > _KEEP_PRESENCE)
        if not len(readings):
            return None
        readings = network.read(image, crops_around(readings.pixels))
    gaps = np.linalg.norm(readings.pixels - reading.pixels, axis=-1).mean(axis=1) / reading.size
    free = [all(outline_distance(p, hand.pixels) > _KNOWN_HAND for hand in known) for p in readings.pixels]
    agree = np.array(free) & (gaps < _LARGEST_GAP) & (readings.presence > _KEEP_PRESENCE)
    order = [k for k in np.argsort(-readings.presence * np.exp(-((gaps / _GAP) ** 2)), kind="stable") if agree[k]]
    chosen: list[int] = []
    for k in order:
        distances = [np.linalg.norm(readings.pixels[k] - readings.pixels[c], axis=1).mean() for c in chosen]
        if len(chosen) < _LOOK_AT and all(d > 0.2 * reading.size for d in distances):
            chosen.append(int(k))
    if not chosen:
        return None
    looks = look_again(network, image, readings.pixels[chosen])
    made = [Seeded(look, reading, _together(look, reading)) for look in looks]
    made = [one for one in made if all(outline_distance(one.look.pixels, h.pixels) > _KNOWN_HAND for h in known)]
    return max(made, key=lambda one: one.value, default=None)


def _crops(reading: PalmReading) -> np.ndarray:
    """Crops along the palm and around the reading's own keypoints, (N, 4)."""
    centre, up = palm_frame(reading.pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    unit = np.array([np.sin(turn), -np.cos(turn)])
    x, y = centre + _CROP_UP * reading.size * unit
    bases = np.array([(x, y, _CROP_SIZE * reading.size, turn), crops_around(reading.pixels[None])[0]])
    crops = [base * (1, 1, size, 1) + (0, 0, 0, turn) for base in bases for size in _SIZES for turn in _TURNS]
    return np.array(crops)


def _together(look: SecondLook, reading: PalmReading) -> float:
    """How sure it is that what was looked at is the reading's hand, [0, 1]."""
    gap = float(np.linalg.norm(look.pixels - reading.pixels, axis=1).mean()) / reading.size
    sizes = float(np.log(palm_length(look.pixels) / palm_length(reading.pixels)))
    value = look.presence**2 * look.agreement * np.exp(-((gap / _GAP) ** 2)) * np.exp(-((sizes / 0.7) ** 2))
    right = side_evidence(reading)
    if look.right * right < 0:
        value *= np.exp(-min(abs(look.right), abs(right)) / 3)
    return float(value)


def own_detection(reading: PalmReading) -> HandDetection:
    """The reading as a detection of its own: where no other network sees the hand."""
    sure = reading.presence * np.exp(-reading.spread)
    score = float(np.clip(reading.presence, 0, 1))
    hand = HandDetection(reading.side, reading.pixels, reading.shape * 0.088, np.clip(sure, 0, 1), score, SOURCE)
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


def complete(
    network: LandmarkNetwork, image: np.ndarray, hands: Sequence[HandDetection], seen: PalmsSeen
) -> list[HandDetection]:
    """The known hands and those that the landmark network reads along palms no known hand belongs to; at most two."""
    found = list(hands)
    for reading in unmatched(hands, seen):
        if len(found) >= 2:
            break
        seeded = read_fingers(network, image, reading, found)
        if seeded is not None and seeded.value >= ACCEPT and all(_one_size(hand, seeded.look) for hand in found):
            found.append(seeded.detection())
    return found


def _one_size(hand: HandDetection, look: SecondLook) -> bool:
    """Whether both could be one person's hands."""
    return abs(float(np.log2(palm_length(look.pixels) / palm_length(hand.pixels)))) < _LARGEST_RATIO


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
