"""Two hands that claim the same room: how much of it, how deep, where they touch; and surfaces that meet in between.

A point that both hands claim belongs to the one that it lies deeper in, so the surfaces meet halfway. Every vertex that
lies in the other hand moves inwards, along its own normal, until it is as deep in its own hand as in the other one. The
faces do not change, so this serves the extracted surfaces and the templates alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from im2hands.core.hands import OTHER_SIDE, SIDES, Side

from .normals import enclosed_volume, vertex_normals
from .surface_target import SurfaceTarget

TOUCH_M = 0.0015
"""Metres; a vertex touches the other hand if it is nearer to it than this: about a lattice spacing."""

_FINGERS = ("thumb", "index", "middle", "ring", "little")
_MARGIN = 0.02  # metres; few points of a hand are deeper under its skin
# Vertices nearer than this to one of the other hand are measured one by one: metres, and lengths of an edge.
_BAND, _EDGES = 0.003, 2.0
_MOST_PARTS = 12  # of a side of a large face
_EDGE_SHARE, _EDGE_FACES = 90, 500  # percentile and number of the faces whose edges are looked at
_STEPS, _LONGEST_STEP = 12, 0.002  # of each vertex on its way inwards; metres
_ROUGH_M = 0.0005  # metres; depths are inexact by so much
_NEAR_ENOUGH = 0.00005  # metres
_DEEP_MM, _LEFT = 5.0, 0.7  # millimetres; the volume of deeper overlaps must shrink by this factor
_PAST_MIDDLE = 0.6  # a vertex that is less deep than this share of its way has passed the middle of its own hand

Surface = tuple[np.ndarray, np.ndarray]
"""Vertices (V, 3), metres, and faces (F, 3), outward."""


@dataclass(frozen=True)
class Contact:
    """How two hands meet.

    Parameters
    ----------
    penetration_ml : float
        Volume that both hands claim, millilitres.
    deepest_mm : float
        Largest depth of a vertex of one hand below the other's surface, millimetres.
    deepest : (3,) float or None
        Place of that vertex, metres; None if no vertex lies in the other hand.
    touching : dict of Side to (C,) int32
        Vertices that lie in the other hand, or touch it.
    """

    penetration_ml: float = 0.0
    deepest_mm: float = 0.0
    deepest: np.ndarray | None = None
    touching: Mapping[Side, np.ndarray] = field(default_factory=dict)


def parted(surfaces: Mapping[Side, Surface]) -> tuple[dict[Side, np.ndarray], Contact]:
    """Let two surfaces that run through each other meet in between.

    Parameters
    ----------
    surfaces : mapping of Side to Surface
        Closed surfaces of both hands in a common frame.

    Returns
    -------
    vertices : dict of Side to (V, 3) float64
        The vertices; those that did not lie in the other hand are unchanged, and all are where a deep overlap would not
        shrink.
    contact : Contact
        How the surfaces met before they were parted.
    """
    found = {side: np.asarray(vertices, np.float64) for side, (vertices, _) in surfaces.items()}
    faces_of = {side: faces for side, (_, faces) in surfaces.items()}
    moved, contact = _parted(found, faces_of)
    if contact.deepest_mm > _DEEP_MM:
        left = _parted(moved, faces_of)[1].penetration_ml
        if left > _LEFT * contact.penetration_ml:  # a surface that runs through itself has no way inwards
            return found, contact
    return moved, contact


def _parted(
    found: dict[Side, np.ndarray], faces_of: Mapping[Side, np.ndarray]
) -> tuple[dict[Side, np.ndarray], Contact]:
    """The result of :func:`parted`, whether it is better or not."""
    box = _common_box(found)
    if box is None:
        return found, Contact()
    boxed = {side: np.flatnonzero(_in_box(vertices, *box)) for side, vertices in found.items()}
    if not all(len(rows) for rows in boxed.values()):
        return found, Contact()
    band = max(_BAND, *(_EDGES * _edge(found[side], faces_of[side]) for side in SIDES))
    even = {side: _even(found[side], faces_of[side], band) for side in SIDES}
    trees = {side: cKDTree(points[_in_box(points, *box)], balanced_tree=False) for side, (points, _) in even.items()}
    near, within = {}, {}
    for side, rows in boxed.items():
        other = OTHER_SIDE[side]
        distance, _ = trees[other].query(found[side][rows], distance_upper_bound=band)
        far = rows[np.isinf(distance)]
        near[side] = rows[np.isfinite(distance)]
        within[side] = far[_are_inside(found[side], faces_of[side], far, (found[other], faces_of[other]))]
    zone = np.concatenate([found[side][part[side]] for side in SIDES for part in (near, within)])
    if not len(zone):
        return found, Contact()
    low, high = zone.min(axis=0) - _MARGIN, zone.max(axis=0) + _MARGIN
    skins = {side: _part_in(*even[side], low, high) for side in SIDES}
    touching: dict[Side, np.ndarray] = {}
    moved: dict[Side, np.ndarray] = {}
    deepest, place, volume = 0.0, None, 0.0
    for side in SIDES:
        vertices, faces, skin = found[side], faces_of[side], skins[OTHER_SIDE[side]]
        depth = skin.depth(vertices[near[side]])
        touching[side] = np.sort(np.concatenate([near[side][depth > -TOUCH_M], within[side]])).astype(np.int32)
        rows = np.sort(np.concatenate([near[side][depth > 0], within[side]]))
        moved[side] = vertices
        if len(rows):
            depth = -skin.signed_distance(vertices[rows])
            if depth.max() > deepest:
                deepest, place = float(depth.max()), vertices[rows[depth.argmax()]]
            moved[side] = _shrunk(vertices, faces, rows, skins[side], skin)
            beside = np.isin(faces, rows).any(axis=1)
            volume += enclosed_volume(vertices, faces[beside]) - enclosed_volume(moved[side], faces[beside])
    return moved, Contact(max(volume, 0.0) * 1e6, deepest * 1e3, place, touching)


def touched_parts(points: np.ndarray, keypoints: np.ndarray) -> list[str]:
    """The parts of a hand that points of its skin belong to.

    Parameters
    ----------
    points : (N, 3) float
        Points, metres.
    keypoints : (21, 3) float
        Keypoints of the hand, same frame, metres.

    Returns
    -------
    list of str
        Names as in ``geometry.bones.BONE_NAMES``, in the order of the fingers: "palm", "thumb_1", ...
    """
    if not len(points):
        return []
    roots = 4 * np.arange(5) + 1
    starts = np.concatenate([np.zeros(5, int), (roots[:, None] + np.arange(3)).ravel()])
    ends = np.concatenate([roots, (roots[:, None] + 1 + np.arange(3)).ravel()])
    names = ["palm"] * 5 + [f"{finger}_{k}" for finger in _FINGERS for k in (1, 2, 3)]
    start, way = keypoints[starts], keypoints[ends] - keypoints[starts]
    along = ((points[:, None] - start) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-12)
    apart = points[:, None] - start - np.clip(along, 0, 1)[..., None] * way
    nearest = set((apart**2).sum(-1).argmin(axis=1).tolist())
    return list(dict.fromkeys(names[k] for k in sorted(nearest)))


def _common_box(found: Mapping[Side, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The box in which two hands may touch; None if there is none, or not both hands."""
    if len(found) < 2 or not all(len(vertices) for vertices in found.values()):
        return None
    low = np.maximum(*(vertices.min(axis=0) for vertices in found.values())) - TOUCH_M
    high = np.minimum(*(vertices.max(axis=0) for vertices in found.values())) + TOUCH_M
    return (low, high) if (low < high).all() else None  # not where a network gave numbers that are none, either


def _in_box(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    found = np.ones(len(points), bool)
    for axis in range(3):  # faster than comparing rows
        found &= (points[:, axis] > low[axis]) & (points[:, axis] < high[axis])
    return found


def _edge(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The length of a long edge of a surface, metres."""
    some = faces[:: max(1, len(faces) // _EDGE_FACES)]
    return float(np.percentile(np.linalg.norm(vertices[some[:, 0]] - vertices[some[:, 1]], axis=1), _EDGE_SHARE))


def _even(vertices: np.ndarray, faces: np.ndarray, longest: float) -> Surface:
    """The same surface with its large faces, such as those of the lid over a cut wrist, divided into small ones."""
    corners = vertices[faces]
    sides = corners - corners[:, [1, 2, 0]]
    length = np.sqrt(np.einsum("fkc,fkc->fk", sides, sides).max(axis=1))
    large = length > longest
    if not large.any():
        return vertices, faces
    parts = min(int(np.ceil(length.max() / longest)), _MOST_PARTS)
    grid = np.array([(i, j) for i in range(parts + 1) for j in range(parts + 1 - i)])
    number = {(i, j): k for k, (i, j) in enumerate(grid.tolist())}
    small = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i, j in number if i + j < parts]
    small += [(number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]) for i, j in number if i + j < parts - 1]
    a, b, c = (corners[large, k, None] for k in range(3))
    i, j = (grid.T / parts)[:, None, :, None]
    points = (1 - i - j) * a + i * b + j * c
    shift = len(vertices) + len(grid) * np.arange(len(points))
    new = (np.array(small) + shift[:, None, None]).reshape(-1, 3)
    return np.concatenate([vertices, points.reshape(-1, 3)]), np.concatenate([faces[~large], new])


def _part_in(vertices: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray) -> SurfaceTarget:
    """The part of a surface that reaches into a box."""
    there = _in_box(vertices, low, high)
    return SurfaceTarget(vertices, faces[there[faces[:, 0]] | there[faces[:, 1]] | there[faces[:, 2]]])


def _are_inside(vertices: np.ndarray, faces: np.ndarray, rows: np.ndarray, other: Surface) -> np.ndarray:
    """Which vertices, all far from another skin, lie in it: (N,) bool.

    A connected patch of them does not cross that skin, so one vertex tells of all.
    """
    if not len(rows):
        return np.zeros(0, bool)
    patches = _patches(faces, rows, len(vertices))
    inside = [_is_inside(vertices[rows[k]], *other) for k in np.unique(patches, return_index=True)[1]]
    return np.array(inside)[patches]


def _patches(faces: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """The number of the connected patch that each of some vertices belongs to."""
    number = np.full(count, -1)
    number[rows] = np.arange(len(rows))
    triangles = number[faces]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = edges[(edges[:, 0] >= 0) & (edges[:, 1] >= 0)]
    graph = sparse.coo_matrix((np.ones(len(edges), bool), edges.T), (len(rows), len(rows)))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def _is_inside(point: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether a point lies in a closed surface: a ray from it along z crosses the surface an odd number of times."""
    flat = vertices[:, :2] - point[:2]
    low, high = (_corners(np.minimum, flat, faces), _corners(np.maximum, flat, faces))
    corners = vertices[faces[(low[:, 0] <= 0) & (low[:, 1] <= 0) & (high[:, 0] >= 0) & (high[:, 1] >= 0)]] - point
    a, b, c = (corners[:, k] for k in range(3))
    shares = np.stack([one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] for one, two in ((b, c), (c, a), (a, b))])
    crossed = (shares > 0).all(axis=0) | (shares < 0).all(axis=0)
    height = (shares * corners[:, :, 2].T).sum(axis=0) / np.where(crossed, shares.sum(axis=0), 1.0)
    return bool((crossed & (height > 0)).sum() % 2)


def _corners(choose: np.ufunc, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The least or the largest value of the corners of each triangle."""
    found: np.ndarray = choose(choose(values[faces[:, 0]], values[faces[:, 1]]), values[faces[:, 2]])
    return found


def _shrunk(
    vertices: np.ndarray, faces: np.ndarray, rows: np.ndarray, own: SurfaceTarget, other: SurfaceTarget
) -> np.ndarray:
    """The vertices of a hand; those of ``rows``, which lie in the other hand, moved in to where the hands meet.

    The difference of the depths in both hands changes at most twice as fast as the place, so half of it is a step that
    does not go too far.
    """
    inwards = -vertex_normals(vertices, faces)[rows]
    way, best = np.zeros(len(rows)), np.zeros(len(rows))
    running = np.arange(len(rows))
    for number in range(_STEPS):
        places = vertices[rows[running]] + way[running, None] * inwards[running]
        deep = own.depth(places) if number else np.zeros(len(running))
        step = np.maximum(other.depth(places) - np.maximum(deep, 0.0), 0.0) / 2
        step = np.minimum(step, _LONGEST_STEP)
        fits = deep >= _PAST_MIDDLE * way[running] - _ROUGH_M
        best[running[fits]] = way[running[fits]]
        going = fits & (step > _NEAR_ENOUGH)
        running = running[going]
        if not len(running):
            break
        way[running] += step[going]
    moved = vertices.copy()
    moved[rows] += best[:, None] * inwards
    return moved
