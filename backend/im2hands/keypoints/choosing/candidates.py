"""Collects the candidates: all hands that may be in a picture, from every network.

Three kinds: MediaPipe's detections, readings of crops along all proposed palms, and the two-hand network's own
readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M
from im2hands.keypoints.proposing.palm_seeds import SEEDED, own_detection
from im2hands.keypoints.proposing.palms import PalmDetector, SuspectedPalms, joined
from im2hands.keypoints.proposing.two_hand_network import HandReading, PictureReading
from im2hands.keypoints.proposing.two_hand_pictures import apply, inverse, palm_frame
from im2hands.keypoints.reading.consensus import Consensus, read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, Readings, crops_around

from .sides import palm_length

# Crops along a palm reach from the wrist to beyond the fingers, like MediaPipe's: turns (radians), size factors, size
# and shift towards the fingers (palm lengths).
_TURNS, _SIZES = (0.0, -0.5, 0.5), (0.85, 1.15)
_CROP_SIZE, _CROP_UP = 2.9, 0.25
# Two palm readings are one palm within this distance (palm lengths; also the logarithm of the size ratio) and this turn
# (radians): neighbouring places of the two-hand network often read the same palm. Then the number of palms kept.
_SAME_PALM, _SAME_TURN, _MOST_PALMS = 0.25, 0.4, 12
# Least presence of a reading to be kept.
_KEEP_PRESENCE = 0.2
# Readings whose keypoints lie this close (mean, palm lengths) are one candidate.
_CLUSTER_RADIUS = 0.25
_MOST_CANDIDATES = 12
# The two-hand network's own readings: how many are kept at most, and from which presence on.
_MOST_OWN, _OWN_PRESENCE = 6, 0.45
# An own reading is dropped if a steady reading of a crop (presence, agreement) lies within this distance (mean, palm
# lengths). It is larger than the cluster radius because own readings are less accurate.
_STEADY_PRESENCE, _STEADY_AGREEMENT, _STEADY_NEAR = 0.8, 0.7, 0.5
# The palm detector also runs on the square around the hands, enlarged by the margin, if that square is smaller than
# this share of the picture.
_CLOSER, _MARGIN = 0.7, 1.3
# Probability from which on a place of the hand map belongs to a hand.
_ON_HAND = 0.5
# A palm of the detector belongs to a candidate within this distance (palm lengths) and turn (radians).
_DETECTED_PLACE, _DETECTED_TURN = 0.6, 0.8


@dataclass(frozen=True)
class SidedReading:
    """The reading network's answer for a candidate's crop when it is given a side.

    Parameters
    ----------
    presence : float
        Probability that a hand of that side is there, in [0, 1].
    gap : float
        Mean distance of its keypoints from the candidate's, palm lengths.
    spread : float
        Mean error of the keypoints as the network predicts it, palm lengths.
    """

    presence: float
    gap: float
    spread: float


UNREAD = SidedReading(0.5, 0.0, 0.0)
"""Stands for a reading that was not made, because the network cannot be given a side."""


@dataclass(frozen=True)
class Candidate:
    """A hand that may be there.

    Parameters
    ----------
    look : Consensus
        Consensus of repeated readings of crops. For a candidate with ``reading`` it is that reading in the same form,
        with agreement 0.
    support : float
        Share of the readings of all crops that fall on this candidate; 1 for a known detection, 0 for a candidate with
        ``reading``.
    mediapipe_detection : HandDetection or None
        The known detection (as a rule MediaPipe's) that the candidate stands for. None for one read along a palm.
    detector : float
        Highest score of MediaPipe's palm detector for a palm at this place.
    reading : HandReading or None
        The two-hand network's own reading, if no crop led to this hand. None for all other candidates.
    by_side : tuple[SidedReading, SidedReading]
        The readings when the network is given the left and the right side.
    mediapipe_presence : float
        Presence of a hand at this place according to MediaPipe's network, in [0, 1].
    """

    look: Consensus
    support: float
    mediapipe_detection: HandDetection | None = None
    detector: float = 0.0
    reading: HandReading | None = None
    by_side: tuple[SidedReading, SidedReading] = (UNREAD, UNREAD)
    mediapipe_presence: float = 1.0

    def detection(self) -> HandDetection:
        """Return the candidate as a detection, with the side that its own reading gives."""
        if self.mediapipe_detection is not None:
            return self.mediapipe_detection
        return own_detection(self.reading) if self.reading is not None else self.look.detection(SEEDED)


def suspect_palms(detector: PalmDetector, image: np.ndarray, picture_reading: PictureReading) -> SuspectedPalms:
    """Run MediaPipe's palm detector with a low threshold: on the whole picture, and on the part where hands are.

    Parameters
    ----------
    detector : PalmDetector
        MediaPipe's palm detector.
    image : (H, W, 3) uint8
        RGB picture.
    picture_reading : PictureReading
        The two-hand network's reading of the picture. Its hand map gives the part where hands are.

    Returns
    -------
    SuspectedPalms
        The palms of both runs, pixels of the picture.
    """
    height, width = image.shape[:2]
    palms = detector.suspect(image)
    if picture_reading.hand_map is None:
        return palms
    rows, columns = np.nonzero(picture_reading.hand_map.values > _ON_HAND)
    if not len(rows):
        return palms
    low, high = (
        apply(inverse(picture_reading.hand_map.affine), np.array([end(columns), end(rows)], dtype=np.float64))
        for end in (np.min, np.max)
    )
    side = _MARGIN * float((high - low).max())
    if not 16 <= side <= _CLOSER * max(height, width):
        return palms
    return joined(palms, detector.suspect(image, ((low + high) / 2, side)))


def find_candidates(
    network: LandmarkNetwork,
    image: np.ndarray,
    picture_reading: PictureReading,
    detections: Sequence[HandDetection] = (),
    suspected: SuspectedPalms | None = None,
) -> list[Candidate]:
    """Collect all hands that may be in a picture.

    One hand may appear as several candidates with different keypoints.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    detections : Sequence[HandDetection]
        The hands known already, as a rule MediaPipe's. They come first in the result.
    suspected : SuspectedPalms or None
        Palms of MediaPipe's palm detector, see ``suspect_palms``.

    Returns
    -------
    list[Candidate]
        The known hands, then the hands read in crops, likelier ones first, then the two-hand network's own readings.
    """
    palms = distinct_palms(picture_reading)
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
        made.append(Candidate(_as_consensus(palm), 0.0, None, _score_at(palm.pixels, suspected), palm))
    return _read_by_side(network, image, made)


def _read_by_side(network: LandmarkNetwork, image: np.ndarray, candidates: list[Candidate]) -> list[Candidate]:
    """Add to the candidates their readings as left and as right hands, if the network can be given a side."""
    if not network.takes_sides or not candidates:
        return candidates
    pixels = np.array([candidate.look.pixels for candidate in candidates])
    crops, palms = crops_around(pixels), palm_length(pixels)
    sided = []
    for side in (-1, 1):
        read = network.read(image, crops, side=side)
        gaps = np.linalg.norm(read.pixels - pixels, axis=-1).mean(axis=1) / palms
        numbers = zip(read.presence, gaps, read.spread.mean(axis=1), strict=True)
        sided.append([SidedReading(*(float(number) for number in row)) for row in numbers])
    mediapipe_presence = network.mediapipe().read(image, crops).presence
    rows = zip(candidates, *sided, mediapipe_presence, strict=True)
    return [replace(found, by_side=(left, right), mediapipe_presence=float(sure)) for found, left, right, sure in rows]


def _own_readings(
    palms: Sequence[HandReading], detections: Sequence[HandDetection], looks: Sequence[Consensus]
) -> list[HandReading]:
    """Select the two-hand network's readings that lie on no detection and on no reading of a crop."""
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


def _as_consensus(palm: HandReading) -> Consensus:
    """Write a reading of the two-hand network as a consensus. Its agreement is 0: there were no repeated readings."""
    return Consensus(
        palm.presence, 0.0, palm.right, palm.right, palm.pixels, palm.shape * DEFAULT_PALM_M, palm.spread.clip(0, 1)
    )


def known_candidates(
    network: LandmarkNetwork,
    image: np.ndarray,
    hands: Sequence[HandDetection],
    suspected: SuspectedPalms | None = None,
) -> list[Candidate]:
    """Return the known hands as candidates, without looking for others.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    hands : Sequence[HandDetection]
        The known hands.
    suspected : SuspectedPalms or None
        Palms of MediaPipe's palm detector, see ``suspect_palms``.

    Returns
    -------
    list[Candidate]
        One candidate per hand, in order.
    """
    looks = read_repeatedly(network, image, np.array([hand.pixels for hand in hands]))
    pairs = zip(looks, hands, strict=True)
    made = [Candidate(look, 1.0, hand, _score_at(look.pixels, suspected)) for look, hand in pairs]
    return _read_by_side(network, image, made)


def _score_at(pixels: np.ndarray, suspected: SuspectedPalms | None) -> float:
    """Return the palm detector's highest score for a palm at this hand's place and turn."""
    if suspected is None or not len(suspected.score):
        return 0.0
    centre, up = palm_frame(pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    near = np.linalg.norm(suspected.centre - centre, axis=-1) < _DETECTED_PLACE * palm_length(pixels)
    near &= np.abs(np.angle(np.exp(1j * (suspected.turn - turn)))) < _DETECTED_TURN
    return float(suspected.score[near].max(initial=0.0))


def distinct_palms(picture_reading: PictureReading) -> list[HandReading]:
    """Return the palms that the two-hand network read, each once.

    Parameters
    ----------
    picture_reading : PictureReading
        The two-hand network's reading of the picture.

    Returns
    -------
    list[HandReading]
        At most 12 palms, highest presence first. Of palms with the same place, turn and size only the first is kept.
    """
    palms = [
        *picture_reading.hands,
        *picture_reading.others,
        *(hand for pair in picture_reading.pairs for hand in pair),
    ]
    kept: list[HandReading] = []
    for palm in sorted(palms, key=lambda palm: -palm.presence):
        if len(kept) < _MOST_PALMS and not any(_alike(palm, other) for other in kept):
            kept.append(palm)
    return kept


def _alike(a: HandReading, b: HandReading) -> bool:
    """Return whether two readings have the same palm: place, turn and size."""
    (centre_a, up_a), (centre_b, up_b) = palm_frame(a.pixels), palm_frame(b.pixels)
    apart = float(np.linalg.norm(centre_a - centre_b)) / b.size
    turn = np.arctan2(up_a[0] * up_b[1] - up_a[1] * up_b[0], up_a @ up_b)
    return apart < _SAME_PALM and abs(float(turn)) < _SAME_TURN and abs(np.log(a.size / b.size)) < _SAME_PALM


def _crops(palm: HandReading) -> np.ndarray:
    """Return the crops along a palm and around its keypoints, (7, 4)."""
    centre, up = palm_frame(palm.pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    x, y = centre + _CROP_UP * palm.size * np.array([np.sin(turn), -np.cos(turn)])
    along = [(x, y, _CROP_SIZE * palm.size * size, turn + by) for size in _SIZES for by in _TURNS]
    return np.array([*along, crops_around(palm.pixels[None])[0]])


def _clusters(*rounds: Readings) -> list[tuple[np.ndarray, float]]:
    """Group readings with the same keypoints, most likely group first.

    Returns for each group the median keypoints (21, 2) and the group's share of all readings.
    """
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
