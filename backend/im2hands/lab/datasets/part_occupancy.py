"""Synthetic hands with labelled points for training and judging the part occupancy network.

A hand is stored in its own exact canonical frame (metres), so that noisy keypoints can be drawn afresh each time it is
used. Signed distances come from libigl's fast winding number: ray parity is wrong where a posed hand intersects itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from im2hands.core.errors import SetupError
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.hand_model import FINGER_BONES, HandModel, HandShape
from im2hands.lab.synthesis.poses import ShapeSpread, mean_shape, random_rotations, random_shape

STUMP = 0.02
"""Metres of forearm kept behind the wrist; the hand is cut there, across the line from the wrist to the middle MCP."""

# Bone of the 16 (published order) for each of the 22 rig bones; forearm and palm bones are 0.
_FIRST_BONE_OF_FINGER = (13, 1, 4, 10, 7)
_CHUNK = 64


@dataclass(frozen=True)
class HandPoints:
    """Labelled points of H hands.

    Args:
        points: (H, N, 3) float32, canonical frame of the exact keypoints, metres.
        distance: (H, N) float32, signed distance to the uncut mesh, metres, negative inside.
        part: (H, N) int8, the bone (0 to 15) that the nearest surface belongs to.
        keypoints: (H, 21, 3) float64, exact, same frame.
    """

    points: Tensor
    distance: Tensor
    part: Tensor
    keypoints: Tensor


@dataclass(frozen=True)
class PosedHands:
    """Posed right hands in their canonical frames.

    Args:
        vertices: (H, V, 3) float64, metres. keypoints: (H, 21, 3) float64. faces: (F, 3) int64, outward, closed.
    """

    vertices: Tensor
    keypoints: Tensor
    faces: np.ndarray


def posed_hands(
    count: int, seed: int, *, mean: bool = False, spread: ShapeSpread | None = None, model: HandModel | None = None
) -> PosedHands:
    """``count`` random hands (of the mean shape if ``mean``, else of ``spread``), reproducible by ``seed``."""
    model = model or HandModel()
    generator = torch.Generator().manual_seed(seed)
    shape: HandShape = mean_shape(count) if mean else random_shape(count, generator, spread)
    vertices, heads = model.rest(shape)
    vertices, keypoints = model.pose(vertices, heads, random_rotations(model, heads, generator))
    bones = bones_from_keypoints(keypoints, ["right"] * count)
    turn = bones.rotation.mT
    wrist = bones.wrist[:, None]
    return PosedHands((vertices - wrist) @ turn, (keypoints - wrist) @ turn, model.faces.numpy())


def vertex_parts(model: HandModel) -> np.ndarray:
    """(1843,) int8, the bone of the 16 that moves each vertex most."""
    table = np.zeros(22, dtype=np.int8)
    for finger, bones in enumerate(FINGER_BONES):
        for level, bone in enumerate(bones):
            table[bone] = _FIRST_BONE_OF_FINGER[finger] + level
    return np.append(table[model._weights.argmax(dim=1).numpy()], np.int8(0))


def signed_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances (N,) metres, negative inside, and nearest faces (N,) of points (N, 3) to a closed mesh.

    Raises:
        SetupError: libigl is not installed.
    """
    distance, face = surface_distance(points, vertices, faces)
    # libigl's own signed distance is multiplied by 1 - 2 |w|: three times too deep where a hand dips into itself.
    return np.where(inside(points, vertices, faces), -1.0, 1.0) * distance, face


def surface_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N,) metres, never negative, and nearest faces (N,) of points (N, 3) to a mesh.

    Raises:
        SetupError: libigl is not installed.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    squared, face, _ = _igl().point_mesh_squared_distance(points, vertices, faces)
    return np.sqrt(squared), face


def inside(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3) lie in a closed mesh, by its winding number; far quicker than distances.

    Raises:
        SetupError: libigl is not installed.
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
    """Points around one hand: a third close to the surface, a third within a centimetre or two, a third uniform in its
    box.

    Args:
        vertices: (V, 3), keypoints: (21, 3), canonical frame, metres. faces: (F, 3).

    Returns:
        (count, 3) float64.
    """
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # The forearm behind the cut is of no interest; a little beyond it is, for noisy keypoints move the cut.
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


def make_points(count: int, points: int, seed: int, progress: Callable[[int, int], None] | None = None) -> HandPoints:
    """Label ``points`` points around each of ``count`` random hands, reproducible by ``seed``."""
    model = HandModel()
    parts = vertex_parts(model)
    face_parts = parts[model.faces.numpy()].max(axis=1)
    xyz = torch.empty(count, points, 3, dtype=torch.float32)
    distance = torch.empty(count, points, dtype=torch.float32)
    part = torch.empty(count, points, dtype=torch.int8)
    keypoints = torch.empty(count, 21, 3, dtype=torch.float64)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        hands = posed_hands(size, seed + start, model=model)
        keypoints[start : start + size] = hands.keypoints
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
    return HandPoints(xyz, distance, part, keypoints)


def cut_distance(distance: Tensor, canonical_x: Tensor, stump: float = STUMP) -> Tensor:
    """Signed distance to the hand cut behind the wrist, from that to the uncut one and the canonical x (metres)."""
    return torch.maximum(distance, canonical_x - stump)


# Where a keypoint may be defined, as shares of the bones beside it (standard deviations).
_ALONG_BONE = 0.06
_ALONG_TIP = 0.08
_ACROSS = 0.02


def jitter_keypoints(keypoints: Tensor, generator: torch.Generator, noise: float, definition: float) -> Tensor:
    """Keypoints as another detector would give them.

    Half of the hands get other joint definitions (joints moved along their bones and across them by shares of the palm,
    the same rule for all fingers of a hand plus a part of its own); all get independent Gaussian noise whose standard
    deviation per coordinate is drawn uniformly from 0 to ``noise``, none for a quarter of them.

    Args:
        keypoints: (B, 21, 3) metres. noise: metres. definition: strength of the definition jitter, 1 as trained.
    """
    count = keypoints.shape[0]

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    moved = keypoints.clone()
    use = (uniform(count, 1, 1) < 0.5).double() * definition
    for level in range(4):  # MCP (thumb CMC), PIP, DIP, tip of all fingers
        rows = [1 + 4 * finger + level for finger in range(5)]
        previous = [0 if level == 0 else row - 1 for row in rows]
        inward = keypoints[:, rows] - keypoints[:, previous]
        if level == 0:  # the metacarpals are long: a share of the first phalanx instead
            inward = keypoints[:, [row + 1 for row in rows]] - keypoints[:, rows]
        strength = _ALONG_TIP if level == 3 else _ALONG_BONE
        share = strength * (normal(count, 1, 1) + 0.5 * normal(count, 5, 1))
        moved[:, rows] += use * share * inward
    palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)[:, None, None]
    moved[:, :1] += use * _ALONG_BONE * normal(count, 1, 1) * (keypoints[:, 9:10] - keypoints[:, :1])
    moved += use * _ACROSS * palm * normal(count, 21, 3)
    sigma = noise * uniform(count, 1, 1) * (uniform(count, 1, 1) < 0.75).double()
    return moved + sigma * normal(count, 21, 3)
