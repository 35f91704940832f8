"""Hands that may be in a picture: MediaPipe's, what the landmark network reads along all palms that are seen, and what
the two-hand network itself reads along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M
from im2hands.keypoints.proposing.palm_seeds import SEEDED, own_detection
from im2hands.keypoints.proposing.palms import PalmDetector, SuspectedPalms, joined
from im2hands.keypoints.proposing.two_hand_network import PalmReading, PalmsSeen
from im2hands.keypoints.proposing.two_hand_pictures import apply, inverse, palm_frame
from im2hands.keypoints.reading.consensus import Consensus, read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, Readings, crops_around

from .sides import palm_length

# Crops along a palm: from the wrist to beyond the fingers, as MediaPipe's own; turns in radians.
_TURNS, _SIZES = (0.0, -0.5, 0.5), (0.85, 1.15)
_CROP_SIZE, _CROP_UP = 2.9, 0.25
# Palms told by places side by side are often the same one.
_SAME_PALM, _SAME_TURN, _MOST_PALMS = 0.25, 0.4, 12
_KEEP_PRESENCE = 0.2
# Readings whose keypoints lie this close (mean, palm lengths) are one candidate.
_CLUSTER_RADIUS = 0.25
_MOST_CANDIDATES = 12
# Of the two-hand network's own readings the surest such as no crop led to, and no steady reading of a crop lies near
# (palm lengths, as what it says of a hand is rougher).
_MOST_OWN, _OWN_PRESENCE = 6, 0.45
_STEADY_PRESENCE, _STEADY_AGREEMENT, _STEADY_NEAR = 0.8, 0.7, 0.5
# The detector looks at what the hands fill of the picture once more if that is less than this share of it.
_CLOSER, _MARGIN = 0.7, 1.3
_ON_HAND = 0.5
# A suspected palm is a candidate's this near (palm lengths, radians).
_DETECTED_PLACE, _DETECTED_TURN = 0.6, 0.8


@dataclass(frozen=True)
class SidedReading:
    """What the network reads along a candidate if it is told which side to look for.

    Args:
        presence: that there is such a hand, [0, 1]. gap: mean distance of its keypoints from the candidate's, palm
            lengths. spread: how far off it thinks they are on average, palm lengths.
    """

    presence: float
    gap: float
    spread: float


UNREAD = SidedReading(0.5, 0.0, 0.0)
"""Of a candidate that was not read so."""


@dataclass(frozen=True)
class Candidate:
    """A hand that may be there.

    Args:
        look: what the landmark network says of it in a dozen crops. support: how many of the crops tried led to it,
            as a share. mediapipe_detection: MediaPipe's detection that it is; None if it was read along a palm.
            detector: the highest
            score that MediaPipe's palm detector gives a palm there. reading: the two-hand network's own, which no crop
            led to; None of others.
        by_side: what is read there if a left hand is looked for, and if a right one. mediapipe_presence: MediaPipe's
        presence of a
            hand there.
    """

    look: Consensus
    support: float
    mediapipe_detection: HandDetection | None = None
    detector: float = 0.0
    reading: PalmReading | None = None
    by_side: tuple[SidedReading, SidedReading] = (UNREAD, UNREAD)
    mediapipe_presence: float = 1.0

    def detection(self) -> HandDetection:
        """The candidate as a detection; its side is the likelier one by its own word."""
        if self.mediapipe_detection is not None:
            return self.mediapipe_detection
        return own_detection(self.reading) if self.reading is not None else self.look.detection(SEEDED)


def suspect_palms(detector: PalmDetector, image: np.ndarray, seen: PalmsSeen) -> SuspectedPalms:
    """What MediaPipe's palm detector half suspects: in the whole picture, and close up where hands are seen."""
    height, width = image.shape[:2]
    palms = detector.suspect(image)
    if seen.hand_map is None:
        return palms
    rows, columns = np.nonzero(seen.hand_map.values > _ON_HAND)
    if not len(rows):
        return palms
    low, high = (
        apply(inverse(seen.hand_map.affine), np.array([end(columns), end(rows)], dtype=np.float64))
        for end in (np.min, np.max)
    )
    side = _MARGIN * float((high - low).max())
    if not 16 <= side <= _CLOSER * max(height, width):
        return palms
    return joined(palms, detector.suspect(image, ((low + high) / 2, side)))


def find_candidates(
    network: LandmarkNetwork,
    image: np.ndarray,
    seen: PalmsSeen,
    detections: Sequence[HandDetection] = (),
    suspected: SuspectedPalms | None = None,
) -> list[Candidate]:
    """All hands that may be in a picture, the likelier ones first; some show one hand in several ways.

    Args:
        network: reads the crops. image: (H, W, 3) uint8 RGB. seen: what the two-hand network says of it. detections:
            MediaPipe's hands, which come first. suspected: what its palm detector half suspects.
    """
    palms = distinct_palms(seen)
    crops = [_crops(palm) for palm in palms]
    if suspected is not None and len(suspected.score):
        crops.append(suspected.crops())
    pixels = [hand.pixels for hand in detections]
    support = [1.0] * len(pixels)
    if crops:
        first = network.read(image, np.concatenate(crops))
        first = first.take(first.presence > _KEEP_PRESENCE)
        again = network.read(image, crops_around(first.pixels)) if len(first) else first
        again = again.take(again.presence > _KEEP_PRESENCE)
        for members, share in _clusters(first, again):
            near = [np.linalg.norm(members - p, axis=1).mean() < _CLUSTER_RADIUS * palm_length(p) for p in pixels]
            if not any(near):
                pixels.append(members)
                support.append(share)
    count = _MOST_CANDIDATES + len(detections)
    looks = read_repeatedly(network, image, np.array(pixels[:count])) if pixels else []
    known = [*detections, *[None] * len(pixels)]
    made = [
        Candidate(look, share, mediapipe_detection, _score_at(look.pixels, suspected))
        for look, share, mediapipe_detection in zip(looks, support, known, strict=False)
    ]
    for palm in _own_readings(palms, detections, looks):
        made.append(Candidate(_as_look(palm), 0.0, None, _score_at(palm.pixels, suspected), palm))
    return _read_by_side(network, image, made)


def _read_by_side(network: LandmarkNetwork, image: np.ndarray, candidates: list[Candidate]) -> list[Candidate]:
    """The candidates with what is read along them as left and as right hands, where the network can be told."""
    if not network.takes_sides or not candidates:
        return candidates
    pixels = np.array([candidate.look.pixels for candidate in candidates])
    crops, palms = crops_around(pixels), palm_length(pixels)
    told = []
    for side in (-1, 1):
        read = network.read(image, crops, side=side)
        gaps = np.linalg.norm(read.pixels - pixels, axis=-1).mean(axis=1) / palms
        numbers = zip(read.presence, gaps, read.spread.mean(axis=1), strict=True)
        told.append([SidedReading(*(float(number) for number in row)) for row in numbers])
    mediapipe_presence = network.mediapipe().read(image, crops).presence
    rows = zip(candidates, *told, mediapipe_presence, strict=True)
    return [replace(found, by_side=(left, right), mediapipe_presence=float(sure)) for found, left, right, sure in rows]


def _own_readings(
    palms: Sequence[PalmReading], detections: Sequence[HandDetection], looks: Sequence[Consensus]
) -> list[PalmReading]:
    """What the two-hand network reads where nothing else does."""
    known = [(hand.pixels, _CLUSTER_RADIUS) for hand in detections]
    for look in looks:
        steady = look.presence >= _STEADY_PRESENCE and look.agreement >= _STEADY_AGREEMENT
        known.append((look.pixels, _STEADY_NEAR if steady else _CLUSTER_RADIUS))
    return [
        palm
        for palm in palms
        if palm.presence >= _OWN_PRESENCE
        and all(
            np.linalg.norm(pixels - palm.pixels, axis=1).mean() > near * palm_length(palm.pixels)
            for pixels, near in known
        )
    ][:_MOST_OWN]


def _as_look(palm: PalmReading) -> Consensus:
    """A reading of the two-hand network in the words of a second look, which it has not had."""
    return Consensus(
        palm.presence, 0.0, palm.right, palm.right, palm.pixels, palm.shape * DEFAULT_PALM_M, palm.spread.clip(0, 1)
    )


def look_at(
    network: LandmarkNetwork,
    image: np.ndarray,
    hands: Sequence[HandDetection],
    suspected: SuspectedPalms | None = None,
) -> list[Candidate]:
    """Known hands as candidates, and no others."""
    looks = read_repeatedly(network, image, np.array([hand.pixels for hand in hands]))
    pairs = zip(looks, hands, strict=True)
    made = [Candidate(look, 1.0, hand, _score_at(look.pixels, suspected)) for look, hand in pairs]
    return _read_by_side(network, image, made)


def _score_at(pixels: np.ndarray, suspected: SuspectedPalms | None) -> float:
    """The detector's highest score of a palm about where this hand's is, and turned about as it is."""
    if suspected is None or not len(suspected.score):
        return 0.0
    centre, up = palm_frame(pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    near = np.linalg.norm(suspected.centre - centre, axis=-1) < _DETECTED_PLACE * palm_length(pixels)
    near &= np.abs(np.angle(np.exp(1j * (suspected.turn - turn)))) < _DETECTED_TURN
    return float(suspected.score[near].max(initial=0.0))


def distinct_palms(seen: PalmsSeen) -> list[PalmReading]:
    """The palms that are told of, surest first, without such as lie upon another one alike."""
    told = [*seen.hands, *seen.others, *(hand for pair in seen.pairs for hand in pair)]
    kept: list[PalmReading] = []
    for palm in sorted(told, key=lambda palm: -palm.presence):
        if len(kept) < _MOST_PALMS and not any(_alike(palm, other) for other in kept):
            kept.append(palm)
    return kept


def _alike(a: PalmReading, b: PalmReading) -> bool:
    (centre_a, up_a), (centre_b, up_b) = palm_frame(a.pixels), palm_frame(b.pixels)
    apart = float(np.linalg.norm(centre_a - centre_b)) / b.size
    turn = np.arctan2(up_a[0] * up_b[1] - up_a[1] * up_b[0], up_a @ up_b)
    return apart < _SAME_PALM and abs(float(turn)) < _SAME_TURN and abs(np.log(a.size / b.size)) < _SAME_PALM


def _crops(palm: PalmReading) -> np.ndarray:
    """Crops along a palm and around its keypoints, (7, 4)."""
    centre, up = palm_frame(palm.pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    x, y = centre + _CROP_UP * palm.size * np.array([np.sin(turn), -np.cos(turn)])
    along = [(x, y, _CROP_SIZE * palm.size * size, turn + by) for size in _SIZES for by in _TURNS]
    return np.array([*along, crops_around(palm.pixels[None])[0]])


def _clusters(*rounds: Readings) -> list[tuple[np.ndarray, float]]:
    """Groups of readings that show one hand in one way: keypoints (21, 2) of the surest, and the share of readings."""
    pixels = np.concatenate([readings.pixels for readings in rounds])
    presence = np.concatenate([readings.presence for readings in rounds])
    palms = palm_length(pixels) if len(pixels) else np.zeros(0)
    groups: list[tuple[float, np.ndarray, float]] = []
    order = np.argsort(-presence, kind="stable")
    while len(order):
        first = order[0]
        gaps = np.linalg.norm(pixels[order] - pixels[first], axis=-1).mean(axis=1) / palms[first]
        near = gaps < _CLUSTER_RADIUS
        share = float(near.sum()) / len(pixels)
        middle = np.median(pixels[order[near]], axis=0)
        groups.append((float(presence[order[near]].mean()) * (1 - np.exp(-20 * share)), middle, share))
        order = order[~near]
    return [(middle, share) for _, middle, share in sorted(groups, key=lambda group: -group[0])]
