"""Features of the hypotheses, one by one and in pairs: the inputs of the pair judge.

The names of the features, in order, are ``networks.pair_judge.SINGLE_FEATURES`` and ``PAIR_FEATURES``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from im2hands.keypoints.hand_geometry import log_odds, outline_distance, palm_centre, palm_length
from im2hands.keypoints.hypothesis import Hypothesis, PhotoReading, SidedReading
from im2hands.keypoints.proposing.two_hand_network import HandMap, HandReading, PictureReading
from im2hands.networks.pair_judge import MEASURED_BY, PAIR_FEATURES, SINGLE_FEATURES

# Features that are log odds of a right hand. Their sign changes where a hypothesis is judged as a left hand.
_SIGNED = [SINGLE_FEATURES.index(name) for name in ("network_right", "shape_right", "palm_right", "photo_right")]
_BONES = tuple((0 if k % 4 == 1 else k - 1, k) for k in range(1, 21))
_PALM_OUTLINE = (0, 1, 5, 9, 13, 17)
_OF_MAP = MEASURED_BY["two-hand network"]
# Side of the map on which hands are drawn where the two-hand network was not run.
_MAP_PIXELS = 64
# Width of a drawn finger, palm lengths.
_FINGER = 0.2
# Mean distance (palm lengths) beyond which a reading of the two-hand network does not belong to a hypothesis.
_FARTHEST = 2.0
# Log odds are clipped to this magnitude before they are scaled to [-1, 1].
_LARGEST_SIDE = 6.0


def features(
    hypotheses: Sequence[Hypothesis], picture_reading: PictureReading, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of N hypotheses.

    Parameters
    ----------
    hypotheses : Sequence[Hypothesis]
        The hypotheses.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    size : tuple[int, int]
        Width and height of the picture, pixels.

    Returns
    -------
    single : (N, 2, len(SINGLE_FEATURES)) float64
        Features of each hypothesis as a left and as a right hand. NaN: the network that measures it was not run.
    pairs : (N, N, len(PAIR_FEATURES)) float64
        Features of each pair, symmetric.
    """
    count = len(hypotheses)
    hand_map = picture_reading.hand_map or _empty_map(size)
    drawn = [_drawn(hand.pixels, hand_map) for hand in hypotheses]
    known = picture_reading.pairs or ((picture_reading.hands,) if picture_reading.hands else ())
    palms = [(hand, pair[1 - k] if len(pair) == 2 else None) for pair in known for k, hand in enumerate(pair)]
    gaps = _gaps(hypotheses, [hand for hand, _ in palms])
    to_partner = np.maximum(gaps[:, None], _gaps(hypotheses, [other for _, other in palms])).min(2, initial=np.inf)
    as_pair = np.minimum(to_partner, to_partner.T)
    rows = zip(hypotheses, drawn, gaps, strict=True)
    single = np.array([_single(hand, shown, hand_map, palms, near, size) for hand, shown, near in rows])
    pairs = np.zeros((count, count, len(PAIR_FEATURES)))
    for i in range(count):
        for j in range(i):
            gap = float(as_pair[i, j])
            pairs[i, j] = pairs[j, i] = _pair(hypotheses[i], hypotheses[j], drawn[i], drawn[j], hand_map, gap)
    single = single.reshape(count, len(SINGLE_FEATURES) - 3)
    mirrored = single.copy()
    mirrored[:, _SIGNED] *= -1
    both = np.stack([mirrored, single], axis=1)
    roles = np.array([[_in_role(read) for read in hand.sided] for hand in hypotheses])
    single = np.concatenate([both, roles.reshape(count, 2, 3)], axis=2)
    if picture_reading.hand_map is None:
        single[..., [SINGLE_FEATURES.index(name) for name in _OF_MAP if name in SINGLE_FEATURES]] = np.nan
        pairs[..., [PAIR_FEATURES.index(name) for name in _OF_MAP if name in PAIR_FEATURES]] = np.nan
    return single, pairs


def _empty_map(size: tuple[int, int]) -> HandMap:
    """Return a map of zeros over the whole picture, on which hands can be drawn."""
    scale = _MAP_PIXELS / max(size)
    return HandMap(np.zeros((_MAP_PIXELS, _MAP_PIXELS)), np.column_stack([scale * np.eye(2), np.zeros(2)]))


def _of_photo(read: PhotoReading | None) -> list[float]:
    """Return the four features of the reading of MediaPipe's network, taken for a right hand."""
    if read is None:
        return [0.0, 0.0, 0.0, 0.0]
    return [float(log_odds(read.presence)) / 4, _bounded(read.right), min(read.gap, _FARTHEST), min(read.scatter, 1.0)]


def _in_role(read: SidedReading) -> list[float]:
    """Return the three features of a hypothesis's reading as a hand of one side."""
    return [float(log_odds(read.presence)) / 4, min(read.gap, _FARTHEST), min(read.spread, 1.0)]


def _single(
    hand: Hypothesis,
    drawn: np.ndarray,
    hand_map: HandMap,
    palms: Sequence[tuple[HandReading, HandReading | None]],
    gaps: np.ndarray,
    size: tuple[int, int],
) -> list[float]:
    """Return the features of one hypothesis as a right hand, without the three of ``_in_role``."""
    on_hands = hand_map.at(hand.pixels)
    within = ((hand.pixels > -0.5) & (hand.pixels < np.array(size) - 0.5)).all(axis=-1)
    nearest = int(np.argmin(gaps)) if gaps.min(initial=np.inf) < _FARTHEST else None
    beside = [_FARTHEST, 0.0, 0.0, 0.0, 0.0, 0.0]
    if nearest is not None:
        palm = palms[nearest][0]
        ratio = float(np.log(palm_length(hand.pixels) / palm_length(palm.pixels)))
        agree = _bounded(hand.right * palm.right)
        beside = [float(gaps[nearest]), abs(ratio), palm.presence, _bounded(palm.right), agree, float(palm.hidden)]
    drawn_on_hands = float(hand_map.values[drawn].mean()) if drawn.any() else 0.0
    return [
        float(log_odds(hand.presence)) / 4, hand.agreement, min(float(hand.spread.mean()), 1.0), hand.support,
        _bounded(hand.network_right), _bounded(hand.shape_right), _bounded(hand.network_right * hand.shape_right),
        hand.task, float(hand.own), float(on_hands.mean()), float(hand_map.at(palm_centre(hand.pixels)[None])[0]),
        drawn_on_hands, float(within.mean()), *beside, hand.detector, *_of_photo(hand.photo),
    ]  # fmt: skip


def _pair(
    a: Hypothesis,
    b: Hypothesis,
    drawn_a: np.ndarray,
    drawn_b: np.ndarray,
    hand_map: HandMap,
    gap: float,
) -> list[float]:
    """Return the features of a pair; symmetric in the two hypotheses. ``gap``: see the feature "partner_gap"."""
    first, second = a.pixels, b.pixels
    sizes = float(palm_length(first)), float(palm_length(second))
    larger = max(sizes)
    apart = float(np.linalg.norm(first - second, axis=1).mean()) / larger
    palm_gap = float(np.linalg.norm(palm_centre(first) - palm_centre(second))) / larger
    one_side = np.sign(a.right * b.right) * min(abs(a.right), abs(b.right))
    either, both = drawn_a | drawn_b, drawn_a & drawn_b
    whole = max(float(hand_map.values.sum()), 1e-6)
    alone = [float(hand_map.values[drawn].sum()) / whole for drawn in (drawn_a, drawn_b)]
    together = float(hand_map.values[either].sum()) / whole
    return [
        min(outline_distance(first, second), 2.0), min(apart, 4.0), min(palm_gap, 4.0),
        abs(float(np.log2(sizes[0] / sizes[1]))), _bounded(one_side),
        float(both.sum()) / max(float(either.sum()), 1.0), together, together - max(alone),
        float(both.sum()) / max(min(float(drawn_a.sum()), float(drawn_b.sum())), 1.0), min(gap, _FARTHEST),
        float(gap < _FARTHEST),
    ]  # fmt: skip


def _bounded(side: float) -> float:
    """Clip log odds, or a product of two, and scale them to [-1, 1]."""
    return float(np.clip(side, -_LARGEST_SIDE, _LARGEST_SIDE)) / _LARGEST_SIDE


def _gaps(hypotheses: Sequence[Hypothesis], palms: Sequence[HandReading | None]) -> np.ndarray:
    """Return the mean distances (N, P) of N hypotheses from P readings of the two-hand network, palm lengths.

    They are infinite where there is no reading.
    """
    made = np.full((len(hypotheses), len(palms)), np.inf)
    there = [k for k, palm in enumerate(palms) if palm is not None]
    if there and hypotheses:
        known = [palm for palm in palms if palm is not None]
        apart = np.array([hand.pixels for hand in hypotheses])[:, None] - np.array([palm.pixels for palm in known])
        made[:, there] = np.linalg.norm(apart, axis=-1).mean(axis=-1) / np.array([palm.size for palm in known])
    return made


def _drawn(pixels: np.ndarray, hand_map: HandMap) -> np.ndarray:
    """Return the places of the hand map that a hand with these keypoints covers, bool."""
    image = np.zeros(hand_map.values.shape, np.uint8)
    points = pixels @ hand_map.affine[:, :2].T + hand_map.affine[:, 2]
    points = np.clip(points, -1000, 1000)
    scale = float(np.linalg.norm(hand_map.affine[:, 0]))
    width = max(round(_FINGER * float(palm_length(pixels)) * scale), 1)
    fixed = np.rint(points * 8).astype(np.int32)
    cv2.fillConvexPoly(image, cv2.convexHull(fixed[list(_PALM_OUTLINE)]), 1, cv2.LINE_8, 3)
    for start, end in _BONES:
        cv2.line(image, tuple(map(int, fixed[start])), tuple(map(int, fixed[end])), 1, width, cv2.LINE_8, 3)
    return image.astype(bool)
