"""How far reconstructed hands are from the true ones: overlap, surface distance, keypoints, gap and penetration.

Each hand is compared with its middle knuckles laid on each other, as the field does for interacting hands; where the
two hands lie to each other is a measure of its own. Of both meshes only what lies in front of a cut 10 mm behind the
true wrist counts: the forearm is of no interest, and every method ends it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..bones import QUERY_SCALE, bones_from_keypoints
from ..datasets.part_occupancy import inside as winding_inside
from ..datasets.part_occupancy import signed_distance
from ..hands import MIDDLE_MCP, Side

CUT_M = 0.010
"""Metres behind the wrist, along the line from the middle knuckle, where both meshes are cut."""

IOU_POINTS = 40_000
SURFACE_POINTS = 8_000
_INSIDE_STEP = 0.0003  # metres off the surface; true faces that end inside the hand itself are no surface
_MARGIN = 0.005  # metres around both hands' box
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
    """Compare one hand.

    Args:
        side: of the hand. truth, found: meshes, camera frame. true_keypoints, keypoints: (21, 3) metres, same frame.
        seed: of the random points.
    """
    shift = true_keypoints[MIDDLE_MCP] - keypoints[MIDDLE_MCP]
    bones = bones_from_keypoints(torch.from_numpy(np.asarray(true_keypoints, np.float64))[None], [side])

    def canonical(mesh: Mesh, offset: np.ndarray) -> Mesh:
        points = torch.from_numpy(np.asarray(mesh.vertices, np.float64) + offset)[None]
        faces = np.asarray(mesh.faces, np.int64)
        local = (bones.to_query_space(points)[0] * QUERY_SCALE).numpy()
        return Mesh(np.ascontiguousarray(local), np.ascontiguousarray(faces[:, ::-1] if side == "left" else faces))

    own, other = canonical(truth, np.zeros(3)), canonical(found, shift)
    rng = np.random.default_rng(seed)
    iou, chamfer = _iou(own, other, rng), _chamfer(own, other, rng) * 1000
    return HandMeasures(iou, chamfer, mpjpe_mm(true_keypoints, keypoints))


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
    """(N,) bool: which points (N, 3) lie inside, by the winding number."""
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    return winding_inside(points, vertices, np.ascontiguousarray(mesh.faces, dtype=np.int64))


def _distance(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Distances (N,) metres of points (N, 3) from the surface."""
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    return np.abs(signed_distance(points, vertices, np.ascontiguousarray(mesh.faces, dtype=np.int64))[0])


def _iou(truth: Mesh, found: Mesh, rng: np.random.Generator) -> float:
    kept = np.concatenate([mesh.vertices[mesh.vertices[:, 0] < CUT_M] for mesh in (truth, found)])
    low, high = kept.min(0) - _MARGIN, kept.max(0) + _MARGIN
    high[0] = min(high[0], CUT_M)
    points = rng.uniform(low, high, size=(IOU_POINTS, 3))
    a, b = _inside(truth, points), _inside(found, points)
    return float((a & b).sum() / max((a | b).sum(), 1))


def _chamfer(truth: Mesh, found: Mesh, rng: np.random.Generator) -> float:
    true_points, normals = _sample(truth, rng)
    true_points = true_points[~_inside(truth, true_points + _INSIDE_STEP * normals)]
    points, _ = _sample(found, rng)
    if not len(points):
        return float("inf")
    return float((_distance(truth, points).mean() + _distance(found, true_points).mean()) / 2)


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
