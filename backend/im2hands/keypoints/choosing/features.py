"""Features of the candidates, one by one and in pairs: the inputs of the pair judge.

The names of the features, in order, are ``networks.pair_judge.SINGLE_FEATURES`` and ``PAIR_FEATURES``.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from im2hands.keypoints.proposing.two_hand_network import HandMap, HandReading, PictureReading
from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES

from .candidates import Candidate, SidedReading
from .sides import log_odds, outline_distance, palm_centre, palm_length

# Features that are log odds of a right hand. Their sign changes where a candidate is judged as a left hand.
_SIGNED = [SINGLE_FEATURES.index(name) for name in ("network_right", "shape_right", "palm_right")]
_BONES = tuple((0 if k % 4 == 1 else k - 1, k) for k in range(1, 21))
_PALM_OUTLINE = (0, 1, 5, 9, 13, 17)
# Width of a drawn finger, palm lengths.
_FINGER = 0.2
# Mean distance (palm lengths) beyond which a reading of the two-hand network does not belong to a candidate.
_FARTHEST = 2.0
# Log odds are clipped to this magnitude before they are scaled to [-1, 1].
_LARGEST_SIDE = 6.0


def features(
    candidates: Sequence[Candidate], picture_reading: PictureReading, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of N candidates.

    Parameters
    ----------
    candidates : Sequence[Candidate]
        The candidates.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    size : tuple[int, int]
        Width and height of the picture, pixels.

    Returns
    -------
    single : (N, 2, len(SINGLE_FEATURES)) float64
        Features of each candidate as a left and as a right hand.
    pairs : (N, N, len(PAIR_FEATURES)) float64
        Features of each pair, symmetric.
    """
    count = len(candidates)
    hand_map = picture_reading.hand_map or HandMap(np.zeros((1, 1)), np.zeros((2, 3)))
    drawn = [_drawn(candidate.look.pixels, hand_map) for candidate in candidates]
    known = picture_reading.pairs or ((picture_reading.hands,) if picture_reading.hands else ())
    palms = [(hand, pair[1 - k] if len(pair) == 2 else None) for pair in known for k, hand in enumerate(pair)]
    single = np.array([_single(c, d, hand_map, palms, size) for c, d in zip(candidates, drawn, strict=True)])
    pairs = np.zeros((count, count, len(PAIR_FEATURES)))
    for i in range(count):
        for j in range(i):
            pairs[i, j] = pairs[j, i] = _pair(candidates[i], candidates[j], drawn[i], drawn[j], hand_map, palms)
    single = single.reshape(count, len(SINGLE_FEATURES) - 3)
    mirrored = single.copy()
    mirrored[:, _SIGNED] *= -1
    both = np.stack([mirrored, single], axis=1)
    roles = np.array([[_in_role(read) for read in candidate.by_side] for candidate in candidates])
    return np.concatenate([both, roles.reshape(count, 2, 3)], axis=2), pairs


def _in_role(read: SidedReading) -> list[float]:
    """Return the three features of a candidate's reading as a hand of one side."""
    return [float(log_odds(read.presence)) / 4, min(read.gap, _FARTHEST), min(read.spread, 1.0)]


def _single(
    candidate: Candidate,
    drawn: np.ndarray,
    hand_map: HandMap,
    palms: Sequence[tuple[HandReading, HandReading | None]],
    size: tuple[int, int],
) -> list[float]:
    """Return the features of one candidate as a right hand, without the three of ``_in_role``."""
    look = candidate.look
    on_hands = hand_map.at(look.pixels)
    within = ((look.pixels > -0.5) & (look.pixels < np.array(size) - 0.5)).all(axis=-1)
    shape_right = look.right - look.network_right
    gaps = [_gap(look.pixels, palm) for palm, _ in palms]
    nearest = int(np.argmin(gaps)) if gaps and min(gaps) < _FARTHEST else None
    beside = [_FARTHEST, 0.0, 0.0, 0.0, 0.0, 0.0]
    if nearest is not None:
        palm = palms[nearest][0]
        ratio = float(np.log(palm_length(look.pixels) / palm_length(palm.pixels)))
        agree = _bounded(look.right * palm.right)
        beside = [gaps[nearest], abs(ratio), palm.presence, _bounded(palm.right), agree, float(palm.hidden)]
    drawn_on_hands = float(hand_map.values[drawn].mean()) if drawn.any() else 0.0
    return [
        float(log_odds(look.presence)) / 4, look.agreement, min(float(look.spread.mean()), 1.0), candidate.support,
        _bounded(look.network_right), _bounded(shape_right), _bounded(look.network_right * shape_right),
        float(candidate.mediapipe_detection is not None), float(candidate.reading is not None), float(on_hands.mean()),
        float(hand_map.at(palm_centre(look.pixels)[None])[0]), drawn_on_hands, float(within.mean()),
        *beside, candidate.detector,
    ]  # fmt: skip


def _pair(
    a: Candidate,
    b: Candidate,
    drawn_a: np.ndarray,
    drawn_b: np.ndarray,
    hand_map: HandMap,
    palms: Sequence[tuple[HandReading, HandReading | None]],
) -> list[float]:
    """Return the features of a pair; symmetric in the two candidates."""
    first, second = a.look.pixels, b.look.pixels
    sizes = float(palm_length(first)), float(palm_length(second))
    larger = max(sizes)
    apart = float(np.linalg.norm(first - second, axis=1).mean()) / larger
    palm_gap = float(np.linalg.norm(palm_centre(first) - palm_centre(second))) / larger
    one_side = np.sign(a.look.right * b.look.right) * min(abs(a.look.right), abs(b.look.right))
    either, both = drawn_a | drawn_b, drawn_a & drawn_b
    whole = max(float(hand_map.values.sum()), 1e-6)
    alone = [float(hand_map.values[drawn].sum()) / whole for drawn in (drawn_a, drawn_b)]
    together = float(hand_map.values[either].sum()) / whole
    partner = [
        max(_gap(x, palm), _gap(y, other))
        for palm, other in palms
        if other is not None
        for x, y in ((first, second), (second, first))
    ]
    gap = min(partner, default=_FARTHEST)
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


def _gap(pixels: np.ndarray, palm: HandReading) -> float:
    """Return the mean distance of keypoints (21, 2) from a reading of the two-hand network, palm lengths."""
    return float(np.linalg.norm(pixels - palm.pixels, axis=1).mean()) / palm.size


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
