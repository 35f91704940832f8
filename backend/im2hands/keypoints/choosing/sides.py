"""Decides which hand is the left and which the right: evidence in one picture, and steady sides over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import HandDetection

# Log odds per unit of chirality. Fingers and thumb bend towards the palm, so a hand's 3D shape shows which of its
# surfaces is the palm, and with it the side. Measured: correct on 31 of 31 real hands.
CHIRALITY_WEIGHT = 4.0
# Weight of the thumb in the chirality; the fingers together weigh 1.
_THUMB_SHARE = 0.5
# Keypoints whose mean is the palm's centre.
_PALM = (0, 5, 9, 13, 17)
_LARGEST_LOG_ODDS = 4.0

# Two detections whose outlines lie this close (palm lengths) show one hand.
SAME_HAND = 0.25
# Log odds. If both of two hands claim one side with at least this certainty, they belong to two people.
_CERTAIN = 5.0
# How likely two of many hands are one person's: what is subtracted from the sum of their scores per palm length between
# them, and if both have the same side.
_PER_PALM_APART, _ONE_SIDE = 0.1, 0.7
# A track's evidence is multiplied by this factor in every frame, and clipped to this magnitude (log odds).
_MEMORY = 0.9
_LARGEST_EVIDENCE = 20.0
# A hand farther than this (mean, palm lengths) from a track is another hand.
_TRACK_REACH = 1.5


def palm_length(pixels: np.ndarray) -> np.ndarray:
    """Return a hand's size in the picture.

    The larger of two lengths: wrist to middle MCP, and 0.6 of the keypoints' extent. A palm viewed end-on therefore
    does not become tiny.

    Parameters
    ----------
    pixels : (..., 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (...) float64
        The size in pixels, always positive.
    """
    palm = np.linalg.norm(pixels[..., MIDDLE_MCP, :] - pixels[..., WRIST, :], axis=-1)
    extent = np.ptp(pixels, axis=-2).max(axis=-1)
    return np.maximum(np.maximum(palm, 0.6 * extent), 1e-6)


def palm_centre(pixels: np.ndarray) -> np.ndarray:
    """Return the centre of the wrist and the four finger MCPs.

    Parameters
    ----------
    pixels : (..., 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (..., 2) float64
        The centre, pixels.
    """
    return pixels[..., _PALM, :].mean(axis=-2)


def chirality(shape: np.ndarray) -> np.ndarray:
    """Measure how far fingers and thumb lie on the palm's side of a right hand.

    Parameters
    ----------
    shape : (..., 21, 3) float64
        Keypoints in any unit, axes x right, y down, z forward.

    Returns
    -------
    (...) float64
        In palm lengths: positive for a right hand, negative for a left hand, usually between -1.5 and 1.5. 0 where the
        palm has no plane.
    """
    up = shape[..., 9, :] - shape[..., 0, :]
    across = shape[..., 17, :] - shape[..., 5, :]
    normal = np.cross(up, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), 0.0)
    fingers = shape[..., (8, 12, 16, 20), :] - shape[..., (5, 9, 13, 17), :]
    bend = (fingers * normal[..., None, :]).sum(axis=-1).mean(axis=-1)
    thumb = ((shape[..., 4, :] - shape[..., 1, :]) * normal).sum(axis=-1)
    return (bend + _THUMB_SHARE * thumb) / np.maximum(np.linalg.norm(up, axis=-1), 1e-12)


def log_odds(right: np.ndarray | float) -> np.ndarray:
    """Convert a probability to log odds, bounded to -4 to 4.

    Parameters
    ----------
    right : (...) float64 or float
        Probability, for example of a right hand, in [0, 1].

    Returns
    -------
    (...) float64
        The log odds.
    """
    right = np.clip(right, 1e-3, 1 - 1e-3)
    return np.clip(np.log(right / (1 - right)), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


def evidence(detection: HandDetection) -> float:
    """Return the log odds that a detection is a right hand, from its side and score.

    Parameters
    ----------
    detection : HandDetection
        The detection.

    Returns
    -------
    float
        Positive for a right hand.
    """
    score = float(np.clip(detection.score, 0.5, 1 - 1e-4))
    stated = float(np.log(score / (1 - score)))
    return stated if detection.side == "right" else -stated


def weigh_shape(detection: HandDetection) -> HandDetection:
    """Decide a detection's side from its stated side and the chirality of its shape together.

    Parameters
    ----------
    detection : HandDetection
        The detection.

    Returns
    -------
    HandDetection
        The detection with its side and score set anew.
    """
    stated = float(np.clip(evidence(detection), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))
    return with_side(detection, stated + CHIRALITY_WEIGHT * float(chirality(detection.shape)))


def with_side(detection: HandDetection, right: float) -> HandDetection:
    """Set a detection's side and score from log odds.

    Parameters
    ----------
    detection : HandDetection
        The detection.
    right : float
        Log odds of a right hand.

    Returns
    -------
    HandDetection
        The detection with the more probable side. Its score is that side's probability.
    """
    score = float(1 / (1 + np.exp(-abs(right))))
    return replace(detection, side="right" if right > 0 else "left", score=score)


def outline_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the distance between two hands' keypoints as sets, without regard to their names.

    It is small if one hand was found twice, even if its thumb and little finger were confused.

    Parameters
    ----------
    a, b : (21, 2) float64
        Keypoints of the two hands, pixels.

    Returns
    -------
    float
        Mean distance to the nearest keypoint of the other hand, palm lengths of the larger hand.
    """
    gaps = np.linalg.norm(a[:, None] - b[None], axis=-1)
    mean = 0.5 * (gaps.min(axis=0).mean() + gaps.min(axis=1).mean())
    return float(mean / max(palm_length(a), palm_length(b)))


def without_doubles(detections: Sequence[HandDetection]) -> list[HandDetection]:
    """Drop detections that show a hand a second time. The detection with the higher score stays.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        Any number of detections.

    Returns
    -------
    list[HandDetection]
        The kept detections, highest score first.
    """
    kept: list[HandDetection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        if all(outline_distance(detection.pixels, other.pixels) > SAME_HAND for other in kept):
            kept.append(detection)
    return kept


def one_persons(detections: Sequence[HandDetection]) -> list[HandDetection]:
    """Select the two hands that most likely belong to one person: high scores, near, of one size, of both sides.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        Any number of hands.

    Returns
    -------
    list[HandDetection]
        Two hands, or all if there are no more than two.
    """
    if len(detections) <= 2:
        return list(detections)

    def together(a: HandDetection, b: HandDetection) -> float:
        palms = float(palm_length(a.pixels)), float(palm_length(b.pixels))
        apart = float(np.linalg.norm(palm_centre(a.pixels) - palm_centre(b.pixels))) / max(palms)
        sizes = abs(float(np.log2(palms[1] / palms[0])))
        return a.score + b.score - _PER_PALM_APART * apart - sizes - _ONE_SIDE * (a.side == b.side)

    pairs = [(a, b) for k, a in enumerate(detections) for b in detections[k + 1 :]]
    return list(max(pairs, key=lambda pair: together(*pair)))


def resolve_sides(detections: Sequence[HandDetection], right: Sequence[float]) -> list[HandDetection]:
    """Reduce hands to at most one left and one right hand.

    If two hands claim one side, the less certain one gets the other side. If both are certain, one of them is another
    person's; then only the hand with the higher score stays.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        Any number of hands. Only the two with the highest scores are used.
    right : Sequence[float]
        For each detection the log odds of a right hand.

    Returns
    -------
    list[HandDetection]
        Left before right, sides and scores set from the log odds.
    """
    pairs = sorted(zip(detections, right, strict=True), key=lambda pair: -pair[0].score)
    if len(pairs) > 2:
        pairs = pairs[:2]
    if len(pairs) == 2 and (pairs[0][1] > 0) == (pairs[1][1] > 0):
        weak = min(pairs, key=lambda pair: abs(pair[1]))
        if abs(weak[1]) >= _CERTAIN:
            pairs = pairs[:1]
        else:
            flipped = -np.sign(weak[1] or 1.0) * 0.1
            pairs = [(hand, flipped if hand is weak[0] else value) for hand, value in pairs]
    hands = [with_side(hand, value) for hand, value in pairs]
    return sorted(hands, key=lambda hand: hand.side)


@dataclass
class _Track:
    """A hand followed through the clip: its last keypoints (21, 2), pixels, and its summed log odds of a right hand."""

    pixels: np.ndarray
    right: float


class SideTracker:
    """Keeps sides steady over a clip: a hand's side follows from the evidence of all its frames.

    Hands are matched to those of the frame before by the positions of their keypoints, whatever their sides.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    def update(
        self, detections: Sequence[HandDetection], previous: Sequence[HandDetection] = ()
    ) -> list[HandDetection]:
        """Return the hands of the next frame with steady sides.

        Parameters
        ----------
        detections : Sequence[HandDetection]
            The hands of this frame, with their sides as detected in it alone.
        previous : Sequence[HandDetection]
            The hands of the frame before. Used only if the tracker did not process that frame (a resumed clip).

        Returns
        -------
        list[HandDetection]
            At most one left and one right hand.
        """
        if not self._tracks:
            self.follow(previous)
        matched = self._match(detections)
        totals, tracks = [], []
        for detection, track in zip(detections, matched, strict=True):
            now = evidence(detection)
            total = now if track is None else _MEMORY * track.right + now
            totals.append(float(np.clip(total, -_LARGEST_EVIDENCE, _LARGEST_EVIDENCE)))
            tracks.append(_Track(detection.pixels, totals[-1]))
        # Tracks without a detection in this frame are kept while their evidence lasts.
        waiting = [_Track(t.pixels, _MEMORY * t.right) for t in self._tracks if all(t is not m for m in matched)]
        self._tracks = tracks + [t for t in waiting if abs(t.right) > 0.5]
        return resolve_sides(detections, totals)

    def follow(self, hands: Sequence[HandDetection]) -> None:
        """Restart from hands whose sides are known.

        Parameters
        ----------
        hands : Sequence[HandDetection]
            The hands, with scores as evidence for their sides.
        """
        self._tracks = [_Track(hand.pixels, 2 * evidence(hand)) for hand in hands]

    def _match(self, detections: Sequence[HandDetection]) -> list[_Track | None]:
        """Return the nearest track for each detection. Each track is used once; nearest pairs are matched first."""
        found: list[_Track | None] = [None] * len(detections)
        pairs = [
            (float(np.linalg.norm(d.pixels - t.pixels, axis=1).mean() / palm_length(d.pixels)), i, j)
            for i, d in enumerate(detections)
            for j, t in enumerate(self._tracks)
        ]
        taken: set[int] = set()
        for distance, i, j in sorted(pairs):
            if distance < _TRACK_REACH and found[i] is None and j not in taken:
                found[i] = self._tracks[j]
                taken.add(j)
        return found
