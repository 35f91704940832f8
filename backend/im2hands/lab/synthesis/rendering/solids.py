"""Meshes of everything that is no hand, gathered into one array for drawing; and the simple shapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from im2hands.geometry.normals import cross

from .hand_mesh import grid_faces
from .look import Cloth, Vector

# position 3, normal 3, texture coordinates 2, colour 3, material 4 (gloss, metal, pattern, its strength), label 1
COLUMNS = 16
SKIN_GLOSS = -1.0
OTHER_LABEL = 3


@dataclass(frozen=True)
class Material:
    """How a solid looks. gloss: 0 to 1, or ``SKIN_GLOSS``. label: 0 behind, 1, 2 a hand, 3 anything else."""

    colour: Vector
    gloss: float = 0.2
    metal: bool = False
    pattern: int = -1
    strength: float = 0.0
    scale: float = 10.0
    label: int = OTHER_LABEL

    @classmethod
    def of(cls, cloth: Cloth, gloss: float = 0.0, metal: bool = False, label: int = OTHER_LABEL) -> Material:
        """A material of cloth's colour and pattern."""
        return cls(cloth.colour, gloss, metal, cloth.pattern, cloth.strength, cloth.scale, label)


@dataclass
class SolidBatch:
    """Solids gathered for one picture."""

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
    ) -> None:
        """Add points (N, 3) metres camera frame, normals (N, 3), uv (N, 2) metres, faces (F, 3).

        ``colours`` (N, 3) replaces the material's colour.
        """
        rows = np.empty((len(points), COLUMNS), np.float32)
        rows[:, 0:3], rows[:, 3:6], rows[:, 6:8] = points, normals, uv * material.scale
        rows[:, 8:11] = material.colour if colours is None else colours
        strength = material.strength if material.pattern >= 0 else 0.0
        rows[:, 11:15] = (material.gloss, float(material.metal), max(material.pattern, 0), strength)
        rows[:, 15] = material.label
        self.vertices.append(rows)
        self.faces.append(faces + self.count)
        self.count += len(points)

    def add_grid(self, points: np.ndarray, uv: np.ndarray, material: Material) -> None:
        """Add a tube of rings (T, K, 3) with texture coordinates (T, K, 2); its last column repeats the first."""
        along = np.gradient(points, axis=0)
        padded = np.concatenate([points[:, -2:-1], points, points[:, 1:2]], axis=1)
        around = padded[:, 2:] - padded[:, :-2]
        normals = cross(around, along)
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
        rows, columns = points.shape[:2]
        self.add(points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), grid_faces(rows, columns), material)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, 16) float32 vertices and (F, 3) int32 faces of all."""
        if not self.vertices:
            return np.zeros((0, COLUMNS), np.float32), np.zeros((0, 3), np.int32)
        return np.concatenate(self.vertices), np.concatenate(self.faces).astype(np.int32)


Shape = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def unit_shape(kind: str) -> Shape:
    """Points, normals, uv and faces of a box, stick (cylinder along y) or ball of size 1 about the origin."""
    if kind == "ball":
        return ball(np.linspace(0, 1, 24), np.linspace(0, 1, 16))
    return _box() if kind == "box" else _stick()


def ball(columns: np.ndarray, rows: np.ndarray) -> Shape:
    """A sphere of diameter 1 as a grid of columns around y and rows from -y to +y, both 0 to 1; 0.5 looks to +z."""
    v, u = np.meshgrid(rows, columns, indexing="ij")
    normals = np.stack(
        [np.sin(np.pi * v) * np.sin(2 * np.pi * u), -np.cos(np.pi * v), -np.sin(np.pi * v) * np.cos(2 * np.pi * u)], -1
    ).reshape(-1, 3)
    uv = np.stack([u.ravel(), v.ravel()], axis=1)
    return normals / 2, normals, uv, grid_faces(len(rows), len(columns))


def _box() -> Shape:
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
    """Add a :func:`unit_shape` of ``size`` (3,) metres, turned by ``turn`` (3, 3), about ``at`` (3,)."""
    points, normals, uv, faces = unit_shape(kind)
    bent = (normals / size) @ turn.T
    bent /= np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-12)
    batch.add((points * size) @ turn.T + at, bent, uv * size.max(), faces, material)
