"""Topology of the template: the bundled hand as quads, cut behind the wrist, subdivided and closed, with its rig.

The hand is cut where the implicit surfaces end, 20 mm behind the wrist keypoint. Its last ring of quads is slid onto
that plane, and a lid closes it. The faces of the lid come last, so they are easy to delete where an arm is attached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from im2hands.core.bundled_arrays import bundled_arrays
from im2hands.core.errors import InputError
from im2hands.geometry.bone_reach import BoneReach
from im2hands.geometry.hand_model import FINGER_BONES, HAND_FILE, METACARPAL_BONES, WRIST_BONE, WRIST_SHIFT

from .subdivision import subdivide

LEVELS = (0, 1, 2)
"""Densities to choose from: about 1 700, 6 600 and 26 300 vertices."""

INFLUENCES = 4
"""Largest number of bones that move one vertex; the limit of game engines and glTF."""

FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
BONE_NAMES = (
    "forearm", "hand", "thumb.01", "thumb.02", "thumb.03",
    "palm.01", "f_index.01", "f_index.02", "f_index.03",
    "palm.02", "f_middle.01", "f_middle.02", "f_middle.03",
    "palm.03", "f_ring.01", "f_ring.02", "f_ring.03",
    "palm.04", "f_pinky.01", "f_pinky.02", "f_pinky.03",
)  # fmt: skip
"""Names of the bones, as in Rigify, without the side."""

BONE_PARENTS = (-1, 0, 1, 2, 3, 1, 5, 6, 7, 1, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19)
"""Parent of each bone; -1 for the root."""
FOREARM, HAND = 0, 1
THUMB = (2, 3, 4)
PALM = (5, 9, 13, 17)
FINGER_CHAINS = (THUMB, (6, 7, 8), (10, 11, 12), (14, 15, 16), (18, 19, 20))

_LID_RING = 0.55  # radius of the lid's inner ring, share of the rim's
_LID_UV = (0.965, 0.965, 0.03)  # centre and radius of the lid's place in the texture; islands lie below
_ISLANDS_TOP = 0.93


@dataclass(frozen=True)
class Topology:
    """Everything that template hands of one density share, for a right hand; a left hand is its mirror image in x.

    Parameters
    ----------
    faces : (F, 4) int32
        Quads, outward; triangles have -1 as the last corner.
    uv : (F, 4, 2) float32
        Texture coordinates per corner, in [0, 1]; zero at the fourth corner of triangles.
    weights : (T, 21) float16
        Skin weights, at most four per row.
    positions : (T, 1842) sparse matrix
        Positions of the template from positions of the bundled hand.
    coarse : int
        Number of vertices of the mesh before its last subdivision, which come first; at the lowest density of all but
        the lid's.
    rim : (R,) int
        Vertices around the cut.
    lid : (L,) int
        Vertices of the lid inside the rim; the centre comes last.
    base_vertices : (1842, 3) float
        Vertices of the bundled hand, metres.
    base_heads : (22, 3) float
        Heads of the bundled hand's bones, metres.
    base_tips : (5,) int
        Vertices at the fingertips of the bundled hand.
    base_weights : (1842, 21) float
        Skin weights of the bundled hand for the template's bones.
    components : (20, 1842, 3) float
        Shape basis of the bundled hand's vertices, metres.
    component_heads : (20, 22, 3) float
        Shape basis of the bundled hand's bone heads, metres.
    """

    faces: np.ndarray
    uv: np.ndarray
    weights: np.ndarray
    positions: sparse.csr_matrix
    coarse: int
    rim: np.ndarray
    lid: np.ndarray
    base_vertices: np.ndarray
    base_heads: np.ndarray
    base_tips: np.ndarray
    base_weights: np.ndarray
    components: np.ndarray
    component_heads: np.ndarray

    @property
    def vertex_count(self) -> int:
        """Number of vertices, T."""
        return int(self.positions.shape[0])

    @property
    def triangles(self) -> np.ndarray:
        """(F', 3) int32: the faces; quads are split along their first diagonal."""
        first = self.faces[:, :3]
        quads = self.faces[self.faces[:, 3] >= 0]
        return np.concatenate([first, quads[:, [0, 2, 3]]])

    def skin_weights(self) -> np.ndarray:
        """(T, 21) float64: the weights as stored, each row divided by its sum."""
        weights = self.weights.astype(np.float64)
        return weights / weights.sum(axis=1, keepdims=True)


def mirrored_faces(faces: np.ndarray) -> np.ndarray:
    """The faces of the mirror image.

    Parameters
    ----------
    faces : (F, 4) int
        Faces; triangles have -1 as the last corner.

    Returns
    -------
    (F, 4) int
        Corners 1 and 3 of quads and corners 1 and 2 of triangles are exchanged.
    """
    flipped = faces[:, [0, 3, 2, 1]]
    triangles = faces[:, 3] < 0
    flipped[triangles] = faces[triangles][:, [0, 2, 1, 3]]
    return flipped


@lru_cache(maxsize=3)
def load_topology(level: int = 1, path: Path = HAND_FILE) -> Topology:
    """Load the template hand.

    Parameters
    ----------
    level : int
        Density, one of ``LEVELS``.
    path : Path
        The bundled hand model.

    Returns
    -------
    Topology
        The topology.

    Raises
    ------
    InputError
        There is no such density.
    SetupError
        The bundled hand is missing or damaged.
    """
    if level not in LEVELS:
        raise InputError(f"A template density of {level} is not possible.", f"Give {LEVELS[0]} to {LEVELS[-1]}.")
    arrays = bundled_arrays(path, "hand model")
    quads, uv = _quads(arrays["faces"], arrays["faces_uv"], arrays["uv"].astype(np.float64))
    vertices, heads = arrays["v_template"].astype(np.float64), arrays["joints"].astype(np.float64)
    behind = _depth(vertices, heads)
    loop, beyond = _cut_loop(quads, arrays["cap_faces"][:, 0], behind)
    rows = _slide_to_plane(loop, beyond, quads, behind)
    inside = ~beyond[quads].any(axis=1)
    quads, uv = quads[inside], uv[inside]
    kept, quads = np.unique(quads, return_inverse=True)
    quads = quads.reshape(-1, 4)
    finer = subdivide(quads, uv, len(kept), level)
    rim = _border_loop(finer.faces)
    faces, uv, lid_rows = _close(finer.faces, _placed(finer.uv), rim, finer.smooth.shape[0])
    weights = _weights(arrays["weights"].astype(np.float64))
    smooth = sparse.vstack([finer.smooth, lid_rows @ finer.smooth]) @ rows[kept]
    linear = sparse.vstack([finer.linear, lid_rows @ finer.linear]) @ rows[kept]
    count = smooth.shape[0]
    return Topology(
        faces.astype(np.int32), uv.astype(np.float32), _strongest(linear @ weights), smooth.tocsr(),
        finer.coarse, rim, np.arange(count - lid_rows.shape[0], count), vertices, heads,
        arrays["tip_vertices"].astype(int), weights,
        arrays["shape_dirs"].astype(np.float64), arrays["joint_shape_dirs"].astype(np.float64),
    )  # fmt: skip


def _quads(faces: np.ndarray, faces_uv: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The quads that pairs of consecutive triangles were split from; triangles without a partner (up the arm) are
    dropped."""
    pairs = [_joined(faces, faces_uv, k) for k in range(len(faces) - 1)] + [None]
    alone = np.zeros(len(faces) + 2, dtype=int)  # least number of triangles without a partner from each one on
    for k in range(len(faces) - 1, -1, -1):
        alone[k] = min(1 + alone[k + 1], alone[k + 2] if pairs[k] is not None else len(faces))
    quads, corners, k = [], [], 0
    while k < len(faces):
        pair = pairs[k]
        if pair is not None and alone[k] == alone[k + 2]:
            quads.append(pair[0])
            corners.append(uv[pair[1]])
            k += 2
        else:
            k += 1
    return np.array(quads), np.array(corners)


def _joined(faces: np.ndarray, faces_uv: np.ndarray, k: int) -> tuple[list[int], list[int]] | None:
    """Vertices and texture vertices of the quad made of triangles k and k + 1; None if they share no edge."""
    first, second = list(faces[k]), list(faces[k + 1])
    own = [c for c in range(3) if first[c] not in second]
    other = [c for c in range(3) if second[c] not in first]
    if len(own) != 1 or len(other) != 1:
        return None
    a = own[0]
    order = (a, (a + 1) % 3, (a + 2) % 3)
    vertex = [int(first[order[0]]), int(first[order[1]]), int(second[other[0]]), int(first[order[2]])]
    texture = [faces_uv[k][order[0]], faces_uv[k][order[1]], faces_uv[k + 1][other[0]], faces_uv[k][order[2]]]
    return vertex, [int(t) for t in texture]


def _neighbours(quads: np.ndarray, count: int) -> list[set[int]]:
    """Per vertex, the vertices it shares an edge with."""
    found: list[set[int]] = [set() for _ in range(count)]
    for quad in quads:
        for k in range(4):
            found[quad[k]].add(int(quad[k - 1]))
            found[quad[k - 1]].add(int(quad[k]))
    return found


def _cut_loop(quads: np.ndarray, border: np.ndarray, behind: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The first loop of edges around the arm behind the cut, and the vertices beyond it, (V,) bool."""
    neighbours = _neighbours(quads, len(behind))
    beside: list[list[set[int]]] = [[] for _ in behind]
    for quad in quads:
        for k in quad:
            beside[k].append({int(c) for c in quad})
    stump = BoneReach.default().stump
    best: list[int] = []
    for start in np.flatnonzero((behind > stump) & (behind < 3 * stump)):
        for second in neighbours[start]:
            loop = _walk(int(start), second, neighbours, beside)
            depth = behind[loop].mean() if loop and (behind[loop] > stump).all() else np.inf
            if depth < (behind[best].mean() if best else np.inf) - 1e-9:
                best = loop
    beyond = np.zeros(len(behind), dtype=bool)
    front = {int(k) for k in border}
    while front:
        beyond[list(front)] = True
        front = {k for vertex in front for k in neighbours[vertex] if not beyond[k]} - set(best)
    return best, beyond


def _walk(start: int, second: int, neighbours: list[set[int]], beside: list[list[set[int]]]) -> list[int]:
    """The loop of edges that goes straight on across vertices with four neighbours; empty if it does not close."""
    loop = [start, second]
    while len(loop) < 64 and len(neighbours[loop[-1]]) == 4:
        around = set().union(*(quad for quad in beside[loop[-1]] if loop[-2] in quad))
        ahead = neighbours[loop[-1]] - around
        if len(ahead) != 1:
            return []
        after = ahead.pop()
        if after == start:
            return loop
        loop.append(after)
    return []


def _depth(vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """(V,) distance behind the wrist keypoint along the middle metacarpal, metres."""
    knuckle = heads[FINGER_BONES[2][0]]
    wrist = heads[WRIST_BONE] + WRIST_SHIFT * (knuckle - heads[WRIST_BONE])
    along = knuckle - wrist
    behind: np.ndarray = -(vertices - wrist) @ along / np.linalg.norm(along)
    return behind


def _slide_to_plane(loop: list[int], beyond: np.ndarray, quads: np.ndarray, behind: np.ndarray) -> sparse.csr_matrix:
    """A (V, V) matrix that slides the loop along the arm onto the cut plane and spaces the adjacent loops evenly."""
    neighbours = _neighbours(quads, len(behind))
    stump = BoneReach.default().stump
    rows = sparse.lil_matrix(sparse.identity(len(behind)))
    for vertex in loop:
        # The column of vertices through this one, towards the hand.
        column, passed = [vertex], set(loop) | set(np.flatnonzero(beyond))
        for _ in range(3):
            inner = min(neighbours[column[-1]] - passed, key=lambda k: behind[k])
            passed |= neighbours[column[-1]]
            column.append(inner)
        depth = behind[column]
        places = (stump, (2 * stump + depth[3]) / 3, (stump + 2 * depth[3]) / 3)
        for position, place in enumerate(places):
            rows[column[position], :] = 0
            for k, share in _between(depth, place):
                rows[column[position], column[k]] = share
    return rows.tocsr()


def _between(depth: np.ndarray, place: float) -> list[tuple[int, float]]:
    """Two positions in a falling sequence of depths and their shares, which interpolate to a place."""
    k = int(np.clip(np.searchsorted(-depth, -place) - 1, 0, len(depth) - 2))
    share = (depth[k] - place) / (depth[k] - depth[k + 1])
    return [(k, 1 - share), (k + 1, share)]


def _border_loop(faces: np.ndarray) -> np.ndarray:
    """The vertices of the open border, in the direction of the faces beside it."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    _, where, used = np.unique(np.sort(ends, axis=1), axis=0, return_index=True, return_counts=True)
    following = {int(a): int(b) for a, b in ends[where[used == 1]]}
    loop = [min(following)]
    while (after := following[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)


def _close(
    faces: np.ndarray, uv: np.ndarray, rim: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """The faces and texture coordinates with those of the lid, and rows (R + 1, count) that give the lid's vertices."""
    size = len(rim)
    inner, centre = count + np.arange(size), count + size
    after = np.roll(np.arange(size), -1)
    # The rim runs in the direction of the faces beside it, so the lid's edges run in the opposite one.
    band = np.stack([rim[after], rim, inner, inner[after]], axis=1)
    fan = np.stack([inner[after], inner, np.full(size, centre), np.full(size, -1)], axis=1)
    mean = sparse.csr_matrix((np.full(size, 1 / size), (np.zeros(size, int), rim)), shape=(1, count))
    own = sparse.csr_matrix((np.ones(size), (np.arange(size), rim)), shape=(size, count))
    spread = sparse.csr_matrix(np.ones((size, 1))) @ mean
    rows = sparse.vstack([_LID_RING * own + (1 - _LID_RING) * spread, mean]).tocsr()
    angle = 2 * np.pi * np.arange(size) / size
    x, y, radius = _LID_UV
    outer_uv = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
    inner_uv = (1 - _LID_RING) * np.array([x, y]) + _LID_RING * outer_uv
    band_uv = np.stack([outer_uv[after], outer_uv, inner_uv, inner_uv[after]], axis=1)
    fan_uv = np.stack([inner_uv[after], inner_uv, np.tile((x, y), (size, 1)), np.zeros((size, 2))], axis=1)
    return np.concatenate([faces, band, fan]), np.concatenate([uv, band_uv, fan_uv]), rows


def _placed(uv: np.ndarray) -> np.ndarray:
    """Texture coordinates scaled to fill the texture below the lid's area."""
    low = uv.reshape(-1, 2).min(axis=0)
    extent = np.ptp(uv.reshape(-1, 2), axis=0)
    scale = 0.98 * min(1.0 / extent[0], _ISLANDS_TOP / extent[1])
    return (uv - low) * scale + 0.01


def _weights(weights: np.ndarray) -> np.ndarray:
    """Skin weights (V, 21) of the template's bones from those of the bundled rig (V, 22): both forearm bones
    become one."""
    own = [[0, 1], [WRIST_BONE]]
    for finger, bones in enumerate(FINGER_BONES):
        if finger:
            own.append([METACARPAL_BONES[finger - 1]])
        own += [[bone] for bone in bones]
    return np.stack([weights[:, bones].sum(axis=1) for bones in own], axis=1)


def _strongest(weights: np.ndarray) -> np.ndarray:
    """The strongest weights of each row, normalised, float16."""
    weakest = np.sort(weights, axis=1)[:, -INFLUENCES][:, None]
    kept = np.where(weights >= np.maximum(weakest, 2e-3), weights, 0.0)
    found: np.ndarray = (kept / kept.sum(axis=1, keepdims=True)).astype(np.float16)
    return found
