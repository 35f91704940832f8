"""Moves hands onto their edge in the picture, where a mask tells what is hand and what is not.

Readings of keypoints are off by nearly the same way for a whole hand, and they do not show how thick it is. The edge of
the mask shows both. The rim of a hand is made of points on the circles as which the spheres of its flesh are seen:
those that lie in no other circle. Each that has an edge beside it, on the same side of the hand, shall lie on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT

from .chain import Chain, Hands
from .kinematics import POSE, SIZE, THICKNESS
from .levenberg import minimise
from .observation import Observation, evidence
from .spheres import SPHERES, sphere_radii
from .sums import Sums, robust
from .terms import of_each_hand

_DEVIATION = 0.035  # palm lengths; a rim point beside the edge
_ROBUST = 2.0  # deviations beyond which the loss of a rim point grows linearly
_FARTHEST = 0.1  # palm lengths; no rim point is farther from its edge
_ALONG = 0.8  # least cosine between the ways out of the hand and out of the mask
_AROUND = 12  # directions in which rim points are sought around each sphere
_COVERED = 0.97  # a rim point lies in no other sphere of its hand, whose radii are shortened to this share
_APART = 1.2  # and in no sphere of the other hand, whose radii are lengthened to this share
_POINTS = 48  # rim points of a hand; of more, so many are taken evenly
_FEWEST = 12  # a hand with fewer stays as it is
_FINER = 3  # cells of the map along each cell of the mask
_BORDER = 0.5  # cells of the mask at the border of the picture, where an edge is that of the picture
_NEAREST = 0.02  # metres; least depth by which a point is projected

_ROUNDS, _STEPS = 2, 5  # how often the rim is sought; steps with each

_ARM = (SPHERES.bone == 0) & (SPHERES.fixed[:, 0] > 0)  # behind the wrist
_TURNS = np.arange(_AROUND) * (2 * np.pi / _AROUND)
_WAYS = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=1)


@dataclass(frozen=True)
class Edges:
    """The edges of N hands on maps of S x S cells. Left hands are described by their mirror images in x.

    Parameters
    ----------
    distance : (N, S, S) float32
        Distance of each cell from the nearest edge in x / z, positive on hands.
    to_map : (N, 2, 3) float64
        From x / z and y / z to column and row of the map.
    low, high : (N, 2) float64
        Columns and rows between which edges count: those in the picture.
    sigma : (N,) float64
        Standard deviations of the distances of rim points, x / z; infinite without a mask.
    """

    distance: np.ndarray
    to_map: np.ndarray
    low: np.ndarray
    high: np.ndarray
    sigma: np.ndarray

    def rows(self, chosen: np.ndarray) -> Edges:
        """Return the edges of some of the hands, by number or mask."""
        return Edges(*(getattr(self, part.name)[chosen] for part in fields(self)))


@dataclass(frozen=True)
class Rims:
    """Rim points of N hands, R of each.

    Parameters
    ----------
    sphere : (N, R) int64
        The spheres on whose circles they lie.
    way : (N, R, 2) float64
        Unit vectors in the picture from the circles' centres to them.
    weight : (N, R) float64
        How much they count; 0 stands for no point.
    """

    sphere: np.ndarray
    way: np.ndarray
    weight: np.ndarray

    def rows(self, chosen: np.ndarray) -> Rims:
        """Return the rims of some of the hands, by number or mask."""
        return Rims(self.sphere[chosen], self.way[chosen], self.weight[chosen])


def moved_onto_edges(
    hands: Hands, observations: Sequence[Observation], others: np.ndarray
) -> tuple[Hands, np.ndarray, np.ndarray]:
    """Move placed hands, each by itself, so that their rims lie on their edges.

    Parameters
    ----------
    hands : Hands
        N hands as their keypoints place them; left hands are mirrored.
    observations : Sequence[Observation]
        What is seen of them.
    others : (N,) int64
        Number of the other hand in the same picture; -1 without one.

    Returns
    -------
    hands : Hands
        The moved hands; those without a mask, or without an edge beside their rim, are as they were.
    shifts : (N, 21, 2) float64
        How far their keypoints moved in the picture, pixels.
    thickness : (N,) float64
        How thick their edges make their spheres, natural logarithms; NaN where they do not tell.
    """
    shifts, thickness = np.zeros((len(hands), KEYPOINT_COUNT, 2)), np.full(len(hands), np.nan)
    rows = np.flatnonzero([seen.detection.mask is not None for seen in observations])
    if not len(rows):
        return hands, shifts, thickness
    masked = [observations[int(row)] for row in rows]
    number = np.full(len(hands) + 1, -1)
    number[rows] = np.arange(len(rows))
    seen, edges, moved = evidence(masked), edges_of(masked), hands.rows(rows)
    for _ in range(_ROUNDS):
        chosen = rims(moved, edges, number[others[rows]], seen.mirror)
        told = np.flatnonzero((chosen.weight > 0).sum(axis=1) >= _FEWEST)

        def evaluate(hands: Hands, some: np.ndarray, chosen: Rims = chosen, told: np.ndarray = told) -> Sums:
            sums = of_each_hand(hands, seen.rows(told[some]))
            add_outlines(sums, hands, edges.rows(told[some]), chosen.rows(told[some]))
            return sums

        if len(told):
            moved = moved.replaced(told, minimise(moved.rows(told), len(told), evaluate, _STEPS)[0])
            thickness[rows[told]] = moved.shape[told, THICKNESS]
    before, after = (made.keypoints() * seen.mirror[:, None] for made in (hands.rows(rows), moved))
    for row, one, here, there in zip(rows, masked, before, after, strict=True):
        shifts[row] = one.camera.project(there) - one.camera.project(here)
    return hands.replaced(rows, moved), shifts, thickness


def edges_of(observations: Sequence[Observation]) -> Edges:
    """Prepare the edges of N hands that have masks.

    Parameters
    ----------
    observations : Sequence[Observation]
        The hands.

    Returns
    -------
    Edges
        Their edges.
    """
    parts: dict[str, list[np.ndarray]] = {part.name: [] for part in fields(Edges)}
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for seen in observations:
        mask, camera = seen.detection.mask, seen.camera
        assert mask is not None
        if id(mask) not in known:
            known[id(mask)] = _distances(mask.chance), _finer(mask.to_map)
        distance, finer = known[id(mask)]
        cell = 1 / float(np.sqrt(abs(np.linalg.det(finer[:, :2]))))  # pixels
        scale = np.diag([camera.fx * seen.mirror[0], camera.fy])
        border = _BORDER * _FINER
        corners = finer[:, :2] @ np.array([[-0.5, camera.width - 0.5], [-0.5, camera.height - 0.5]]) + finer[:, 2:]
        parts["distance"].append(distance * np.float32(cell / camera.fx))
        parts["to_map"].append(np.column_stack([finer[:, :2] @ scale, finer @ (camera.cx, camera.cy, 1.0)]))
        parts["low"].append(np.maximum(corners[:, 0] + border, 0.0))
        parts["high"].append(np.minimum(corners[:, 1] - border, len(distance) - 1.0))
        parts["sigma"].append(np.asarray(_DEVIATION * seen.palm_m / seen.rigid[:, 2].mean()))
    return Edges(**{name: np.stack(values) for name, values in parts.items()})


def _distances(chance: np.ndarray) -> np.ndarray:
    """Return distances (S, S) from the edge in cells of the finer map, positive on hands; 0 without an edge."""
    fine = len(chance) * _FINER
    sure = np.clip(chance.astype(np.float32), 1e-4, 1 - 1e-4)
    on = (cv2.resize(np.log(sure / (1 - sure)), (fine, fine), interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8)
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, 5) for part in (on, 1 - on))
    made: np.ndarray = np.where(on > 0, inside - 0.5, 0.5 - outside)
    return made


def _finer(to_map: np.ndarray) -> np.ndarray:
    """Return the map (2, 3) to cells of the finer map."""
    return np.column_stack([to_map[:, :2] * _FINER, to_map[:, 2] * _FINER + (_FINER - 1) / 2])


def rims(hands: Hands, edges: Edges, others: np.ndarray, mirror: np.ndarray) -> Rims:
    """Find the rims of N hands.

    Parameters
    ----------
    hands : Hands
        The hands.
    edges : Edges
        Their edges. A rim point far from an edge, or on another side of the hand, is none.
    others : (N,) int64
        Number of the other hand in the same picture, by whose flesh no rim point counts; -1 without one.
    mirror : (N, 3) float64
        Signs that turn the described hands into the real ones.

    Returns
    -------
    Rims
        The rims.
    """
    centres = Chain(hands).points(SPHERES) + hands.translation[:, None]
    depth = np.maximum(centres[..., 2], _NEAREST)
    flat = centres[..., :2] / depth[..., None]
    radius = sphere_radii(hands) / depth
    made = Rims(
        np.zeros((len(hands), _POINTS), dtype=np.int64),
        np.zeros((len(hands), _POINTS, 2)),
        np.zeros((len(hands), _POINTS)),
    )
    for k, (at, size) in enumerate(zip(flat, radius, strict=True)):
        free = ~_covered(at, size)
        free[_ARM] = False
        sphere, way = np.nonzero(free)
        points = at[sphere] + size[sphere, None] * _WAYS[way]
        value, slope, there = _looked_up(edges.rows(np.array([k])), points[None])
        beside = np.abs(value[0]) < _FARTHEST * hands.palm[k] / depth[k, sphere]
        kept = there[0] & beside & (-(slope[0] * _WAYS[way]).sum(axis=1) >= _ALONG)
        if others[k] >= 0:
            signs = mirror[k, :2] * mirror[others[k], :2]
            square = ((points[:, None] * signs - flat[others[k]]) ** 2).sum(axis=-1)
            kept &= (square > (_APART * radius[others[k]]) ** 2).all(axis=1)
        rows = np.flatnonzero(kept)
        if len(rows) > _POINTS:
            rows = rows[np.linspace(0, len(rows) - 1, _POINTS).astype(int)]
        made.sphere[k, : len(rows)], made.way[k, : len(rows)] = sphere[rows], _WAYS[way[rows]]
        made.weight[k, : len(rows)] = max(kept.sum() / _POINTS, 1.0)
    return made


def _covered(at: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return which points (S, A) around circles with centres (S, 2) and radii (S,) lie within others of them."""
    points = at[:, None] + size[:, None, None] * _WAYS
    square = (points**2).sum(-1)[..., None] + (at**2).sum(-1) - 2 * points @ at.T
    within = square < (_COVERED * size) ** 2
    within[np.arange(len(at)), :, np.arange(len(at))] = False
    made: np.ndarray = within.any(axis=2)
    return made


def add_outlines(sums: Sums, hands: Hands, edges: Edges, chosen: Rims) -> None:
    """Add the distances of the rims of N hands from their edges to their terms.

    Parameters
    ----------
    sums : Sums
        N normal equations in the 44 parameters of ``Hands.moved``.
    hands : Hands
        The hands.
    edges : Edges
        Their edges.
    chosen : Rims
        Their rims, which are held while the hands move.
    """
    used, sphere = np.unique(chosen.sphere, return_inverse=True)
    sphere = sphere.reshape(chosen.sphere.shape)
    places, change = Chain(hands).points_and_jacobian(SPHERES.rows(used))
    each = np.arange(len(hands))[:, None]
    at = places[each, sphere] + hands.translation[:, None]
    moved, radius = change[each, sphere], sphere_radii(hands)[each, chosen.sphere]
    depth = np.maximum(at[..., 2], _NEAREST)[..., None]
    flat = (at[..., :2] + radius[..., None] * chosen.way) / depth
    value, slope, there = _looked_up(edges, flat)
    sigma = edges.sigma[:, None]
    # The point moves with its circle's centre, and away from it as the sphere grows.
    along = np.concatenate([slope, -(slope * flat).sum(axis=-1, keepdims=True)], axis=-1) / (depth * sigma[..., None])
    jacobian = (along[..., None, :] @ moved)[..., 0, :]
    grown = (slope * chosen.way).sum(axis=-1) * radius / (depth[..., 0] * sigma)
    jacobian[..., POSE + SIZE] += grown
    jacobian[..., POSE + THICKNESS] += grown
    residual = value / sigma
    loss, weight = robust(residual**2, _ROBUST)
    share = np.where(there, chosen.weight, 0.0)
    sums.cost += (share * loss).sum(axis=1)
    root = np.sqrt(share * weight)
    sums.add_squares(root * residual, root[..., None] * jacobian)


def _looked_up(edges: Edges, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distance (N, R), its derivative (N, R, 2) and whether edges count at places (N, R, 2); bilinear."""
    place = flat @ edges.to_map[:, :, :2].swapaxes(1, 2) + edges.to_map[:, None, :, 2]
    there = ((place >= edges.low[:, None]) & (place <= edges.high[:, None])).all(axis=-1)
    last = edges.distance.shape[-1] - 1
    low = np.clip(np.floor(np.nan_to_num(place)), 0, last - 1).astype(np.int64)
    x, y = np.moveaxis(np.clip(place - low, 0, 1), -1, 0)
    column, row = np.moveaxis(low, -1, 0)
    each = np.arange(len(flat))[:, None]
    a, b = edges.distance[each, row, column], edges.distance[each, row, column + 1]
    c, d = edges.distance[each, row + 1, column], edges.distance[each, row + 1, column + 1]
    value = (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y
    by_map = np.stack([(b - a) * (1 - y) + (d - c) * y, (c - a) * (1 - x) + (d - b) * x], axis=-1)
    return value, by_map @ edges.to_map[:, :, :2], there
