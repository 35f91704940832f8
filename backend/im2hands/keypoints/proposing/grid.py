"""The crop search: finds a missing hand with the landmark network on a grid of crops, mainly where two hands touch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from im2hands.keypoints.choosing.sides import (
    evidence,
    log_odds,
    outline_distance,
    palm_centre,
    palm_length,
    resolve_sides,
)
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.reading.consensus import Consensus, read_repeatedly
from im2hands.keypoints.reading.network import LandmarkNetwork, Readings, crops_around

SOURCE = "crop_search"
# Turns of the crops at each place and size.
TURNS = 8
# Over the picture: a 7x7 grid, sizes as shares of its longer side. Every crop uses half of the turns, its neighbours
# use the other half.
PICTURE_GRID = 7
PICTURE_SIZES = (0.3, 0.45, 0.7)
# Around a known hand: a 4x4 grid, sizes in multiples of the crop that shows that hand.
NEAR_GRID = 4
NEAR_SIZES = (0.75, 1.0, 1.35)
NEAR_REACH = 0.9
"""How far the grid extends to each side of the known hand's centre, in crops of that hand."""

# Least presence of a reading to be kept, and how often kept readings are read again in the crop around their keypoints.
_KEEP_PRESENCE = 0.3
_RECROPS = 2
_PER_GROUP = 4
"""How many readings of one group are read again."""
# Readings whose keypoints lie this close (mean, palm lengths) belong to one group.
_CLUSTER_RADIUS = 0.3
_VERIFIED = 6
"""How many of the best clusters are verified by repeated readings."""
# Least quality of a hand. Measured on the test photos: real hands, touching ones included, reach 0.89 to 0.97. Fingers,
# faces and sleeves reach up to 0.72 alone, and less than 0.55 beside the hand to which they belong.
ACCEPT = 0.55
# Scales of the quality: number of crops, spread (palm lengths), exponent of the presence.
_SUPPORT = 2.0
_SPREAD = 0.2
_PRESENCE_POWER = 3
# Scales of the distances (palm lengths) between two palms and two outlines. Well below them the second hand is the
# first one, read again.
_PALMS_APART = 0.35
_OUTLINES_APART = 0.22
# Log odds from which on a side is certain.
_SURE_SIDE = 3.0


@dataclass(frozen=True)
class _Cluster:
    """Readings of one hand: how many crops led to it, and its rank among the clusters."""

    pixels: np.ndarray  # (21, 2), keypoints of the most certain reading
    support: float
    score: float


@dataclass(frozen=True)
class SearchCandidate:
    """A hand that the search may return.

    Parameters
    ----------
    look : Consensus
        Consensus of repeated readings.
    support : float
        Number of crops that led to this hand.
    quality : float
        How certain it is a hand with correct keypoints, in [0, 1]; see ``quality``.
    """

    look: Consensus
    support: float
    quality: float


def search(
    network: LandmarkNetwork,
    image: np.ndarray,
    found: Sequence[HandDetection] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[HandDetection]:
    """Find the hands that MediaPipe's palm detector missed.

    With a known hand the search covers its surroundings first, then the whole picture at that hand's scale. Without one
    it covers the whole picture and, if a hand is found, the surroundings of that hand.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    found : Sequence[HandDetection]
        At most one known hand; it is kept.
    progress : callable or None
        Called with the number of crops done and the number of crops planned.
    cancelled : callable or None
        Called between batches of crops. If it returns True, the search ends.

    Returns
    -------
    list[HandDetection]
        At most one left and one right hand, ``found`` among them. A second hand is added only if its quality is high
        enough both alone and beside the first hand.

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    known = list(found[:1])
    stages = [_near_grid(known[0]), _picture_grid(image, known[0])] if known else [_picture_grid(image, None)]
    planned = _Progress(sum(map(len, stages)), progress)
    while stages:
        crops = stages.pop(0)
        candidates = _candidates(network, image, crops, known, planned.report, cancelled)
        planned.before += len(crops)
        pair = best_pair(known, candidates)
        if len(pair) == 2:
            known = pair
            break
        if not known and pair:
            known = pair
            stages = [_near_grid(pair[0])]
            planned.total += len(stages[0])
    planned.finish()
    return known


@dataclass
class _Progress:
    """Counts the crops of all stages and reports them to ``tell``."""

    total: int
    tell: Callable[[int, int], None] | None
    before: int = 0

    def report(self, done: int) -> None:
        """Report ``done`` crops of the current stage."""
        if self.tell is not None:
            self.tell(min(self.before + done, self.total), self.total)

    def finish(self) -> None:
        """Report that all crops are done."""
        if self.tell is not None:
            self.tell(self.total, self.total)


def best_pair(known: Sequence[HandDetection], candidates: Sequence[SearchCandidate]) -> list[HandDetection]:
    """Select the best left and right hand from the known hand and the candidates.

    Parameters
    ----------
    known : Sequence[HandDetection]
        No hand or one hand, which is kept.
    candidates : Sequence[SearchCandidate]
        The hands that the search found.

    Returns
    -------
    list[HandDetection]
        No hand, one or two hands. A hand is left out if its quality, or its plausibility beside the other, is too low.
    """
    sound = sorted((c for c in candidates if c.quality >= ACCEPT), key=lambda c: -c.quality)
    hands = [(c.look.detection(SOURCE), c.look.right, c.quality) for c in sound]
    firsts = [(hand, evidence(hand), 1.0) for hand in known] or hands
    best: tuple[float, list[HandDetection]] = (0.0, [firsts[0][0]] if firsts else [])
    for first, first_right, first_quality in firsts:
        for second, second_right, second_quality in hands:
            if second is first:
                continue
            together = second_quality * beside(first, first_right, second, second_right)
            if together >= ACCEPT and first_quality + together > best[0]:
                pair = resolve_sides([first, second], [first_right, second_right])
                if len(pair) == 2:
                    best = (first_quality + together, pair)
    return best[1]


def beside(first: HandDetection, first_right: float, second: HandDetection, second_right: float) -> float:
    """Rate how plausible the second hand is beside the first.

    The value is low if both are one hand (palms or outlines coincide), if the second is a small false hand made of the
    first one's fingers, if the sizes differ too much, or if both certainly have the same side.

    Parameters
    ----------
    first : HandDetection
        The first hand.
    first_right : float
        Its log odds of a right hand.
    second : HandDetection
        The second hand.
    second_right : float
        Its log odds of a right hand.

    Returns
    -------
    float
        Plausibility, in [0, 1].
    """
    palms = palm_length(first.pixels), palm_length(second.pixels)
    apart = float(np.linalg.norm(palm_centre(first.pixels) - palm_centre(second.pixels)) / max(palms))
    value = 1 - np.exp(-((apart / _PALMS_APART) ** 2))
    value *= 1 - np.exp(-((outline_distance(first.pixels, second.pixels) / _OUTLINES_APART) ** 2))
    ratio = abs(float(np.log2(palms[1] / palms[0])))
    value *= np.exp(-((max(0.0, ratio - 0.7) / 0.5) ** 2))
    if palms[1] < 0.8 * palms[0]:
        value *= 1 - 0.7 * _share_inside(second.pixels, first.pixels)
    if (first_right > 0) == (second_right > 0):
        value *= np.exp(-min(abs(first_right), abs(second_right)) / _SURE_SIDE)
    return float(value)


def _share_inside(points: np.ndarray, hand: np.ndarray) -> float:
    """Return the share of points (N, 2) within a fifth of a palm of the convex hull of a hand's keypoints (21, 2)."""
    import cv2

    hull = cv2.convexHull(hand.astype(np.float32))
    margin = -0.2 * palm_length(hand)
    return float(np.mean([cv2.pointPolygonTest(hull, (float(x), float(y)), True) > margin for x, y in points]))


def _near_grid(hand: HandDetection) -> np.ndarray:
    """Return crops around a known hand, (N, 4)."""
    x, y, size, _ = crops_around(hand.pixels[None])[0]
    reach = NEAR_REACH * size
    steps = ((np.arange(NEAR_GRID) + 0.5) / NEAR_GRID * 2 - 1) * reach
    return _grid(x + steps, y + steps, np.array(NEAR_SIZES) * size)


def _picture_grid(image: np.ndarray, hand: HandDetection | None) -> np.ndarray:
    """Return crops over the whole picture, (N, 4). With a known hand only sizes that fit its other hand are used."""
    height, width = image.shape[:2]
    sizes = np.array(PICTURE_SIZES) * max(height, width)
    if hand is not None:
        ratio = sizes / crops_around(hand.pixels[None])[0, 2]
        sizes = sizes[(ratio > 0.6) & (ratio < 1.7)]
    centres = (np.arange(PICTURE_GRID) + 0.5) / PICTURE_GRID
    crops = _grid(centres * width - 0.5, centres * height - 0.5, sizes)
    column, row, size, turn = np.indices((PICTURE_GRID, PICTURE_GRID, len(sizes), TURNS)).reshape(4, -1)
    return crops[(column + row + size + turn) % 2 == 0]


def _grid(xs: np.ndarray, ys: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return crops at all places, sizes and turns, (N, 4)."""
    turns = np.arange(TURNS) * (2 * np.pi / TURNS)
    return np.stack(np.meshgrid(xs, ys, sizes, turns, indexing="ij"), axis=-1).reshape(-1, 4)


def _candidates(
    network: LandmarkNetwork,
    image: np.ndarray,
    crops: np.ndarray,
    known: Sequence[HandDetection],
    report: Callable[[int], None],
    cancelled: Callable[[], bool] | None,
) -> list[SearchCandidate]:
    """Return the hands in the crops, without those that are known already."""
    readings = network.read(image, crops, done=report, cancelled=cancelled)
    readings = readings.take(readings.presence > _KEEP_PRESENCE)
    readings, weight = _thinned(readings)
    moved = np.zeros(len(readings))
    for _ in range(_RECROPS):
        if not len(readings):
            return []
        again = network.read(image, crops_around(readings.pixels), cancelled=cancelled)
        moved = np.linalg.norm(again.pixels - readings.pixels, axis=-1).mean(axis=1) / palm_length(again.pixels)
        keep = again.presence > _KEEP_PRESENCE
        readings, moved, weight = again.take(keep), moved[keep], weight[keep]
    clusters = [
        cluster
        for cluster in _clusters(readings, moved, weight)
        if all(outline_distance(cluster.pixels, hand.pixels) > 0.2 for hand in known)
    ]
    clusters = sorted(clusters, key=lambda c: -c.score)[:_VERIFIED]
    if not clusters:
        return []
    looks = read_repeatedly(network, image, np.array([c.pixels for c in clusters]))
    return [SearchCandidate(look, c.support, quality(look, c.support)) for look, c in zip(looks, clusters, strict=True)]


def quality(look: Consensus, support: float) -> float:
    """Rate how certain a consensus is a hand with correct keypoints.

    The value combines presence and agreement of the repeated readings, the number of crops that led there, the spread
    of the keypoints, the certainty of the side, and whether the network's side matches the chirality of the keypoints.

    Parameters
    ----------
    look : Consensus
        Consensus of repeated readings.
    support : float
        Number of crops that led to the hand.

    Returns
    -------
    float
        Quality, in [0, 1].
    """
    value = look.presence**_PRESENCE_POWER * look.agreement * (1 - np.exp(-support / _SUPPORT))
    value *= np.exp(-((look.spread.mean() / _SPREAD) ** 2))
    value *= 1 / (1 + np.exp(-2 * abs(look.right)))
    shape_right = look.right - look.network_right
    if shape_right * look.network_right < 0:
        value *= np.exp(-min(abs(shape_right), abs(look.network_right)))
    return float(value)


def _thinned(readings: Readings) -> tuple[Readings, np.ndarray]:
    """Keep a few readings of every group, as many crops lead to one hand; with the number that each stands for."""
    rows: list[int] = []
    weight: list[float] = []
    for members in _groups(readings, readings.presence):
        kept = members[:_PER_GROUP]
        rows.extend(map(int, kept))
        weight.extend([len(members) / len(kept)] * len(kept))
    return readings.take(np.array(rows, dtype=int)), np.array(weight)


def _clusters(readings: Readings, moved: np.ndarray, weight: np.ndarray) -> list[_Cluster]:
    """Group readings of one hand around the most certain reading of each group."""
    certain = readings.presence * np.exp(-moved)
    clusters = []
    for members in _groups(readings, certain):
        support = float(weight[members].sum())
        score = float(certain[members].mean()) * (1 - np.exp(-support / _SUPPORT))
        clusters.append(_Cluster(readings.pixels[members[0]], support, score))
    return clusters


def _groups(readings: Readings, certain: np.ndarray) -> list[np.ndarray]:
    """Return groups of row numbers, most certain first. A group has the same keypoints and no contrary sides."""
    groups = []
    palms = palm_length(readings.pixels)
    right = log_odds(readings.right)
    order = np.argsort(-certain, kind="stable")
    while len(order):
        first = order[0]
        gaps = np.linalg.norm(readings.pixels[order] - readings.pixels[first], axis=-1).mean(axis=1) / palms[first]
        together = (gaps < _CLUSTER_RADIUS) & (right[order] * right[first] > -_SURE_SIDE)
        together[0] = True
        groups.append(order[together])
        order = order[~together]
    return groups
