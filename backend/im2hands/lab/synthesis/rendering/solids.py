"""Solids: meshes of everything that is not a hand, gathered into one array for drawing, and simple shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from im2hands.geometry.normals import cross

from .hand_mesh import grid_faces
from .look import Cloth, Vector

# Vertex columns: position 3, normal 3, texture coordinates 2, colour 3, material 4 (gloss, metal, pattern, strength of
# the pattern), label 1
COLUMNS = 16
SKIN_GLOSS = -1.0
"""Value of gloss that makes a solid shade like skin."""
OTHER_LABEL = 3
"""Label of solids that do not belong to a hand."""


@dataclass(frozen=True)
class Material:
    """Appearance and label of a solid.

    Parameters
    ----------
    colour : (3,) float
        Albedo.
    gloss : float
        Glossiness, 0 to 1, or ``SKIN_GLOSS``.
    metal : bool
        Whether it is metal.
    pattern : int
        0 soft noise, 1 knit, 2 stripes and checks, 3 folds, -1 none.
    strength : float
        Contrast of the pattern.
    scale : float
        Repetitions of the pattern per metre.
    label : int
        0 background, 1 left hand, 2 right hand, 3 anything else.
    """

    colour: Vector
    gloss: float = 0.2
    metal: bool = False
    pattern: int = -1
    strength: float = 0.0
    scale: float = 10.0
    label: int = OTHER_LABEL

    @classmethod
    def of(cls, cloth: Cloth, gloss: float = 0.0, metal: bool = False, label: int = OTHER_LABEL) -> Material:
        """Make a material with the colour and pattern of cloth."""
        return cls(cloth.colour, gloss, metal, cloth.pattern, cloth.strength, cloth.scale, label)


@dataclass
class SolidBatch:
    """Solids of one picture.

    Parameters
    ----------
    vertices : list of (N, 16) float32
        Vertices of each solid.
    faces : list of (F, 3) int
        Triangles of each solid, in numbers of all vertices.
    count : int
        Number of all vertices.
    """

    vertices: list[np.ndarray] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        points: np.ndarray,
        normals: np.ndarray,
        uv: np.ndarray,
        faces: np.ndarray,
        material: Material,
        colours: np.ndarray | None = None,
        looks: np.ndarray | None = None,
    ) -> None:
        """Add a solid.

        Parameters
        ----------
        points : (N, 3) float
            Vertices, camera frame, metres.
        normals : (N, 3) float
            Unit normals.
        uv : (N, 2) float
            Texture coordinates, metres.
        faces : (F, 3) int
            Triangles.
        material : Material
            Its material.
        colours : (N, 3) float or None
            Colours that replace the material's colour.
        looks : (N, 4) float or None
            Gloss, metal, pattern and its strength, which replace the material's.
        """
        rows = np.empty((len(points), COLUMNS), np.float32)
        rows[:, 0:3], rows[:, 3:6], rows[:, 6:8] = points, normals, uv * material.scale
        rows[:, 8:11] = material.colour if colours is None else colours
        strength = material.strength if material.pattern >= 0 else 0.0
        rows[:, 11:15] = (material.gloss, float(material.metal), max(material.pattern, 0), strength)
        if looks is not None:
            rows[:, 11:15] = looks
        rows[:, 15] = material.label
        self.vertices.append(rows)
        self.faces.append(faces + self.count)
        self.count += len(points)

    def add_grid(self, points: np.ndarray, uv: np.ndarray, material: Material, closed: bool = True) -> None:
        """Add a tube or a sheet.

        Parameters
        ----------
        points : (T, K, 3) float
            Rings of the tube, metres; the last point of a ring repeats the first. Or rows of the sheet.
        uv : (T, K, 2) float
            Texture coordinates, metres.
        material : Material
            Its material.
        closed : bool
            Whether it is a tube.
        """
        along = np.gradient(points, axis=0)
        if closed:
            padded = np.concatenate([points[:, -2:-1], points, points[:, 1:2]], axis=1)
            around = padded[:, 2:] - padded[:, :-2]
        else:
            around = np.gradient(points, axis=1)
        normals = cross(around, along)
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
        rows, columns = points.shape[:2]
        self.add(points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), grid_faces(rows, columns), material)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertices (N, 16) float32 and triangles (F, 3) int32 of all solids."""
        if not self.vertices:
            return np.zeros((0, COLUMNS), np.float32), np.zeros((0, 3), np.int32)
        return np.concatenate(self.vertices), np.concatenate(self.faces).astype(np.int32)


Shape = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Points (N, 3), normals (N, 3), texture coordinates (N, 2) and triangles (F, 3)."""


@lru_cache(maxsize=8)
def unit_shape(kind: str) -> Shape:
    """Return a box, stick (cylinder along y) or ball of size 1 about the origin."""
    if kind == "ball":
        return ball(np.linspace(0, 1, 24), np.linspace(0, 1, 16))
    return _box() if kind == "box" else _stick()


def ball(columns: np.ndarray, rows: np.ndarray) -> Shape:
    """Make a sphere of diameter 1.

    Parameters
    ----------
    columns : (C,) float
        Positions of the columns around y, 0 to 1; 0.5 is at +z.
    rows : (R,) float
        Positions of the rows, 0 at -y to 1 at +y.

    Returns
    -------
    Shape
        The sphere.
    """
    v, u = np.meshgrid(rows, columns, indexing="ij")
    normals = np.stack(
        [np.sin(np.pi * v) * np.sin(2 * np.pi * u), -np.cos(np.pi * v), -np.sin(np.pi * v) * np.cos(2 * np.pi * u)], -1
    ).reshape(-1, 3)
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    return normals / 2, normals, uv, grid_faces(len(rows), len(columns))


def _box() -> Shape:
    """A box of size 1."""
    points, normals, uv, faces = [], [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            a, b = (axis + 1) % 3, (axis + 2) % 3
            for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                p, n = np.zeros(3), np.zeros(3)
                p[axis], p[a], p[b], n[axis] = sign, s, t, sign
                points.append(p / 2)
                normals.append(n)
                uv.append(((s + 1) / 2, (t + 1) / 2))
            first = len(points) - 4
            faces += [[first, first + 1, first + 2], [first, first + 2, first + 3]]
    return np.array(points), np.array(normals), np.array(uv), np.array(faces)


def _stick() -> Shape:
    """A cylinder of diameter 1 and length 1 along y."""
    angles = np.linspace(0, 2 * np.pi, 25)
    round_ = np.stack([np.cos(angles), np.zeros(25), np.sin(angles)], axis=1)
    side = np.concatenate([round_ / 2 - (0, 0.5, 0), round_ / 2 + (0, 0.5, 0)])
    points, normals = [side], [np.concatenate([round_, round_])]
    uv = [np.stack([np.tile(angles / 6.2832, 2), np.repeat([0.0, 1.0], 25)], axis=1)]
    faces = [grid_faces(2, 25)]
    for sign in (-1.0, 1.0):
        first = sum(len(p) for p in points)
        points.append(np.concatenate([round_ / 2, np.zeros((1, 3))]) + np.array([0, sign / 2, 0]))
        normals.append(np.tile([0, sign, 0], (26, 1)))
        uv.append(points[-1][:, [0, 2]])
        k = np.arange(24)
        faces.append(first + np.stack([k, k + 1, np.full(24, 25)], axis=1))
    return np.concatenate(points), np.concatenate(normals), np.concatenate(uv), np.concatenate(faces)


def place_shape(
    batch: SolidBatch, kind: str, at: np.ndarray, turn: np.ndarray, size: np.ndarray, material: Material
) -> None:
    """Add a simple shape.

    Parameters
    ----------
    batch : SolidBatch
        Solids of the picture; the shape is added to it.
    kind : {"box", "stick", "ball"}
        The shape.
    at : (3,) float
        Centre, camera frame, metres.
    turn : (3, 3) float
        Rotation to the camera frame.
    size : (3,) float
        Full lengths, metres.
    material : Material
        Its material.
    """
    points, normals, uv, faces = unit_shape(kind)
    bent = (normals / size) @ turn.T
    bent /= np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-12)
    batch.add((points * size) @ turn.T + at, bent, uv * size.max(), faces, material)
