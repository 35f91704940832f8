"""Which hand is the left and which the right: evidence in one picture, and steady sides over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.keypoints.hypothesis import HandDetection

# How much the shape of a hand says about its side, in units of log odds: fingers bend and the thumb lies towards the
# palm, which of the two surfaces of the hand is the palm tells the side. Measured right on 31 of 31 real hands.
CHIRALITY_WEIGHT = 4.0
_THUMB_SHARE = 0.5
_PALM = (0, 5, 9, 13, 17)
_LARGEST_LOG_ODDS = 4.0

# Two detections whose outlines lie this close (in palms) are one hand seen twice.
SAME_HAND = 0.25
# A side this certain is not given up because the other hand claims it too: then it is another person's hand.
_CERTAIN = 5.0
# Of many hands, two that are this much farther apart (in palms), or of one side, must be surer by 1 to be a person's.
_PER_PALM_APART, _ONE_SIDE = 0.1, 0.7
# A track's evidence fades by this factor a frame; a hand farther than this (in palms) from a track is another hand.
_MEMORY = 0.9
_LARGEST_EVIDENCE = 20.0
_TRACK_REACH = 1.5


def palm_length(pixels: np.ndarray) -> np.ndarray:
    """A hand's size in the picture: (..., 21, 2) pixels to (...) pixels.

    The larger of wrist to middle MCP and 0.6 of the keypoints' extent: a palm seen end-on does not count as tiny.
    """
    palm = np.linalg.norm(pixels[..., MIDDLE_MCP, :] - pixels[..., WRIST, :], axis=-1)
    extent = np.ptp(pixels, axis=-2).max(axis=-1)
    return np.maximum(np.maximum(palm, 0.6 * extent), 1e-6)


def palm_centre(pixels: np.ndarray) -> np.ndarray:
    """Centre of wrist and the four finger MCPs: (..., 21, 2) pixels to (..., 2)."""
    return pixels[..., _PALM, :].mean(axis=-2)


def chirality(shape: np.ndarray) -> np.ndarray:
    """How far fingers and thumb lie on the palm's side of a right hand, in palms: positive right, negative left.

    Args:
        shape: (..., 21, 3) any unit, right-handed axes (x right, y down, z forward).

    Returns:
        (...) float64, usually between -1.5 and 1.5; 0 where the palm has no plane.
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
    """Probability of being a right hand to log odds, bounded."""
    right = np.clip(right, 1e-3, 1 - 1e-3)
    return np.clip(np.log(right / (1 - right)), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


def evidence(detection: HandDetection) -> float:
    """Log odds that the detection is a right hand, from its side and score."""
    score = float(np.clip(detection.score, 0.5, 1 - 1e-4))
    stated = float(np.log(score / (1 - score)))
    return stated if detection.side == "right" else -stated


def weigh_shape(detection: HandDetection) -> HandDetection:
    """The detection with its side settled by the stated side and the shape's chirality together."""
    stated = float(np.clip(evidence(detection), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))
    return with_side(detection, stated + CHIRALITY_WEIGHT * float(chirality(detection.shape)))


def with_side(detection: HandDetection, right: float) -> HandDetection:
    """The detection with the side that the log odds ``right`` tell; its score becomes their probability."""
    score = float(1 / (1 + np.exp(-abs(right))))
    return replace(detection, side="right" if right > 0 else "left", score=score)


def outline_distance(a: np.ndarray, b: np.ndarray) -> float:
    """How far two hands' keypoints (21, 2) lie apart whatever they are called, in palms of the larger hand.

    Small where one hand was found twice, also where thumb and little finger were taken for each other.
    """
    gaps = np.linalg.norm(a[:, None] - b[None], axis=-1)
    mean = 0.5 * (gaps.min(axis=0).mean() + gaps.min(axis=1).mean())
    return float(mean / max(palm_length(a), palm_length(b)))


def without_doubles(detections: Sequence[HandDetection]) -> list[HandDetection]:
    """The detections without those that show a hand a second time; the higher score stays."""
    kept: list[HandDetection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        if all(outline_distance(detection.pixels, other.pixels) > SAME_HAND for other in kept):
            kept.append(detection)
    return kept


def one_persons(detections: Sequence[HandDetection]) -> list[HandDetection]:
    """Of more than two hands those two that are most likely one person's: sure, near, of one size, of both sides."""
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
    """At most one left and one right hand.

    Of two hands that claim one side the less certain becomes the other side, unless both are certain: then one is
    another person's, and the one with the higher score stays.

    Args:
        detections: any number. right: for each the log odds of being a right hand.

    Returns:
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
    pixels: np.ndarray
    right: float


class SideTracker:
    """Keeps sides steady over a clip: a hand's side is what all its frames say together, not one frame alone.

    Hands are matched to those of the frame before by the positions of their keypoints, whatever side they were given.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    def update(
        self, detections: Sequence[HandDetection], previous: Sequence[HandDetection] = ()
    ) -> list[HandDetection]:
        """The detections of the next frame with steady sides, at most one left and one right.

        Args:
            detections: of this frame, sides as seen in it alone.
            previous: of the frame before; used where the tracker has not seen that frame itself (a resumed clip).
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
        # Hands out of sight for a frame are waited for.
        waiting = [_Track(t.pixels, _MEMORY * t.right) for t in self._tracks if all(t is not m for m in matched)]
        self._tracks = tracks + [t for t in waiting if abs(t.right) > 0.5]
        return resolve_sides(detections, totals)

    def follow(self, hands: Sequence[HandDetection]) -> None:
        """Start anew from hands whose sides are settled."""
        self._tracks = [_Track(hand.pixels, 2 * evidence(hand)) for hand in hands]

    def _match(self, detections: Sequence[HandDetection]) -> list[_Track | None]:
        """For each detection the nearest track, each track once, nearest pairs first."""
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
