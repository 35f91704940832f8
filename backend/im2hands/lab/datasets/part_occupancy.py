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
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.hand_model import FINGER_BONES, HandModel, HandShape
from im2hands.geometry.hand_shape import WIDTH_COUNT, measure_widths
from im2hands.lab.synthesis.poses import ShapeSpread, mean_shape, random_rotations, random_shape

STUMP = 0.02
"""Length of forearm kept behind the wrist, metres. The cut is perpendicular to the line from the wrist to the middle
MCP."""

# First of the three bones of each finger, thumb to little, among the 16 bones in published order.
_FIRST_BONE_OF_FINGER = (13, 1, 4, 10, 7)
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
    widths : (H, 8) float64
        Their widths (``geometry.hand_shape``), NaN where not known.
    """

    points: Tensor
    distance: Tensor
    part: Tensor
    keypoints: Tensor
    widths: Tensor


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
    widths : (H, 8) float64
        Their widths; see ``geometry.hand_shape``.
    """

    vertices: Tensor
    keypoints: Tensor
    faces: np.ndarray
    widths: Tensor


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
    widths = measure_widths(*_canonical(*model.pose(vertices, heads, _no_turn(count))), faces, vertex_parts(model))
    posed = _canonical(*model.pose(vertices, heads, random_rotations(model, heads, generator)))
    return PosedHands(*posed, faces, widths)


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
            table[bone] = _FIRST_BONE_OF_FINGER[finger] + level
    return np.append(table[model.main_bones], np.int8(0))


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
    widths = torch.empty(count, WIDTH_COUNT, dtype=torch.float64)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        beyond = (start // _CHUNK + 1) * wide % 1 < wide  # evenly spread over the chunks
        spread = WIDE if beyond else None
        hands = posed_hands(size, seed + start, model=model, spread=spread, other_proportions=beyond)
        keypoints[start : start + size], widths[start : start + size] = hands.keypoints, hands.widths
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
    return HandPoints(xyz, distance, part, keypoints, widths)


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


# Jitter of the joint definitions, standard deviations.
_ALONG_BONE = 0.06  # of joints along their bone, share of the bone's length
_ALONG_TIP = 0.08  # of fingertips along their bone, share of the bone's length
_ACROSS = 0.02  # of all keypoints in each coordinate, share of the palm length


_DEPTH, _DEPTH_EACH = 0.04, 0.015  # joints of another skeleton towards the back of the hand, share of the palm length
_SIDE = 0.015  # and sideways

_WIDTH_ERROR = 0.05  # largest standard deviation of errors of known widths, share


def other_skeletons(keypoints: Tensor, transforms: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Move the keypoints of some hands to where another skeleton has them: nearer to the palm or the back of the hand.

    Parameters
    ----------
    keypoints : (B, 21, 3) float64
        Keypoints of B right hands, file order, canonical frame, metres.
    transforms : (B, 16, 4, 4) float64
        Their bone transforms; see ``geometry.bones``.
    generator : torch.Generator
        CPU generator. The same state gives the same keypoints.
    share : float
        Share of the hands that are changed, 0 to 1.

    Returns
    -------
    (B, 21, 3) float64
        The keypoints.
    """
    count = len(keypoints)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)

    use = (torch.rand(count, 1, 1, generator=generator, dtype=torch.float64) < share).double()
    palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)[:, None, None]
    common, level = _DEPTH * normal(count, 1), _DEPTH_EACH * normal(count, 5)
    side = _SIDE * normal(count, 5, 2)
    moved = keypoints.clone()
    for finger, first in enumerate(_FIRST_BONE_OF_FINGER):
        for k in range(4):
            # The bone that starts at this joint, or ends at the tip, in the straight hand: back of the hand along y.
            turn = transforms[:, first + min(k, 2), :3, :3]
            turn = turn / torch.linalg.vector_norm(turn, dim=-1, keepdim=True)
            share_of_tip = 0.5 if k == 3 else 1.0
            offset = torch.stack(
                [torch.zeros_like(common[:, 0]), (common[:, 0] + level[:, k + 1]) * share_of_tip, side[:, finger, k % 2]], dim=-1
            )
            moved[:, 1 + 4 * finger + k] += (use * palm)[:, 0] * (turn.mT @ offset[..., None])[..., 0]
    moved[:, 0, 1] += (use * palm)[:, 0, 0] * (common[:, 0] + level[:, 0])
    return moved


def jitter_keypoints(keypoints: Tensor, generator: torch.Generator, noise: float, definition: float) -> Tensor:
    """Add random noise and other joint definitions to keypoints, as another detector would.

    Half of the hands get other joint definitions: joints move along their bones, partly alike for all fingers and
    partly each by itself, and all keypoints move a little in every direction. Three quarters of the hands also get
    Gaussian noise, whose standard deviation is uniform between 0 and ``noise`` for each hand.

    Parameters
    ----------
    keypoints : (B, 21, 3) float64
        Keypoints of B hands, file order, metres.
    generator : torch.Generator
        CPU generator. The same state gives the same jitter.
    noise : float
        Largest standard deviation of a coordinate's noise, metres.
    definition : float
        Strength of the joint definition jitter: 0 for none, 1 for the usual strength.

    Returns
    -------
    (B, 21, 3) float64
        The moved keypoints.
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
        if level == 0:  # the metacarpals are long, so take a share of the first phalanx instead
            inward = keypoints[:, [row + 1 for row in rows]] - keypoints[:, rows]
        strength = _ALONG_TIP if level == 3 else _ALONG_BONE
        share = strength * (normal(count, 1, 1) + 0.5 * normal(count, 5, 1))
        moved[:, rows] += use * share * inward
    palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)[:, None, None]
    moved[:, :1] += use * _ALONG_BONE * normal(count, 1, 1) * (keypoints[:, 9:10] - keypoints[:, :1])
    moved += use * _ACROSS * palm * normal(count, 21, 3)
    sigma = noise * uniform(count, 1, 1) * (uniform(count, 1, 1) < 0.75).double()
    return moved + sigma * normal(count, 21, 3)


def forget_widths(widths: Tensor, generator: torch.Generator) -> Tensor:
    """Keep of the widths of hands what a reconstruction may know of them.

    Four in ten hands keep none, three all as they are; the others have errors of up to 5 % and keep all, or the palm's
    and that of all fingers together, or each by chance.

    Parameters
    ----------
    widths : (B, 8) float64
        Widths of B hands.
    generator : torch.Generator
        CPU generator. The same state gives the same result.

    Returns
    -------
    (B, 8) float64
        The widths, NaN where they are not known.
    """
    count = len(widths)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    kind = uniform(count, 1)
    error = _WIDTH_ERROR * uniform(count, 1) * (kind > 0.7)
    normal = torch.randn(widths.shape, generator=generator, dtype=torch.float64).clamp(-2.5, 2.5)
    found = widths * torch.exp(error * normal)
    keep = uniform(*widths.shape) < 0.5
    keep = torch.where(kind < 0.9, torch.arange(widths.shape[1]) < 3, keep)
    keep = torch.where(kind < 0.8, True, keep) & (kind >= 0.4)
    return torch.where(keep, found, torch.nan)
