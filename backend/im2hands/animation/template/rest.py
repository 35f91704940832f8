"""The template at rest for one take: the shape of one hand from its constant bone lengths, with its rig.

All hands are right hands; a left hand is measured and posed as its mirror image in x. The *rest frame* has the rig's
wrist at its origin, the middle knuckle along +y and the back of the hand along +z; its unit is the metre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE, WRIST_SHIFT

from .topology import BONE_PARENTS, FINGER_CHAINS, FOREARM, HAND, PALM, THUMB, Topology

PALM_KEYPOINTS = (0, 1, 5, 9, 13, 17)
"""Keypoints (file order) whose distances to each other are constant: the wrist, the thumb's root and the knuckles."""

KEYPOINT_BONES = tuple(
    (bone, 1 + 4 * finger + k) for finger, chain in enumerate(FINGER_CHAINS) for k, bone in enumerate(chain)
)
"""(bone, keypoint at its head) for the finger bones; the keypoint at the tail is the next one."""

# Weights of the palm's keypoints when a palm is aligned; the thumb's root counts less, because it moves.
PALM_TRUST = np.array([1.5, 0.25, 1.0, 1.0, 1.0, 1.0])
_SHORTEST = 0.004  # metres; shorter bones are measurement errors


@dataclass(frozen=True)
class Measures:
    """The constant measures of a hand over a take.

    Parameters
    ----------
    palm : (6, 3) float
        Positions of ``PALM_KEYPOINTS`` relative to each other, any frame, metres.
    lengths : (5, 3) float
        Lengths of the phalanges of thumb to little finger, metres.
    """

    palm: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Rest:
    """A template hand at rest, rest frame, metres.

    Parameters
    ----------
    vertices : (T, 3) float
        Positions of the vertices.
    heads : (21, 3) float
        Heads of the bones.
    tails : (21, 3) float
        Tails of the bones.
    axes : (21, 3, 3) float
        Axes of the bones; columns x, y, z. y points from head to tail; a positive rotation about x closes the hand.
    keypoints : (21, 3) float
        Keypoints in file order.
    """

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    axes: np.ndarray
    keypoints: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(21,) lengths of the bones, metres."""
        found: np.ndarray = np.linalg.norm(self.tails - self.heads, axis=1)
        return found


def measure(keypoints: np.ndarray, topology: Topology) -> Measures:
    """Estimate the constant measures of a hand from N observations, robustly by medians.

    Parameters
    ----------
    keypoints : (N, 21, 3) float
        Keypoints of right hands, any frames, metres. Bones that are impossibly short are ignored; a bone without any
        usable observation takes the template's length.
    topology : Topology
        Topology of the template.

    Returns
    -------
    Measures
        The measures.
    """
    own = template_measures(topology)
    palms = keypoints[:, PALM_KEYPOINTS]
    usable = np.linalg.norm(palms[:, 3] - palms[:, 0], axis=1) > _SHORTEST
    if not usable.any():
        return own
    palms = palms[usable]
    reference = own.palm
    for _ in range(3):
        rotation, shift, _ = place(reference, palms, PALM_TRUST)
        aligned = (palms - shift[:, None]) @ rotation
        reference = np.median(aligned, axis=0)
    scale = place(own.palm, reference[None], PALM_TRUST)[2][0]
    chains = keypoints[usable][:, 1:].reshape(-1, 5, 4, 3)
    lengths = np.linalg.norm(np.diff(chains, axis=2), axis=-1)
    lengths = np.where(lengths > _SHORTEST, lengths, np.nan)
    known = np.isfinite(lengths).any(axis=0)
    found = scale * own.lengths
    found[known] = np.nanmedian(lengths[:, known], axis=0)
    # Wrong keypoints give impossible lengths: limit them to half to twice the template's lengths at this scale.
    found = np.clip(found, 0.5 * scale * own.lengths, 2.0 * scale * own.lengths)
    return Measures(_plausible(reference, own.palm, scale), found)


def _plausible(palm: np.ndarray, own: np.ndarray, scale: float) -> np.ndarray:
    """The palm (6, 3), with points farther than 0.4 palm lengths from where the template has them moved back to
    that limit."""
    rotation, _, _ = place(own, palm[None], PALM_TRUST)
    usual = scale * (own - np.average(own, axis=0, weights=PALM_TRUST)) @ rotation[0].T
    usual = usual + np.average(palm, axis=0, weights=PALM_TRUST)
    away = palm - usual
    size = np.linalg.norm(away, axis=1, keepdims=True)
    limit = 0.4 * scale * np.linalg.norm(own[3] - own[0])
    found: np.ndarray = usual + away * np.minimum(1.0, limit / np.maximum(size, 1e-9))
    return found


def pooled(first: Measures, second: Measures) -> tuple[Measures, Measures]:
    """Share the phalanx lengths of two hands of one person.

    Parameters
    ----------
    first : Measures
        One hand.
    second : Measures
        The other hand.

    Returns
    -------
    tuple of Measures, Measures
        Both hands with their mean lengths; unchanged if the sums of their lengths differ by more than 12 %, as of two
        persons.
    """
    ratio = np.log(first.lengths.sum() / second.lengths.sum())
    if abs(ratio) > np.log(1.12):
        return first, second
    lengths = np.sqrt(first.lengths * second.lengths)
    return Measures(first.palm, lengths), Measures(second.palm, lengths)


def template_measures(topology: Topology) -> Measures:
    """The measures of the template itself.

    Parameters
    ----------
    topology : Topology
        Topology of the template.

    Returns
    -------
    Measures
        The measures.
    """
    points = _base_keypoints(topology.base_vertices, topology.base_heads, topology)
    chains = points[1:].reshape(5, 4, 3)
    return Measures(points[list(PALM_KEYPOINTS)], np.linalg.norm(np.diff(chains, axis=1), axis=-1))


def place(reference: np.ndarray, observed: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the rigid motions from reference points to observed points, by weighted least squares.

    Parameters
    ----------
    reference : (K, 3) or (N, K, 3) float
        Reference points.
    observed : (N, K, 3) float
        Observed points.
    trust : (K,) float
        Weights of the points.

    Returns
    -------
    rotation : (N, 3, 3) float
        Rotations.
    shift : (N, 3) float
        Translations: ``observed`` is about ``rotation @ reference + shift``.
    size : (N,) float
        Ratio of the sizes of observed and reference points.
    """
    reference = np.broadcast_to(reference, observed.shape)
    share = trust / trust.sum()
    mean_r = np.einsum("k,nkc->nc", share, reference)
    mean_o = np.einsum("k,nkc->nc", share, observed)
    r, o = reference - mean_r[:, None], observed - mean_o[:, None]
    u, _, vt = np.linalg.svd(np.einsum("k,nki,nkj->nij", share, o, r))
    flip = np.ones((len(observed), 3))
    flip[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * flip[:, None]) @ vt
    spread = np.einsum("k,nkc->n", share, r * r)
    size = np.sqrt(np.einsum("k,nkc->n", share, o * o) / np.maximum(spread, 1e-18))
    return rotation, mean_o - np.einsum("nij,nj->ni", rotation, mean_r), size


def rest_hand(topology: Topology, measures: Measures, components: np.ndarray | None = None) -> Rest:
    """Shape the template at rest with given measures.

    Every bone of the bundled hand is moved, rotated and stretched to its new place. Across the bones the hand is scaled
    with the palm. The vertices follow by their skin weights.

    Parameters
    ----------
    topology : Topology
        Topology of the template.
    measures : Measures
        The measures.
    components : (20,) float, optional
        Weights of the bundled hand's shape basis; None is the mean hand.

    Returns
    -------
    Rest
        The template at rest.
    """
    vertices, heads = topology.base_vertices, topology.base_heads
    if components is not None:
        vertices = vertices + np.einsum("k,kvc->vc", components, topology.components)
        heads = heads + np.einsum("k,kjc->jc", components, topology.component_heads)
    points = _base_keypoints(vertices, heads, topology)
    old_heads, old_tails = _segments(heads, points)
    # The measured palm, in the axes of the bundled hand.
    rotation, _, size = place(points[list(PALM_KEYPOINTS)], measures.palm[None], PALM_TRUST)
    palm, scale = measures.palm @ rotation[0], float(size[0])
    new_heads, new_tails = old_heads.copy(), old_tails.copy()
    wrist = (palm[0] - WRIST_SHIFT * palm[3]) / (1 - WRIST_SHIFT)
    new_heads[HAND] = new_tails[FOREARM] = wrist
    new_heads[FOREARM] = wrist + scale * (old_heads[FOREARM] - old_tails[FOREARM])
    new_tails[HAND] = palm[3]
    for bone, knuckle in zip(PALM, palm[2:], strict=True):
        new_heads[bone] = wrist + scale * (old_heads[bone] - old_heads[HAND])
        new_tails[bone] = knuckle
    for finger, chain in enumerate(FINGER_CHAINS):
        start = palm[1 + finger]
        for k, bone in enumerate(chain):
            way = old_tails[bone] - old_heads[bone]
            new_heads[bone] = start
            start = start + way / np.linalg.norm(way) * measures.lengths[finger, k]
            new_tails[bone] = start
    moved = _warped(topology, vertices, (old_heads, old_tails), (new_heads, new_tails), scale)
    axes = _axes(new_heads, new_tails)
    turn = _rest_turn(new_heads, new_tails)
    keypoints = _keypoints(new_heads, new_tails)
    return Rest(
        topology.positions @ ((moved - wrist) @ turn),
        (new_heads - wrist) @ turn, (new_tails - wrist) @ turn, turn.T @ axes, (keypoints - wrist) @ turn,
    )  # fmt: skip


def _base_keypoints(vertices: np.ndarray, heads: np.ndarray, topology: Topology) -> np.ndarray:
    """Keypoints (21, 3) of the bundled hand."""
    chains = [[*heads[list(bones)], vertices[topology.base_tips[f]]] for f, bones in enumerate(FINGER_BONES)]
    knuckle = heads[FINGER_BONES[2][0]]
    wrist = heads[WRIST_BONE] + WRIST_SHIFT * (knuckle - heads[WRIST_BONE])
    return np.array([wrist, *(point for chain in chains for point in chain)])


def _segments(heads: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heads and tails (21, 3) of the template's bones, from the heads of the bundled rig and the keypoints."""
    new_heads, new_tails = np.empty((21, 3)), np.empty((21, 3))
    new_heads[FOREARM], new_tails[FOREARM] = heads[1], heads[WRIST_BONE]
    new_heads[HAND], new_tails[HAND] = heads[WRIST_BONE], points[9]
    for k, bone in enumerate(PALM):
        new_heads[bone], new_tails[bone] = heads[METACARPAL_BONES[k]], points[5 + 4 * k]
    for bone, keypoint in KEYPOINT_BONES:
        new_heads[bone], new_tails[bone] = points[keypoint], points[keypoint + 1]
    return new_heads, new_tails


def _keypoints(heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) from the heads and tails (21, 3) of the bones."""
    points = np.empty((21, 3))
    for bone, keypoint in KEYPOINT_BONES:
        points[keypoint], points[keypoint + 1] = heads[bone], tails[bone]
    points[0] = heads[HAND] + WRIST_SHIFT * (points[9] - heads[HAND])
    return points


def _warped(
    topology: Topology, vertices: np.ndarray, old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray],
    scale: float,
) -> np.ndarray:  # fmt: skip
    """(V, 3) vertices of the bundled hand, moved with the bones from ``old`` to ``new`` (heads and tails)."""
    old_way, new_way = old[1] - old[0], new[1] - new[0]
    old_length, new_length = np.linalg.norm(old_way, axis=1), np.linalg.norm(new_way, axis=1)
    a, b = old_way / old_length[:, None], new_way / new_length[:, None]
    turn = shortest_turn(a, b)
    along = a[:, :, None] * a[:, None, :]
    stretch = scale * (np.eye(3) - along) + (new_length / old_length)[:, None, None] * along
    matrix = turn @ stretch
    shift = new[0] - np.einsum("bij,bj->bi", matrix, old[0])
    weights = topology.base_weights
    blended = np.einsum("vb,bij->vij", weights, matrix)
    found: np.ndarray = np.einsum("vij,vj->vi", blended, vertices) + weights @ shift
    return found


def shortest_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotations that turn one unit vector to another by the smallest angle.

    Parameters
    ----------
    a : (..., 3) float
        Unit vectors.
    b : (..., 3) float
        Unit vectors.

    Returns
    -------
    (..., 3, 3) float
        Rotations from ``a`` to ``b``.
    """
    axis = np.cross(a, b)
    cosine = (a * b).sum(axis=-1)[..., None, None]
    cross = np.zeros((*axis.shape, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -axis[..., 2], axis[..., 1], -axis[..., 0]
    cross = cross - np.swapaxes(cross, -1, -2)
    found: np.ndarray = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-9)
    return found


def _rest_turn(heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """(3, 3) columns: the axes of the rest frame."""
    y = tails[HAND] - heads[HAND]
    y = y / np.linalg.norm(y)
    x = heads[FINGER_CHAINS[4][0]] - heads[FINGER_CHAINS[1][0]]
    x = x - (x @ y) * y
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _axes(heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
    """(21, 3, 3) columns x, y, z of each bone; x is the axis of flexion.

    Fingers flex about the line through the neighbouring knuckles, the thumb about the axis of its own bend at rest.
    """
    way = tails - heads
    y = way / np.linalg.norm(way, axis=1, keepdims=True)
    knuckles = np.array([heads[chain[0]] for chain in FINGER_CHAINS])
    lines = np.empty((21, 3))
    lines[[FOREARM, HAND]] = knuckles[1] - knuckles[4]
    lines[list(THUMB)] = np.cross(y[THUMB[0]], y[THUMB[1]]) + np.cross(y[THUMB[1]], y[THUMB[2]])
    for finger, (a, b) in enumerate(((2, 1), (3, 1), (4, 2), (4, 3)), start=1):
        lines[[PALM[finger - 1], *FINGER_CHAINS[finger]]] = knuckles[b] - knuckles[a]
    x = lines - (lines * y).sum(axis=1, keepdims=True) * y
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


PARENTS = np.array(BONE_PARENTS)
"""(21,) parent of each bone; -1 for the root."""
