"""The other hand where two hands touch: MediaPipe's landmark network on a grid of crops, the best pair it sees."""

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
TURNS = 8
# Over the picture: a 7x7 grid, crops of these shares of its longer side, neighbours with every other turn each.
PICTURE_GRID = 7
PICTURE_SIZES = (0.3, 0.45, 0.7)
# Around a hand that was found: a 4x4 grid, crops of these multiples of the crop that shows that hand.
NEAR_GRID = 4
NEAR_SIZES = (0.75, 1.0, 1.35)
NEAR_REACH = 0.9
"""How far from the found hand's centre the grid reaches to each side, in crops of that hand."""

_KEEP_PRESENCE = 0.3
_RECROPS = 2
_PER_GROUP = 4
"""How many readings of one group are followed through the re-crops."""
# Crops whose keypoints lie this close (mean, in palms) show the same hand in the same way.
_CLUSTER_RADIUS = 0.3
_LOOK_AT = 6
"""How many of the best clusters get a second look."""
# Real hands of the test photos, those that touch included, reach 0.89 to 0.97; fingers, faces and sleeves up to 0.72 by
# themselves and below 0.55 once they are weighed beside the hand they belong to.
ACCEPT = 0.55
_SUPPORT = 2.0
_SPREAD = 0.2
_PRESENCE_POWER = 3
# Nearer than this (in palms) the second hand is rather the first one seen again.
_PALMS_APART = 0.35
_OUTLINES_APART = 0.22
_SURE_SIDE = 3.0


@dataclass(frozen=True)
class _Cluster:
    pixels: np.ndarray  # (21, 2) of the steadiest member
    support: float
    score: float


@dataclass(frozen=True)
class Candidate:
    """A hand that the search may return: what the second look said, and how good a hand it is on its own, [0, 1]."""

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

    With one hand found the search looks around it first and then over the picture at that hand's scale; with none it
    looks over the picture and, if one turns up, around that one.

    Args:
        network: reads the crops.
        image: (H, W, 3) uint8 RGB.
        found: at most one hand that is known already; it is kept.
        progress: called with crops done and crops planned.
        cancelled: asked between batches of crops.

    Returns:
        At most one left and one right hand, ``found`` among them. A second hand is only added when it is sound by
        itself and plausible beside the first.

    Raises:
        Cancelled: ``cancelled`` said so.
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
    total: int
    tell: Callable[[int, int], None] | None
    before: int = 0

    def report(self, done: int) -> None:
        """``done`` crops of the present stage."""
        if self.tell is not None:
            self.tell(min(self.before + done, self.total), self.total)

    def finish(self) -> None:
        if self.tell is not None:
            self.tell(self.total, self.total)


def best_pair(known: Sequence[HandDetection], candidates: Sequence[Candidate]) -> list[HandDetection]:
    """The best left and right hand of what is known and the candidates.

    Args:
        known: none or one hand, which stays. candidates: what the search saw.

    Returns:
        None, one or two hands; a hand whose quality, or plausibility beside the other, is too low is left out.
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
    """How plausible the second hand is beside the first, [0, 1].

    Low where both are one hand seen twice (palms or outlines coincide), where the second is a small "hand" made of the
    first one's fingers, where sizes do not go together, or where both are surely the same side.
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
    """Share of points (N, 2) that lie on a hand: within a fifth of a palm of the hull of its keypoints (21, 2)."""
    import cv2

    hull = cv2.convexHull(hand.astype(np.float32))
    margin = -0.2 * palm_length(hand)
    return float(np.mean([cv2.pointPolygonTest(hull, (float(x), float(y)), True) > margin for x, y in points]))


def _near_grid(hand: HandDetection) -> np.ndarray:
    """Crops around a found hand, (N, 4)."""
    x, y, size, _ = crops_around(hand.pixels[None])[0]
    reach = NEAR_REACH * size
    steps = ((np.arange(NEAR_GRID) + 0.5) / NEAR_GRID * 2 - 1) * reach
    return _grid(x + steps, y + steps, np.array(NEAR_SIZES) * size)


def _picture_grid(image: np.ndarray, hand: HandDetection | None) -> np.ndarray:
    """Crops over the whole picture, (N, 4); with a hand found, only of sizes that could show its other one."""
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
    turns = np.arange(TURNS) * (2 * np.pi / TURNS)
    return np.stack(np.meshgrid(xs, ys, sizes, turns, indexing="ij"), axis=-1).reshape(-1, 4)


def _candidates(
    network: LandmarkNetwork,
    image: np.ndarray,
    crops: np.ndarray,
    known: Sequence[HandDetection],
    report: Callable[[int], None],
    cancelled: Callable[[], bool] | None,
) -> list[Candidate]:
    """Sound hands in the crops, those that are known already left out."""
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
    clusters = sorted(clusters, key=lambda c: -c.score)[:_LOOK_AT]
    if not clusters:
        return []
    looks = read_repeatedly(network, image, np.array([c.pixels for c in clusters]))
    return [Candidate(look, c.support, quality(look, c.support)) for look, c in zip(looks, clusters, strict=True)]


def quality(look: Consensus, support: float) -> float:
    """How sure it is that this is a hand and seen rightly, [0, 1].

    Presence and agreement of the second look, how many crops led there, how steady the keypoints are, how clear the
    side is, and whether the side that the network names is the one its keypoints have.
    """
    value = look.presence**_PRESENCE_POWER * look.agreement * (1 - np.exp(-support / _SUPPORT))
    value *= np.exp(-((look.spread.mean() / _SPREAD) ** 2))
    value *= 1 / (1 + np.exp(-2 * abs(look.right)))
    shape_right = look.right - look.network_right
    if shape_right * look.network_right < 0:
        value *= np.exp(-min(abs(shape_right), abs(look.network_right)))
    return float(value)


def _thinned(readings: Readings) -> tuple[Readings, np.ndarray]:
    """A few readings of every group and for each how many it stands for; many crops lead to the same hand."""
    rows: list[int] = []
    weight: list[float] = []
    for members in _groups(readings, readings.presence):
        kept = members[:_PER_GROUP]
        rows.extend(map(int, kept))
        weight.extend([len(members) / len(kept)] * len(kept))
    return readings.take(np.array(rows, dtype=int)), np.array(weight)


def _clusters(readings: Readings, moved: np.ndarray, weight: np.ndarray) -> list[_Cluster]:
    """Groups of readings that show one hand in one way, around the most certain reading of each."""
    certain = readings.presence * np.exp(-moved)
    clusters = []
    for members in _groups(readings, certain):
        support = float(weight[members].sum())
        score = float(certain[members].mean()) * (1 - np.exp(-support / _SUPPORT))
        clusters.append(_Cluster(readings.pixels[members[0]], support, score))
    return clusters


def _groups(readings: Readings, certain: np.ndarray) -> list[np.ndarray]:
    """Row numbers of readings with the same keypoints and no opposite certain sides, most certain first."""
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
