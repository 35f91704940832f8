"""Surface of the hand model prepared for drawing: seams, normals, continuation of the arm, occluding spheres, bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import reverse_cuthill_mckee

from im2hands.core.bundled_arrays import bundled_arrays
from im2hands.geometry.hand_model import FINGER_BONES, HAND_FILE, WRIST_BONE
from im2hands.geometry.normals import corner_sums, face_normals

MODEL_VERTICES = 1843
SPHERES_PER_HAND = 48
BAND_POINTS = 28  # points of a ring around a limb
ARM_STEPS = 26
# First and last ring on the forearm: 0 is near the cut at the elbow, 1 is the wrist joint.
ARM_RANGE = (0.04, 1.12)
RING_STEPS = 5
ARM_REACH = 0.5
"""Length of the continuation of an arm beyond the model's forearm, metres."""
_EXTENSION_RINGS = 9
_EXTENSION_POINTS = 20

# Nail plates: middle vertex, half width, and both ends along the finger from that vertex, metres on the template.
_NAILS = (
    (878, 0.0062, -0.0070, 0.0068),
    (180, 0.0048, -0.0090, 0.0060),
    (372, 0.0045, -0.0068, 0.0064),
    (1004, 0.0046, -0.0049, 0.0068),
    (756, 0.0037, -0.0041, 0.0050),
)


@dataclass(frozen=True)
class Band:
    """Rings of points on the surface around a limb, as weights of model vertices.

    Parameters
    ----------
    weights : (T * K, 1842) sparse
        Weights of the vertices; row t * K + k is point k of ring t. Point 0 is on the back of the hand.
    shape : (T, K)
        Number of rings, and of points in a ring.
    uv : (T, K, 2) float64
        Texture coordinates of the points, in the skin file's frame.
    """

    weights: csr_matrix
    shape: tuple[int, int]
    uv: np.ndarray

    def points(self, vertices: np.ndarray) -> np.ndarray:
        """Compute the points (T, K, 3) of a posed hand from its vertices (1843, 3)."""
        return np.asarray(self.weights @ vertices[: MODEL_VERTICES - 1]).reshape(*self.shape, 3)


@dataclass(frozen=True)
class Nail:
    """A nail plate on the template.

    Parameters
    ----------
    centre : (3,) float64
        Centre, metres.
    axes : (3, 3) float64
        Rows: unit directions across, along (towards the tip), outward.
    half_width : float
        Half of the extent across, metres.
    half_length : float
        Half of the extent along, metres.
    """

    centre: np.ndarray
    axes: np.ndarray
    half_width: float
    half_length: float


class HandMesh:
    """The hand model's surface and everything that is derived from it for drawing.

    Attributes
    ----------
    template : (1842, 3) float64
        Vertices at rest, metres.
    normals : (1842, 3) float64
        Unit normals at rest.
    joints : (22, 3) float64
        Bone heads at rest, metres.
    tips : (5,) int64
        Vertex numbers of the finger tips.
    weights : (1842, 22) float64
        Skinning weights.
    hand_vertices : (H,) int64
        Numbers of the vertices that are not on the forearm.
    skin_faces : (F', 3) int64
        Triangles of the model's skin, as vertex numbers.
    skin_faces_uv : (F', 3) int64
        The same triangles, as numbers of texture coordinates.
    uv : (T, 2) float64
        Texture coordinates in the skin file's frame, v up.
    dorsal : (3,) float64
        Unit direction out of the back of the hand, at rest.
    drawn_vertex : (U,) int64
        Model vertex of each drawn vertex, -1 on the arm's continuation. A vertex on a seam of the texture is drawn
        several times.
    drawn_uv : (U, 2) float64
        Texture coordinates of the drawn vertices, in the skin file's frame, v up.
    faces : (F, 3) int
        Triangles of drawn vertices.
    forearm : Band
        Rings on the forearm, for sleeves and watches.
    fingers : tuple of Band
        Rings on each finger's first phalanx, for rings.
    nails : tuple of Nail
        Nail plate of each finger.

    Raises
    ------
    SetupError
        The bundled file is missing or damaged.
    """

    def __init__(self) -> None:
        arrays = bundled_arrays(HAND_FILE, "hand model")
        self.template = arrays["v_template"].astype(np.float64)
        self.joints = arrays["joints"].astype(np.float64)
        self.tips = arrays["tip_vertices"].astype(np.int64)
        self.weights = arrays["weights"].astype(np.float64)
        self.hand_vertices = np.flatnonzero(arrays["hand_vertex_mask"])
        self.skin_faces = arrays["faces"].astype(np.int64)
        self.skin_faces_uv = arrays["faces_uv"].astype(np.int64)
        self.uv = arrays["uv"].astype(np.float64)
        vertex_of = np.zeros(len(self.uv), np.int64)
        vertex_of[self.skin_faces_uv] = self.skin_faces
        any_corner = np.zeros(MODEL_VERTICES, np.int64)
        any_corner[vertex_of] = np.arange(len(vertex_of))
        any_corner[-1] = len(vertex_of)
        cap = arrays["cap_faces"].astype(np.int64)
        rim = any_corner[np.unique(cap[cap < MODEL_VERTICES - 1])]
        self._corner_vertex = np.append(vertex_of, MODEL_VERTICES - 1)
        corner_uv = np.concatenate([self.uv, self.uv[rim].mean(0, keepdims=True)])
        self._normal_faces = np.concatenate([self.skin_faces, cap])
        self._face_to_vertex = corner_sums(self._normal_faces, MODEL_VERTICES)
        closed = np.concatenate([self.template, self.template[np.unique(cap[cap < MODEL_VERTICES - 1])].mean(0)[None]])
        self.normals = self.vertex_normals(closed)[:-1]
        self.dorsal = self._back_of_hand()
        self.forearm = self._forearm_band()
        self.fingers = tuple(self._finger_band(bones) for bones in FINGER_BONES)
        self.nails = tuple(self._nail(finger) for finger in range(5))
        self._sphere_weights = self._spheres()
        extension_uv, extension_faces = self._extension_layout()
        drawn = np.concatenate([self.skin_faces_uv, any_corner[cap], extension_faces + len(corner_uv)])
        every_uv = np.concatenate([corner_uv, extension_uv])
        self._order, self.faces = _local_order(drawn, len(every_uv))
        self.drawn_uv = every_uv[self._order]
        beyond = np.full(len(extension_uv), -1)
        self.drawn_vertex = np.concatenate([self._corner_vertex, beyond])[self._order]

    @property
    def drawn_count(self) -> int:
        """Number of drawn vertices of a hand, including the arm's continuation."""
        return len(self.drawn_uv)

    def vertex_normals(self, vertices: np.ndarray) -> np.ndarray:
        """Compute unit normals (1843, 3): outward for a right hand, inward for a left hand."""
        normals = self._face_to_vertex @ face_normals(vertices, self._normal_faces)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def drawn(self, vertices: np.ndarray, left: bool, bend: np.ndarray, reach: float = ARM_REACH) -> np.ndarray:
        """Compute positions and outward normals of all drawn vertices of a posed hand.

        Parameters
        ----------
        vertices : (1843, 3) float64
            Mesh vertices, metres.
        left : bool
            Whether it is a left hand.
        bend : (3,) float64
            Displacement of the far end of the arm's continuation, metres.
        reach : float
            Length of a straight continuation, metres.

        Returns
        -------
        (U, 6) float32
            Position in metres and unit normal.
        """
        normals = self.vertex_normals(vertices) * (-1.0 if left else 1.0)
        out = np.empty((self.drawn_count, 6), np.float32)
        body = len(self._corner_vertex)
        out[:body, :3] = vertices[self._corner_vertex]
        out[:body, 3:] = normals[self._corner_vertex]
        rings = self.arm_beyond(
            self.forearm.points(vertices)[:2, self._extension_corners()], bend, _EXTENSION_RINGS, reach
        )
        radial = rings - rings.mean(axis=1, keepdims=True)
        radial /= np.maximum(np.linalg.norm(radial, axis=2, keepdims=True), 1e-9)
        out[body:, :3] = rings.reshape(-1, 3)
        out[body:, 3:] = radial.reshape(-1, 3)
        return out[self._order]

    @staticmethod
    def arm_beyond(rings: np.ndarray, bend: np.ndarray, count: int, reach: float = ARM_REACH) -> np.ndarray:
        """Continue an arm beyond its first ring.

        Parameters
        ----------
        rings : (2, K, 3) float64
            First two rings of the forearm, metres.
        bend : (3,) float64
            Displacement of the far end from a straight arm, metres.
        count : int
            Number of rings to make; the first repeats the arm's first ring.
        reach : float
            Length of the continuation, metres.

        Returns
        -------
        (count, K, 3) float64
            Rings, metres.
        """
        centres = rings.mean(axis=1)
        axis = centres[0] - centres[1]
        axis = axis / max(float(np.linalg.norm(axis)), 1e-9)
        along = np.linspace(0.0, 1.0, count)[:, None, None]
        wider = 1.0 + 0.4 * along
        path = along * reach * axis + along**2 * bend
        return centres[0] + wider * (rings[:1] - centres[0]) + path

    def spheres(self, vertices: np.ndarray) -> np.ndarray:
        """Compute centres and radii (48, 4), metres, of the spheres that approximate a hand in ambient occlusion."""
        points = vertices[: MODEL_VERTICES - 1]
        centres = self._sphere_weights @ points
        square = self._sphere_weights @ (points**2).sum(axis=1) - (centres**2).sum(axis=1)
        return np.concatenate([centres, np.sqrt(np.maximum(square, 1e-8))[:, None]], axis=1)

    def _back_of_hand(self) -> np.ndarray:
        """Unit direction out of the back of the template's hand."""
        wrist, index, little = self.joints[WRIST_BONE], self.joints[FINGER_BONES[1][0]], self.joints[FINGER_BONES[4][0]]
        normal = np.cross(index - wrist, little - wrist)
        normal /= np.linalg.norm(normal)
        nails = np.mean([self.normals[hub] for hub, *_ in _NAILS[1:]], axis=0)
        return normal if normal @ nails > 0 else -normal

    def _nail(self, finger: int) -> Nail:
        """The nail plate of a finger."""
        hub, half_width, low, high = _NAILS[finger]
        outward = self.normals[hub]
        along = self.template[self.tips[finger]] - self.joints[FINGER_BONES[finger][2]]
        along = along - outward * (along @ outward)
        along /= np.linalg.norm(along)
        centre = self.template[hub] + along * (low + high) / 2
        axes = np.stack([np.cross(along, outward), along, outward])
        return Nail(centre, axes, half_width, (high - low) / 2)

    def _forearm_band(self) -> Band:
        """Rings on the forearm and the wrist."""
        wrist = self.joints[WRIST_BONE]
        cap = self.joints[0] * 0.98 + wrist * 0.02
        steps = np.linspace(*ARM_RANGE, ARM_STEPS)[:, None]
        near = self.weights[:, [0, 1, 2, 6, 10, 14, 18, 3]].sum(axis=1) > 0.4
        return self._band(cap + steps * (wrist - cap), wrist - cap, near, reach=0.09)

    def _finger_band(self, bones: tuple[int, int, int]) -> Band:
        """Rings on the first phalanx of a finger."""
        head, end = self.joints[bones[0]], self.joints[bones[1]]
        steps = np.linspace(0.50, 0.80, RING_STEPS)[:, None]
        near = self.weights[:, [bones[0], bones[1]]].sum(axis=1) > 0.5
        return self._band(head + steps * (end - head), end - head, near, reach=0.03)

    def _band(self, centres: np.ndarray, axis: np.ndarray, near: np.ndarray, reach: float) -> Band:
        """The band whose points are where rays from ``centres`` (T, 3), across ``axis``, leave the template."""
        axis = axis / np.linalg.norm(axis)
        up = self.dorsal - axis * (self.dorsal @ axis)
        up /= np.linalg.norm(up)
        side = np.cross(axis, up)
        angles = np.arange(BAND_POINTS) * (2 * np.pi / BAND_POINTS)
        rays = np.cos(angles)[:, None] * up + np.sin(angles)[:, None] * side
        faces = np.flatnonzero(near[self.skin_faces].all(axis=1))
        a, b, c = (self.template[self.skin_faces[faces, k]] for k in range(3))
        rows, columns, values, uv = [], [], [], []
        for t, origin in enumerate(centres):
            for k, ray in enumerate(rays):
                face, share = _leaves(origin, ray, a, b, c, reach)
                index = faces[face]
                rows += [t * BAND_POINTS + k] * 3
                columns += list(self.skin_faces[index])
                values += list(share)
                uv.append(share @ self.uv[self.skin_faces_uv[index]])
        shape = (len(centres), BAND_POINTS)
        weights = csr_matrix((values, (rows, columns)), shape=(shape[0] * shape[1], MODEL_VERTICES - 1))
        return Band(weights, shape, np.array(uv).reshape(*shape, 2))

    @staticmethod
    def _extension_corners() -> np.ndarray:
        """Numbers of the ring points that the arm's continuation uses; the last repeats the first."""
        corners = np.linspace(0, BAND_POINTS, _EXTENSION_POINTS, endpoint=False).astype(int)
        return np.append(corners, 0)

    def _extension_layout(self) -> tuple[np.ndarray, np.ndarray]:
        """Texture coordinates and faces of the arm's continuation; it mirrors the forearm's skin at its end."""
        rings = np.linspace(0, ARM_STEPS * 0.7, _EXTENSION_RINGS).astype(int)
        uv = self.forearm.uv[rings][:, self._extension_corners()]
        return uv.reshape(-1, 2), grid_faces(_EXTENSION_RINGS, _EXTENSION_POINTS + 1)

    def _spheres(self) -> np.ndarray:
        """Weights (48, 1842) of the spheres: 30 along the fingers, 14 in the palm, 4 along the forearm."""
        bone = self.weights.argmax(axis=1)
        groups = []
        for finger, bones in enumerate(FINGER_BONES):
            heads = [self.joints[b] for b in bones] + [self.template[self.tips[finger]]]
            for k, b in enumerate(bones):
                axis = heads[k + 1] - heads[k]
                along = (self.template - heads[k]) @ axis / (axis @ axis)
                own = bone == b
                middle = np.median(along[own])
                groups += [own & (along <= middle), own & (along > middle)]
        palm = np.flatnonzero(np.isin(bone, [WRIST_BONE, 6, 10, 14, 18]))
        _, cluster = kmeans2(self.template[palm], 14, seed=np.random.default_rng(3), minit="++")
        for k in range(14):
            member = np.zeros(len(bone), bool)
            member[palm[cluster == k]] = True
            groups.append(member)
        arm = np.isin(bone, [0, 1])
        along = self.template @ (self.joints[0] / (self.joints[0] @ self.joints[0]))
        edges = np.quantile(along[arm], [0, 0.25, 0.5, 0.75, 1])
        groups += [arm & (along >= edges[k]) & (along <= edges[k + 1]) for k in range(4)]
        weights = np.array(groups, np.float64)
        return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)


def _leaves(
    origin: np.ndarray, ray: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, reach: float
) -> tuple[int, np.ndarray]:
    """The triangle through which a ray leaves a limb, and barycentric weights (3,) (Moeller and Trumbore 1997)."""
    e1, e2 = b - a, c - a
    p = np.cross(ray, e2)
    det = (e1 * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = origin - a
        u = (s * p).sum(axis=1) / det
        q = np.cross(s, e1)
        v = (q @ ray) / det
        distance = (e2 * q).sum(axis=1) / det
    inside = (np.abs(det) > 1e-14) & (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
    hits = np.flatnonzero(inside & (distance > 0) & (distance < reach))
    if len(hits) == 0:  # a hole between the chosen triangles: take the triangle nearest to the ray
        to = (a + b + c) / 3 - origin
        face = int(np.argmin(np.linalg.norm(np.cross(to, ray), axis=1) + np.where(to @ ray > 0, 0, 1)))
        return face, np.full(3, 1 / 3)
    face = int(hits[np.argmin(distance[hits])])
    return face, np.array([1 - u[face] - v[face], u[face], v[face]])


def _local_order(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Reorder vertices so that neighbours have near numbers; returns the order, and the sorted faces in new numbers.

    A software driver shades the vertices of a few hundred triangles at a time. With this order it shades a third fewer.
    """
    ends = np.roll(faces, 1, axis=1).ravel()
    graph = csr_matrix((np.ones(faces.size), (faces.ravel(), ends)), shape=(count, count))
    order = reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True)
    rank = np.empty(count, np.int32)
    rank[order] = np.arange(count)
    ranked = rank[faces]
    return order, ranked[np.argsort(ranked.min(axis=1), kind="stable")]


def grid_faces(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Make the triangles of a grid of points.

    Parameters
    ----------
    rows : int
        Rows of the grid.
    columns : int
        Columns of the grid.
    closed : bool
        Whether to join the last column to the first.

    Returns
    -------
    (F, 3) int64
        Triangles; point (r, c) has number r * columns + c.
    """
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    n = (c + 1) % columns
    corner, right = (r * columns + c).ravel(), (r * columns + n).ravel()
    below, across = corner + columns, right + columns
    return np.concatenate([np.stack([corner, below, right], 1), np.stack([right, below, across], 1)])
