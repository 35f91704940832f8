"""How far reconstructed hands are from the true ones: overlap, surface distance, keypoints, gap and penetration.

Each hand is compared with its middle knuckles laid on each other, as the field does for interacting hands; where the
two hands lie to each other is a measure of its own. Of both meshes only what lies in front of a cut 10 mm behind the
true wrist counts: the forearm is of no interest, and every method ends it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from im2hands.core.hands import MIDDLE_MCP, Side
from im2hands.geometry.bones import QUERY_SCALE, Bones, bones_from_keypoints
from im2hands.lab.datasets.part_occupancy import inside as winding_inside
from im2hands.lab.datasets.part_occupancy import surface_distance

CUT_M = 0.010
"""Metres behind the wrist, along the line from the middle knuckle, where both meshes are cut."""

IOU_POINTS = 40_000
SURFACE_POINTS = 8_000
_INSIDE_STEP = 0.0003  # metres off the surface; true faces that end inside the hand itself are no surface
_MARGIN = 0.005  # metres around both hands' box
_CELL = 0.006  # metres; points of one cell are neighbours
_PENETRATION_POINTS = 100_000


@dataclass(frozen=True)
class Mesh:
    """A closed triangle mesh: vertices (V, 3) metres, faces (F, 3) outward."""

    vertices: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class HandMeasures:
    """One reconstructed hand against the true one.

    Args:
        iou: intersection over union of the volumes, 0 to 1. chamfer_mm: mean of both mean distances between the
            surfaces. mpjpe_mm: mean distance of the 21 keypoints.
    """

    iou: float
    chamfer_mm: float
    mpjpe_mm: float


def measure_hand(
    side: Side, truth: Mesh, true_keypoints: np.ndarray, found: Mesh, keypoints: np.ndarray, seed: int
) -> HandMeasures:
    """Compare one hand; see :class:`TrueHand`, which is quicker where one hand is compared several times."""
    return TrueHand(side, truth, true_keypoints, seed).measure(found, keypoints)


class TrueHand:
    """A true hand with all that does not depend on what it is compared with, made when it is first needed.

    Args:
        side: of the hand. truth: its mesh, camera frame, metres. keypoints: (21, 3) metres, same frame. seed: of the
            random points.
    """

    def __init__(self, side: Side, truth: Mesh, keypoints: np.ndarray, seed: int) -> None:
        self._side, self._truth, self._seed = side, truth, seed
        self._keypoints = np.asarray(keypoints, np.float64)

    def measure(self, found: Mesh, keypoints: np.ndarray) -> HandMeasures:
        """Compare a reconstructed hand: its mesh, and its keypoints (21, 3) metres, both in the camera frame."""
        other = self._canonical(found, self._keypoints[MIDDLE_MCP] - keypoints[MIDDLE_MCP])
        iou, chamfer = self._iou(other), self._chamfer(other) * 1000
        return HandMeasures(iou, chamfer, mpjpe_mm(self._keypoints, keypoints))

    @cached_property
    def _bones(self) -> Bones:
        return bones_from_keypoints(torch.from_numpy(self._keypoints)[None], [self._side])

    def _canonical(self, mesh: Mesh, offset: np.ndarray) -> Mesh:
        points = torch.from_numpy(np.asarray(mesh.vertices, np.float64) + offset)[None]
        faces = np.asarray(mesh.faces, np.int64)
        local = (self._bones.to_query_space(points)[0] * QUERY_SCALE).numpy()
        return Mesh(
            np.ascontiguousarray(local), np.ascontiguousarray(faces[:, ::-1] if self._side == "left" else faces)
        )

    @cached_property
    def _own(self) -> Mesh:
        return self._canonical(self._truth, np.zeros(3))

    def _iou(self, found: Mesh) -> float:
        kept = np.concatenate([mesh.vertices[mesh.vertices[:, 0] < CUT_M] for mesh in (self._own, found)])
        low, high = kept.min(0) - _MARGIN, kept.max(0) + _MARGIN
        high[0] = min(high[0], CUT_M)
        points = np.random.default_rng(self._seed).uniform(low, high, size=(IOU_POINTS, 3))
        a, b = _inside(self._own, points), _inside(found, points)
        return float((a & b).sum() / max((a | b).sum(), 1))

    @cached_property
    def _surface(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Points of the true surface, and the state of the generator that drew them."""
        rng = np.random.default_rng(self._seed)
        rng.random(size=(IOU_POINTS, 3))  # those of the overlap came first
        points, normals = _sample(self._own, rng)
        points = points[~_inside(self._own, points + _INSIDE_STEP * normals)]
        return points, dict(rng.bit_generator.state)

    def _chamfer(self, found: Mesh) -> float:
        true_points, state = self._surface
        rng = np.random.default_rng()
        rng.bit_generator.state = state
        points, _ = _sample(found, rng)
        if not len(points):
            return float("inf")
        return float((_distance(self._own, points).mean() + _distance(found, true_points).mean()) / 2)


def mpjpe_mm(true_keypoints: np.ndarray, keypoints: np.ndarray) -> float:
    """Mean distance of one hand's keypoints (21, 3), metres, with the middle knuckles on each other; millimetres."""
    shift = true_keypoints[MIDDLE_MCP] - keypoints[MIDDLE_MCP]
    return float(np.linalg.norm(keypoints + shift - true_keypoints, axis=1).mean() * 1000)


def gap_error_mm(true_keypoints: dict[Side, np.ndarray], keypoints: dict[Side, np.ndarray]) -> float:
    """How far the vector between both middle knuckles is from the true one, millimetres."""
    true = true_keypoints["right"][MIDDLE_MCP] - true_keypoints["left"][MIDDLE_MCP]
    seen = keypoints["right"][MIDDLE_MCP] - keypoints["left"][MIDDLE_MCP]
    return float(np.linalg.norm(seen - true) * 1000)


def penetration_ml(left: Mesh, right: Mesh, seed: int) -> float:
    """Volume that lies in both meshes, millilitres, from random points in the box they share."""
    low = np.maximum(left.vertices.min(0), right.vertices.min(0))
    high = np.minimum(left.vertices.max(0), right.vertices.max(0))
    if (high <= low).any():
        return 0.0
    points = np.random.default_rng(seed).uniform(low, high, size=(_PENETRATION_POINTS, 3))
    points = points[_inside(left, points)]
    both = _inside(right, points).sum() if len(points) else 0
    return float(both / _PENETRATION_POINTS * np.prod(high - low) * 1e6)


def _inside(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3) lie in a closed mesh, by its winding number.

    Only those in the mesh's box are asked, neighbours after each other, which takes two thirds of the time.
    """
    result = np.zeros(len(points), bool)
    if not len(mesh.faces):
        return result
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    low = vertices.min(0)
    (boxed,) = ((points >= low) & (points <= vertices.max(0))).all(axis=1).nonzero()
    if len(boxed):
        cells = np.floor((points[boxed] - low) / _CELL)
        boxed = boxed[np.lexsort(cells.T)]
        result[boxed] = winding_inside(points[boxed], vertices, np.ascontiguousarray(mesh.faces, dtype=np.int64))
    return result


def _distance(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Distances (N,) metres of points (N, 3) from the surface."""
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    return surface_distance(points, vertices, np.ascontiguousarray(mesh.faces, dtype=np.int64))[0]


def _sample(mesh: Mesh, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points spread over the mesh in front of the cut, by area, and the normals there; at most SURFACE_POINTS."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1) * (corners[..., 0].min(axis=1) < CUT_M)
    if area.sum() <= 0:
        return np.empty((0, 3)), np.empty((0, 3))
    chosen = rng.choice(len(area), size=SURFACE_POINTS, p=area / area.sum())
    weights = rng.dirichlet((1.0, 1.0, 1.0), size=SURFACE_POINTS)
    points = (corners[chosen] * weights[..., None]).sum(axis=1)
    kept = points[:, 0] < CUT_M
    return points[kept], (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))[chosen][kept]
