"""Proposes hands in a single photo: every proposer is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.reading.crops import crops_around
from im2hands.keypoints.reading.hypotheses import Proposals

from .palms import PalmDetector, Part, SuspectedPalms
from .two_hand_network import HandReading, PictureReading
from .two_hand_pictures import apply, inverse, palm_frame

# Crops along a palm reach from the wrist to beyond the fingers, like MediaPipe's: turns (radians), size and shift
# towards the fingers (palm lengths).
_TURNS = (0.0, -0.5, 0.5)
_CROP_SIZE, _CROP_UP = 2.9, 0.25
# Two palm readings are one palm within this distance (palm lengths; also the logarithm of the size ratio) and this turn
# (radians): neighbouring places of the two-hand network often read the same palm. Then the number of palms kept.
_SAME_PALM, _SAME_TURN, _MOST_PALMS = 0.25, 0.4, 12
# The palm detector also runs on the square around the hands, enlarged by the margin, if that square is smaller than
# this share of the picture and not smaller than this side, pixels.
_CLOSER, _MARGIN, _SMALLEST = 0.7, 1.3, 16
# Probability from which on a place of the hand map belongs to a hand.
_ON_HAND = 0.5
# Pictures with a longer side than this are also given to the palm detector in parts: how many along a side, and the
# side of a part as a share of the picture's longer side.
_LARGE, _PARTS, _PART = 320, 3, 0.5


def suspect_palms(detector: PalmDetector, image: np.ndarray) -> list[SuspectedPalms]:
    """Run MediaPipe's palm detector on the whole picture and on its parts.

    Parameters
    ----------
    detector : PalmDetector
        MediaPipe's palm detector.
    image : (H, W, 3) uint8
        RGB picture.

    Returns
    -------
    list[SuspectedPalms]
        The palms of each run, pixels of the picture.
    """
    height, width = image.shape[:2]
    parts: list[Part | None] = [None]
    if max(height, width) > _LARGE:
        parts += _parts(width, height)
    return detector.suspect_each(image, parts)


def suspect_around_hands(
    detector: PalmDetector, image: np.ndarray, picture_reading: PictureReading
) -> list[SuspectedPalms]:
    """Run MediaPipe's palm detector on the part of the picture where hands are.

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
    list[SuspectedPalms]
        The palms of the run, pixels of the picture. Without a run, as where hands fill the picture, there are none.
    """
    square = _around_hands(picture_reading)
    if square is None or not _SMALLEST <= square[1] <= _CLOSER * max(image.shape[:2]):
        return []
    return [detector.suspect(image, square)]


def _parts(width: int, height: int) -> list[Part]:
    """Return centre and side of overlapping squares that cover the picture."""
    side = _PART * max(width, height)
    ways = []
    for length in (width, height):
        ends = (side / 2, length - side / 2) if length > side else (length / 2, length / 2)
        ways.append(np.unique(np.linspace(*ends, _PARTS)))
    return [(np.array([x, y]) - 0.5, side) for y in ways[1] for x in ways[0]]


def _around_hands(picture_reading: PictureReading) -> Part | None:
    """Return centre and side of the square around all hands of the hand map; None without hands."""
    if picture_reading.hand_map is None:
        return None
    rows, columns = np.nonzero(picture_reading.hand_map.values > _ON_HAND)
    if not len(rows):
        return None
    back = inverse(picture_reading.hand_map.affine)
    low, high = (
        apply(back, np.array([end(columns), end(rows)], dtype=np.float64)) for end in (np.min, np.max)
    )  # fmt: skip
    return (low + high) / 2, _MARGIN * float((high - low).max())


def propose(
    detections: Sequence[HandDetection], picture_reading: PictureReading, suspected: SuspectedPalms | None
) -> Proposals:
    """Return the places where a photo may show hands.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        The hands that MediaPipe's tasks API detected.
    picture_reading : PictureReading
        The two-hand network's reading of the picture.
    suspected : SuspectedPalms or None
        Palms of MediaPipe's palm detector.

    Returns
    -------
    Proposals
        MediaPipe's hands as known hands; crops along all palms.
    """
    parts = [Proposals.of_hands(np.array([hand.pixels for hand in detections]).reshape(-1, 21, 2), "mediapipe")]
    parts += [Proposals.of_crops(_crops(palm), "two_hand_network") for palm in distinct_palms(picture_reading)]
    if suspected is not None and len(suspected.score):
        parts.append(Proposals.of_crops(suspected.crops(), "palms"))
    return Proposals.joined(parts)


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
    """Return the crops along a palm and around its keypoints, (4, 4)."""
    centre, up = palm_frame(palm.pixels)
    turn = float(np.arctan2(up[0], -up[1]))
    x, y = centre + _CROP_UP * palm.size * np.array([np.sin(turn), -np.cos(turn)])
    along = [(x, y, _CROP_SIZE * palm.size, turn + by) for by in _TURNS]
    return np.array([*along, crops_around(palm.pixels[None])[0]])
