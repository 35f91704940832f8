"""Synthetic hands with labelled points, for training and evaluating the part occupancy network.

Each hand is stored in the canonical frame of its exact keypoints (metres), so that noisy keypoints can be drawn anew
each time it is used. The sign of the distances comes from libigl's fast winding number. Ray parity would be wrong where
a posed hand intersects itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from im2hands.core.errors import SetupError
from im2hands.geometry.bones import THICKNESS_COUNT, bones_from_keypoints
from im2hands.geometry.hand_model import FINGER_BONES, HandModel, HandShape
from im2hands.lab.synthesis.poses import ShapeSpread, mean_shape, random_rotations, random_shape

from .hand_thickness import measure_thickness

STUMP = 0.02
"""Length of forearm kept behind the wrist, metres. The cut is perpendicular to the line from the wrist to the middle
MCP."""

FIRST_BONES = (13, 1, 4, 10, 7)
"""First of the three bones of each finger, thumb to little, among the 16 bones in published order."""

_CHUNK = 64  # hands that are posed together

WIDE = ShapeSpread(
    size=1.8, components=1.3, finger_length=0.06, one_finger_length=0.03, bone_length=0.03, thickness=0.10,
    one_finger_thickness=0.04, palm_thickness=0.10, palm_length=0.05,
)  # fmt: skip
"""Shapes beyond the usual ones, as other hand models and rare people have them."""

_PROPORTION = 0.06  # standard deviation of the logarithms of a wide hand's width and depth as a whole


@dataclass(frozen=True)
class HandPoints:
    """Labelled points of H hands.

    Parameters
    ----------
    points : (H, N, 3) float32
        Points, canonical frame of the exact keypoints, metres.
    distance : (H, N) float32
        Signed distance to the uncut mesh, metres, negative inside.
    part : (H, N) int8
        Bone (0 to 15) of the nearest surface.
    keypoints : (H, 21, 3) float64
        Exact keypoints, same frame, metres.
    thickness : (H, 17) float64
        Their thicknesses in metres, see ``hand_thickness``; NaN where not known.
    """

    points: Tensor
    distance: Tensor
    part: Tensor
    keypoints: Tensor
    thickness: Tensor


@dataclass(frozen=True)
class PosedHands:
    """H posed right hands in their canonical frames.

    Parameters
    ----------
    vertices : (H, V, 3) float64
        Mesh vertices, metres.
    keypoints : (H, 21, 3) float64
        Exact keypoints, metres.
    faces : (F, 3) int64
        Faces of the closed mesh, oriented outward.
    thickness : (H, 17) float64
        Their thicknesses in metres; see ``hand_thickness``.
    """

    vertices: Tensor
    keypoints: Tensor
    faces: np.ndarray
    thickness: Tensor


def posed_hands(
    count: int, seed: int, *, mean: bool = False, spread: ShapeSpread | None = None, model: HandModel | None = None,
    other_proportions: bool = False,
) -> PosedHands:  # fmt: skip
    """Make random hands.

    Parameters
    ----------
    count : int
        Number of hands.
    seed : int
        The same seed gives the same hands.
    mean : bool
        Whether all hands have the mean shape.
    spread : ShapeSpread, optional
        Spread of the random shapes; None takes the default spread.
    model : HandModel, optional
        The hand model; None loads the bundled one.
    other_proportions : bool
        Whether the hands, skeleton and flesh, are also made wider or narrower and flatter or deeper as a whole.

    Returns
    -------
    PosedHands
        The hands.
    """
    model = model or HandModel()
    generator = torch.Generator().manual_seed(seed)
    shape: HandShape = mean_shape(count) if mean else random_shape(count, generator, spread)
    vertices, heads = model.rest(shape)
    if other_proportions:
        vertices, heads = _stretched(model, vertices, heads, generator)
    faces = model.faces.numpy()
    straight = _canonical(*model.pose(vertices, heads, _no_turn(count)))
    thickness = measure_thickness(*straight, faces, vertex_parts(model))
    posed = _canonical(*model.pose(vertices, heads, random_rotations(model, heads, generator)))
    return PosedHands(*posed, faces, thickness)


def _canonical(vertices: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices (B, V, 3) and keypoints (B, 21, 3) of right hands in their canonical frames."""
    bones = bones_from_keypoints(keypoints, ["right"] * len(keypoints))
    turn, wrist = bones.rotation.mT, bones.wrist[:, None]
    return (vertices - wrist) @ turn, (keypoints - wrist) @ turn


def _no_turn(count: int) -> Tensor:
    return torch.eye(3, dtype=torch.float64).repeat(count, 22, 1, 1)


def _stretched(
    model: HandModel, vertices: Tensor, heads: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Rest-pose hands that are wider or narrower, and flatter or deeper."""
    count = len(vertices)
    keypoints = model.pose(vertices, heads, _no_turn(count))[1]
    frame = bones_from_keypoints(keypoints, ["right"] * count).rotation
    factor = torch.ones(count, 3, dtype=torch.float64)
    normal = torch.randn(count, 2, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)
    factor[:, 1:] = torch.exp(_PROPORTION * normal)
    stretch = frame.mT @ (factor[..., None] * frame)
    return vertices @ stretch, heads @ stretch  # symmetric


def vertex_parts(model: HandModel) -> np.ndarray:
    """Find the bone (0 to 15) with the largest skin weight for each vertex of the hand model, (1843,) int8."""
    table = np.zeros(22, dtype=np.int8)
    for finger, bones in enumerate(FINGER_BONES):
        for level, bone in enumerate(bones):
            table[bone] = FIRST_BONES[finger] + level
    return np.append(table[model._weights.argmax(dim=1).numpy()], np.int8(0))


def signed_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute signed distances of points to a closed mesh.

    Parameters
    ----------
    points : (N, 3) float
        The points, metres.
    vertices : (V, 3) float64
        Vertices of the mesh, metres.
    faces : (F, 3) int64
        Faces of the mesh, oriented outward.

    Returns
    -------
    distance : (N,) float64
        Signed distances, metres, negative inside.
    face : (N,) int
        Index of the nearest face.

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    distance, face = surface_distance(points, vertices, faces)
    # libigl's own signed distance has the factor 1 - 2 |w|, where w is the winding number. Where a hand intersects
    # itself, w is 2 and the distance would be three times too large.
    return np.where(inside(points, vertices, faces), -1.0, 1.0) * distance, face


def surface_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute unsigned distances of points to a mesh.

    Parameters
    ----------
    points : (N, 3) float
        The points, metres.
    vertices : (V, 3) float64
        Vertices of the mesh, metres.
    faces : (F, 3) int64
        Faces of the mesh.

    Returns
    -------
    distance : (N,) float64
        Distances, metres.
    face : (N,) int
        Index of the nearest face.

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    squared, face, _ = _igl().point_mesh_squared_distance(points, vertices, faces)
    return np.sqrt(squared), face


def inside(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Test which points lie inside a closed mesh, by the winding number; much faster than distances.

    Parameters
    ----------
    points : (N, 3) float
        The points, metres.
    vertices : (V, 3) float64
        Vertices of the mesh, metres.
    faces : (F, 3) int64
        Faces of the mesh.

    Returns
    -------
    (N,) bool
        Which points lie inside.

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    winding = _igl().fast_winding_number(vertices, faces, np.ascontiguousarray(points, dtype=np.float64))
    return np.asarray(np.abs(winding) > 0.5)


def _igl() -> Any:
    try:
        import igl
    except ImportError as error:
        raise SetupError("Training needs libigl.", "pip install 'im2hands[train]'") from error
    return igl


def sample_points(
    vertices: np.ndarray, faces: np.ndarray, keypoints: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw points around one hand.

    A third lie close to the surface (noise of 1.5 mm), a third around it (noise of 10 mm), and the rest are uniform in
    the hand's box with a margin of 15 mm.

    Parameters
    ----------
    vertices : (V, 3) float64
        Mesh vertices, canonical frame, metres.
    faces : (F, 3) int64
        Faces of the mesh.
    keypoints : (21, 3) float64
        Not used.
    count : int
        Number of points.
    rng : numpy.random.Generator
        Source of all random numbers.

    Returns
    -------
    (count, 3) float64
        The points in the order of the three thirds, canonical frame, metres.
    """
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Leave out the forearm behind the cut, but keep 15 mm of it: noisy keypoints move the cut.
    area = area * (corners[..., 0].mean(axis=1) < STUMP + 0.015)
    third = count // 3
    chosen = rng.choice(len(faces), size=2 * third, p=area / area.sum())
    weights = rng.dirichlet((1.0, 1.0, 1.0), size=2 * third)
    surface = (corners[chosen] * weights[..., None]).sum(axis=1)
    spread = np.where(np.arange(2 * third) < third, 0.0015, 0.010)[:, None]
    near = surface + rng.standard_normal(surface.shape) * spread
    hand = vertices[vertices[:, 0] < STUMP + 0.015]
    low, high = hand.min(axis=0) - 0.015, hand.max(axis=0) + 0.015
    uniform = rng.uniform(low, high, size=(count - 2 * third, 3))
    return np.concatenate([near, uniform])


def make_points(
    count: int, points: int, seed: int, progress: Callable[[int, int], None] | None = None, wide: float = 0.0
) -> HandPoints:
    """Make random hands and label points around them.

    Parameters
    ----------
    count : int
        Number of hands.
    points : int
        Points of each hand.
    seed : int
        The same seed gives the same hands and points.
    progress : callable, optional
        Called with the number of finished hands and ``count``.
    wide : float
        Share of the hands that have shapes beyond the usual ones.

    Returns
    -------
    HandPoints
        The labelled points, in the order of :func:`sample_points`.

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    model = HandModel()
    parts = vertex_parts(model)
    face_parts = parts[model.faces.numpy()].max(axis=1)
    xyz = torch.empty(count, points, 3, dtype=torch.float32)
    distance = torch.empty(count, points, dtype=torch.float32)
    part = torch.empty(count, points, dtype=torch.int8)
    keypoints = torch.empty(count, 21, 3, dtype=torch.float64)
    thickness = torch.empty(count, THICKNESS_COUNT, dtype=torch.float64)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        beyond = (start // _CHUNK + 1) * wide % 1 < wide  # evenly spread over the chunks
        spread = WIDE if beyond else None
        hands = posed_hands(size, seed + start, model=model, spread=spread, other_proportions=beyond)
        keypoints[start : start + size], thickness[start : start + size] = hands.keypoints, hands.thickness
        for k in range(size):
            rng = np.random.default_rng((seed, start + k))
            vertices = np.ascontiguousarray(hands.vertices[k].numpy())
            sample = sample_points(vertices, hands.faces, hands.keypoints[k].numpy(), points, rng)
            signed, face = signed_distance(sample, vertices, hands.faces)
            xyz[start + k] = torch.from_numpy(sample)
            distance[start + k] = torch.from_numpy(signed)
            part[start + k] = torch.from_numpy(face_parts[face])
        if progress:
            progress(start + size, count)
    return HandPoints(xyz, distance, part, keypoints, thickness)


def cut_distance(distance: Tensor, canonical_x: Tensor, stump: float = STUMP) -> Tensor:
    """Turn signed distances to the uncut hand into signed distances to the hand cut behind the wrist.

    Parameters
    ----------
    distance : (...) float
        Signed distances to the uncut hand, metres.
    canonical_x : (...) float
        The points' x in the canonical frame, metres; it grows from the wrist towards the forearm.
    stump : float
        Length of forearm that is kept, metres.

    Returns
    -------
    (...) float
        Signed distances to the cut hand, metres.
    """
    return torch.maximum(distance, canonical_x - stump)
