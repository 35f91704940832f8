"""Scores of one mesh against one true hand: IoU, Chamfer distances, normal consistency.

The arithmetic is that of HALO's evaluator, in metres: 100,000 points spread over the area of each surface, nearest
neighbours between the two clouds, Chamfer-L1 = half the sum of the two mean distances, Chamfer-L2 = half the sum of the
two mean squares. Two independent samplings of one surface are not at distance 0: the *floor* states how far apart they
are. IoU is measured on two sets of points, which differ by several percent: ``iou_uniform`` on uniform points, and
``iou_points`` on the research code's set ``points``, half of which lies near the surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.geometry.sealing import volume
from im2hands.geometry.surface_samples import face_normals
from im2hands.geometry.surface_samples import sample_surface as points_on
from im2hands.lab.evaluation.measures import Mesh, inside

SURFACE_POINTS = 100_000
"""Points on each surface."""

INTERIOR_POINTS = 20_000
"""Least number of uniform points inside the hand: the IoU then has a standard error below 1 %."""

BOX_MARGIN = 1.1
"""Side of the box of uniform points over that of the hand's bounding box."""

LEAST_FILL = 0.05
"""Smallest share of its bounding box that a hand is taken to fill."""

MOST_POINTS = 2_000_000
"""Largest number of points that are drawn outside the box; beyond it they stand for more volume each."""

Alignment = Literal["none", "wrist", "middle-mcp", "middle-mcp-scaled"]
ALIGNMENTS: dict[Alignment, str] = {
    "none": "no alignment",
    "wrist": "the predicted wrist is moved onto the true one",
    "middle-mcp": "the predicted middle MCP is moved onto the true one",
    "middle-mcp-scaled": "as middle-mcp, and scaled by the true over the predicted length from wrist to middle MCP",
}
"""Alignments with what they do."""


@dataclass(frozen=True)
class ShapeScore:
    """Scores of one mesh. A quantity that cannot be measured is NaN.

    Parameters
    ----------
    iou_uniform : float
        IoU on uniform points, 0 to 1.
    iou_points : float
        IoU on the research code's ``points``, 0 to 1.
    chamfer_l1_mm : float
        Chamfer-L1, mm.
    chamfer_l2_mm2 : float
        Chamfer-L2, mm².
    accuracy_mm : float
        Mean distance from the mesh to the true surface, mm.
    completeness_mm : float
        Mean distance from the true surface to the mesh, mm.
    normals : float
        Mean absolute cosine of the normals of nearest points, 0 to 1.
    """

    iou_uniform: float = float("nan")
    iou_points: float = float("nan")
    chamfer_l1_mm: float = float("nan")
    chamfer_l2_mm2: float = float("nan")
    accuracy_mm: float = float("nan")
    completeness_mm: float = float("nan")
    normals: float = float("nan")


MISS = ShapeScore(iou_uniform=0.0, iou_points=0.0)
"""Score of a missing mesh: IoU 0; no distance, so the means of distances are over the meshes that are there."""


@dataclass(frozen=True)
class UniformPoints:
    """Labelled points that fill a box uniformly.

    Parameters
    ----------
    points : (N, 3) float64
        The points.
    labels : (N,) bool
        Whether they lie in the true hand.
    low : (3,) float64
        Least corner of the box.
    high : (3,) float64
        Largest corner. The true hand lies in the box.
    """

    points: np.ndarray
    labels: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Targets:
    """What a mesh is compared with; canonical frame of the true hand, metres.

    Parameters
    ----------
    uniform : UniformPoints, optional
        Uniform points around the true hand.
    points : ((N, 3) float64, (N,) bool), optional
        The research code's ``points``.
    cloud : ((N, 3) float64, (N, 3) float64), optional
        Points on the true surface and their unit normals.
    """

    uniform: UniformPoints | None = None
    points: tuple[np.ndarray, np.ndarray] | None = None
    cloud: tuple[np.ndarray, np.ndarray] | None = None


def uniform_points(mesh: Mesh, seed: tuple[int, ...], least: int = INTERIOR_POINTS) -> UniformPoints:
    """Draw uniform points in a mesh's own box, as many as put enough of them inside, and label them.

    Parameters
    ----------
    mesh : Mesh
        A closed mesh.
    seed : tuple of int
        Seed of the points.
    least : int
        Number of points inside, at least.

    Returns
    -------
    UniformPoints
        Frame of the mesh.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    centre, reach = (low + high) / 2, (high - low) / 2 * BOX_MARGIN
    fill = max(abs(volume(mesh.vertices, mesh.faces)) / np.prod(2 * reach), LEAST_FILL)
    count = int(np.ceil(1.1 * least / fill))
    points = np.random.default_rng(seed).uniform(centre - reach, centre + reach, (count, 3))
    return UniformPoints(points, inside(mesh, points), centre - reach, centre + reach)


def sample_surface(mesh: Mesh, seed: tuple[int, ...], count: int = SURFACE_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Spread points over the area of a mesh.

    Parameters
    ----------
    mesh : Mesh
        Any frame.
    seed : tuple of int
        Seed of the points.
    count : int
        Number of points.

    Returns
    -------
    points : (count, 3) float64
        On the surface; none if the mesh has no area.
    normals : (count, 3) float64
        Unit normals of their faces.
    """
    points, face = points_on(mesh.vertices, mesh.faces, count, np.random.default_rng(seed))
    return points, face_normals(mesh.vertices, mesh.faces)[face]


def score(found: Mesh, targets: Targets, seed: tuple[int, ...], count: int = SURFACE_POINTS) -> ShapeScore:
    """Compare a mesh with a true hand.

    Parameters
    ----------
    found : Mesh
        Canonical frame of the true hand, metres, closed. Without faces it is a miss.
    targets : Targets
        The true hand.
    seed : tuple of int
        Seed of the points on the mesh.
    count : int
        Points on the mesh.

    Returns
    -------
    ShapeScore
    """
    points, normals = sample_surface(found, seed, count)
    if not len(points):
        return MISS
    uniform = float("nan") if targets.uniform is None else _iou_uniform(found, targets.uniform, (*seed, 1))
    made = ShapeScore(uniform, _iou(found, targets.points))
    if targets.cloud is None:
        return made
    true_points, true_normals = targets.cloud
    there, nearest_true = cKDTree(true_points).query(points)
    back, nearest_found = cKDTree(points).query(true_points)
    cosines = (
        np.abs((normals * true_normals[nearest_true]).sum(1)).mean(),
        np.abs((true_normals * normals[nearest_found]).sum(1)).mean(),
    )
    return replace(
        made,
        chamfer_l1_mm=float(there.mean() + back.mean()) / 2 * 1e3,
        chamfer_l2_mm2=float((there**2).mean() + (back**2).mean()) / 2 * 1e6,
        accuracy_mm=float(there.mean()) * 1e3,
        completeness_mm=float(back.mean()) * 1e3,
        normals=float(np.mean(cosines)),
    )


def _iou(found: Mesh, labelled: tuple[np.ndarray, np.ndarray] | None) -> float:
    if labelled is None:
        return float("nan")
    points, truth = labelled
    here = inside(found, points)
    union = int((here | truth).sum())
    return float((here & truth).sum() / union) if union else float("nan")


def _iou_uniform(found: Mesh, uniform: UniformPoints, seed: tuple[int, ...]) -> float:
    """IoU on uniform points. What of the mesh lies outside their box counts, too: points of the same density are drawn
    there, else a mesh far away would have no more than the true hand's volume as union."""
    here = inside(found, uniform.points)
    low, high = found.vertices.min(0), found.vertices.max(0)
    extra = 0.0
    if (low < uniform.low).any() or (high > uniform.high).any():
        density = len(uniform.points) / float(np.prod(uniform.high - uniform.low))
        wanted = density * float(np.prod(high - low))
        count = int(min(np.ceil(wanted), MOST_POINTS))
        points = np.random.default_rng(seed).uniform(low, high, (count, 3))
        outside = ((points < uniform.low) | (points > uniform.high)).any(1)
        extra = float(inside(found, points[outside]).sum()) * wanted / max(count, 1)
    union = float((here | uniform.labels).sum()) + extra
    return float((here & uniform.labels).sum()) / union if union else float("nan")


def sampling_floor_mm(mesh: Mesh, seed: tuple[int, ...], count: int = SURFACE_POINTS) -> float:
    """Chamfer-L1 of two independent samplings of one surface, mm: no mesh can score less on average."""
    one, other = (sample_surface(mesh, (*seed, number), count)[0] for number in (1, 2))
    return _mutual(one, other)


def _mutual(one: np.ndarray, other: np.ndarray) -> float:
    return float(cKDTree(one).query(other)[0].mean() + cKDTree(other).query(one)[0].mean()) / 2 * 1e3


def cloud_floor_mm(cloud: np.ndarray) -> float:
    """The floor of a stored point cloud (N, 3), metres: from its halves, whose floor is √2 times larger."""
    return _mutual(cloud[::2], cloud[1::2]) / float(np.sqrt(2))


def aligned(vertices: np.ndarray, joints: np.ndarray | None, true_joints: np.ndarray, how: Alignment) -> np.ndarray:
    """Align a predicted hand with the true one.

    Parameters
    ----------
    vertices : (V, 3) float64
        Predicted vertices, canonical frame of the true hand, metres.
    joints : (21, 3) float64 or None
        Predicted keypoints, same frame; not needed for "none".
    true_joints : (21, 3) float64
        True keypoints, same frame.
    how : Alignment
        The alignment.

    Returns
    -------
    (V, 3) float64
        The moved vertices.

    Raises
    ------
    ValueError
        The alignment needs keypoints and there are none.
    """
    if how == "none":
        return vertices
    if joints is None:
        raise ValueError(f"alignment {how} needs predicted keypoints")
    root = WRIST if how == "wrist" else MIDDLE_MCP
    factor = 1.0
    if how == "middle-mcp-scaled":
        factor = palm(true_joints) / max(palm(joints), 1e-9)
    return (vertices - joints[root]) * factor + true_joints[root]


def palm(joints: np.ndarray) -> float:
    """Length from the wrist to the middle MCP."""
    return float(np.linalg.norm(joints[MIDDLE_MCP] - joints[WRIST]))
