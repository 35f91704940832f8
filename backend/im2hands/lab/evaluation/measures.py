"""Error measures of reconstructed hands: IoU, Chamfer distance, MPJPE, gap error and penetration volume.

IoU, Chamfer distance and MPJPE are measured per hand. The reconstructed hand is first translated so that its middle
knuckle (MCP) coincides with the true one, as is usual for interacting hands. The position of the two hands relative to
each other is measured separately, by the gap error. Both meshes are cut 10 mm behind the true wrist: the forearm is of
no interest, and every method ends it at another place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from im2hands.core.hands import MIDDLE_MCP, Side
from im2hands.geometry.bones import QUERY_SCALE, Bones, bones_from_keypoints
from im2hands.geometry.sealing import close_outward
from im2hands.lab.datasets.part_occupancy import inside as winding_inside
from im2hands.lab.datasets.part_occupancy import surface_distance

from .joint_errors import PROTOCOLS, point_errors_mm, root_offset_error_mm

CUT_M = 0.010
"""Distance of the cut behind the wrist, metres, along the line from the middle knuckle to the wrist."""

IOU_POINTS = 40_000
"""Random points from which the IoU is estimated."""

SURFACE_POINTS = 8_000
"""Random points on each surface from which the Chamfer distance is estimated."""

_INSIDE_STEP = 0.0003  # Step off the true surface, metres. A point still inside the mesh there is on no outer surface.
_MARGIN = 0.005  # Margin around the bounding box of both hands, metres.
_CELL = 0.006  # Size of a grid cell by which points are sorted, metres.
_PENETRATION_POINTS = 100_000


@dataclass(frozen=True)
class Mesh:
    """A closed triangle mesh.

    Parameters
    ----------
    vertices : (V, 3) float
        Metres.
    faces : (F, 3) int
        Vertex indices, oriented outward.
    """

    vertices: np.ndarray
    faces: np.ndarray


def sealed(mesh: Mesh) -> Mesh:
    """Close a mesh that is open at the wrist, and orient its faces outward; see ``geometry.sealing``."""
    return Mesh(*close_outward(mesh.vertices, mesh.faces))


@dataclass(frozen=True)
class HandMeasures:
    """Errors of one reconstructed hand.

    Parameters
    ----------
    iou : float
        Volumetric intersection over union, 0 to 1.
    chamfer_mm : float
        Chamfer distance, millimetres: the mean of the two mean distances from one surface to the other.
    mpjpe_mm : float
        Mean distance of the 21 keypoints, millimetres.
    """

    iou: float
    chamfer_mm: float
    mpjpe_mm: float


class TrueHand:
    """A true hand that reconstructions are compared with.

    What does not depend on the reconstruction is computed once, at its first use.

    Parameters
    ----------
    side : Side
        The person's own left or right hand.
    truth : Mesh
        True mesh, camera frame, metres.
    keypoints : (21, 3) float
        True keypoints, camera frame, metres.
    seed : int
        Seed of the random points.
    cut : float
        Distance of the cut behind the wrist, metres; smaller where the true mesh ends before ``CUT_M``.
    """

    def __init__(self, side: Side, truth: Mesh, keypoints: np.ndarray, seed: int, cut: float = CUT_M) -> None:
        self._side, self._truth, self._seed, self._cut = side, truth, seed, cut
        self._keypoints = np.asarray(keypoints, np.float64)

    def measure(self, found: Mesh, keypoints: np.ndarray) -> HandMeasures:
        """Compare a reconstructed hand with this true hand.

        Parameters
        ----------
        found : Mesh
            Reconstructed mesh, camera frame, metres.
        keypoints : (21, 3) float
            Keypoints of the reconstructed hand, camera frame, metres.

        Returns
        -------
        HandMeasures
            The Chamfer distance is infinite if no part of the mesh lies in front of the cut.
        """
        other = self._canonical(found, self._keypoints[MIDDLE_MCP] - keypoints[MIDDLE_MCP])
        iou, chamfer = self._iou(other), self._chamfer(other) * 1000
        return HandMeasures(iou, chamfer, mpjpe_mm(self._keypoints, keypoints))

    @cached_property
    def _bones(self) -> Bones:
        return bones_from_keypoints(torch.from_numpy(self._keypoints)[None], [self._side])

    def _canonical(self, mesh: Mesh, offset: np.ndarray) -> Mesh:
        """Move a mesh by an offset (3,) and express it in the true hand's canonical frame, as a right hand, metres."""
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
        kept = np.concatenate([mesh.vertices[mesh.vertices[:, 0] < self._cut] for mesh in (self._own, found)])
        low, high = kept.min(0) - _MARGIN, kept.max(0) + _MARGIN
        high[0] = min(high[0], self._cut)
        points = np.random.default_rng(self._seed).uniform(low, high, size=(IOU_POINTS, 3))
        a, b = inside(self._own, points), inside(found, points)
        return float((a & b).sum() / max((a | b).sum(), 1))

    @cached_property
    def _surface(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Points on the true surface, and the state of the random generator after drawing them."""
        rng = np.random.default_rng(self._seed)
        rng.random(size=(IOU_POINTS, 3))  # Skip the values that the points of the IoU use, so as not to reuse them.
        points, normals = _sample(self._own, rng, self._cut)
        points = points[~inside(self._own, points + _INSIDE_STEP * normals)]
        return points, dict(rng.bit_generator.state)

    def _chamfer(self, found: Mesh) -> float:
        true_points, state = self._surface
        rng = np.random.default_rng()
        rng.bit_generator.state = state
        points, _ = _sample(found, rng, self._cut)
        if not len(points):
            return float("inf")
        return float((_distance(self._own, points).mean() + _distance(found, true_points).mean()) / 2)


def mpjpe_mm(true_keypoints: np.ndarray, keypoints: np.ndarray) -> float:
    """Mean per-joint position error of one hand, after translating its middle knuckle onto the true one.

    Parameters
    ----------
    true_keypoints : (21, 3) float
        Metres.
    keypoints : (21, 3) float
        Estimated keypoints, same frame, metres.

    Returns
    -------
    float
        Millimetres.
    """
    errors = point_errors_mm(keypoints, true_keypoints, keypoints, true_keypoints, PROTOCOLS["mcp"])
    return float(errors.mean())


def gap_error_mm(true_keypoints: dict[Side, np.ndarray], keypoints: dict[Side, np.ndarray]) -> float:
    """Error of the vector from the left to the right middle knuckle.

    Parameters
    ----------
    true_keypoints : dict of Side to (21, 3) float
        Keypoints of both hands, metres.
    keypoints : dict of Side to (21, 3) float
        Estimated keypoints of both hands, same frame, metres.

    Returns
    -------
    float
        Length of the difference from the true vector, millimetres.
    """
    return root_offset_error_mm(keypoints, true_keypoints, MIDDLE_MCP)


def penetration_ml(left: Mesh, right: Mesh, seed: int) -> float:
    """Volume of the intersection of two meshes.

    It is estimated from random points in the intersection of the two bounding boxes.

    Parameters
    ----------
    left : Mesh
        Metres.
    right : Mesh
        Metres, same frame.
    seed : int
        Seed of the random points.

    Returns
    -------
    float
        Millilitres.
    """
    low = np.maximum(left.vertices.min(0), right.vertices.min(0))
    high = np.minimum(left.vertices.max(0), right.vertices.max(0))
    if (high <= low).any():
        return 0.0
    points = np.random.default_rng(seed).uniform(low, high, size=(_PENETRATION_POINTS, 3))
    points = points[inside(left, points)]
    both = inside(right, points).sum() if len(points) else 0
    return float(both / _PENETRATION_POINTS * np.prod(high - low) * 1e6)


def inside(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Test which points lie in a closed mesh, by its winding number.

    Only points in the mesh's bounding box are tested, sorted by grid cell: that takes two thirds of the time.

    Parameters
    ----------
    mesh : Mesh
        Metres.
    points : (N, 3) float64
        Same frame, metres.

    Returns
    -------
    (N,) bool
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


def _sample(mesh: Mesh, rng: np.random.Generator, cut: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) spread uniformly over the mesh in front of the cut, and unit normals (N, 3).

    N is at most SURFACE_POINTS; a mesh without area in front of the cut gives none.
    """
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1) * (corners[..., 0].min(axis=1) < cut)
    if area.sum() <= 0:
        return np.empty((0, 3)), np.empty((0, 3))
    chosen = rng.choice(len(area), size=SURFACE_POINTS, p=area / area.sum())
    weights = rng.dirichlet((1.0, 1.0, 1.0), size=SURFACE_POINTS)
    points = (corners[chosen] * weights[..., None]).sum(axis=1)
    kept = points[:, 0] < cut
    return points[kept], (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))[chosen][kept]
