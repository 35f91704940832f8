"""Shapes of things that people hold or that resemble hands, as grids of points: cups, tools, cloth, bundles, hair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .hand_mesh import HandMesh
from .solids import Material, SolidBatch, place_shape

SIMPLE_SHAPES = ("box", "stick", "ball")
_AROUND = 16
"""Points around a lathed or swept surface."""
_LEAST_RADIUS = 1e-3
"""Radius of the end of a closed surface; at a radius of zero there is no normal."""
_FLAT_GLOVE = 0.55
"""Thickness of an empty glove compared with a hand's."""

Grids = list[tuple[np.ndarray, bool]]
"""Grids of points (T, K, 3) in a box of side 1 about the origin, and whether the rows are closed."""


def lathe(profile: list[tuple[float, float]]) -> np.ndarray:
    """Make the surface (T, 17, 3) of the radii and heights (T of both) turned about y."""
    angles = np.linspace(0, 2 * np.pi, _AROUND + 1)
    radius, height = np.array(profile).T[:, :, None]
    radius = np.maximum(radius, _LEAST_RADIUS)
    return np.stack([radius * np.cos(angles), np.broadcast_to(height, (len(radius), len(angles))),
                     radius * np.sin(angles)], axis=-1)  # fmt: skip


def sweep(path: np.ndarray, radius: np.ndarray, around: int = 10) -> np.ndarray:
    """Make the tube (T, around + 1, 3) about a path.

    Parameters
    ----------
    path : (T, 3) float
        Points of the path.
    radius : (T,) or (T, around + 1) float
        Radius at each point of the path, or at each point of the tube.
    around : int
        Points of a ring.

    Returns
    -------
    (T, around + 1, 3) float
        Rings; the last point of a ring repeats the first.
    """
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    helper = np.eye(3)[int(np.abs(path[-1] - path[0]).argmin())]
    side = np.cross(along, helper)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    up = np.cross(side, along)
    angles = np.linspace(0, 2 * np.pi, around + 1)[None, :, None]
    ring = np.cos(angles) * side[:, None] + np.sin(angles) * up[:, None]
    radius = np.asarray(radius, float)
    result: np.ndarray = path[:, None] + ring * (radius if radius.ndim == 2 else radius[:, None])[..., None]
    return result


def _waves(rng: np.random.Generator, points: np.ndarray, low: float, high: float, count: int = 6) -> np.ndarray:
    """Sum of sharp random waves (...,) of about unit deviation at points (..., 3), with ridges like folded cloth."""
    total = np.zeros(points.shape[:-1])
    for _ in range(count):
        direction = rng.standard_normal(3)
        wave = np.sin(points @ (direction / np.linalg.norm(direction)) * rng.uniform(low, high) + rng.uniform(0, 6.3))
        total += wave if rng.random() < 0.5 else 1.3 - 2 * np.abs(wave)
    return total / np.sqrt(count)


def _cup(rng: np.random.Generator) -> Grids:
    low, high = rng.uniform(0.24, 0.36), rng.uniform(0.32, 0.42)
    wall = [(0, -0.5), (low, -0.5), (high, 0.5), (high - 0.03, 0.5), (low - 0.03, -0.42), (0, -0.42)]
    grids: Grids = [(lathe(wall), True)]
    if rng.random() < 0.7:
        t = np.linspace(-1.5, 1.5, 9)
        path = np.stack([0.5 * (low + high) + 0.2 * np.cos(t), 0.26 * np.sin(t), 0 * t], axis=1)
        grids.append((sweep(path, np.full(9, 0.045), 6), True))
    return grids


def _bottle(rng: np.random.Generator) -> Grids:
    wide, neck, shoulder = rng.uniform(0.12, 0.2), rng.uniform(0.04, 0.08), rng.uniform(0.0, 0.25)
    outline = [(0, -0.5), (wide, -0.5), (wide, shoulder), (neck, shoulder + 0.17), (neck, 0.43), (neck + 0.015, 0.44),
               (neck + 0.015, 0.5), (0, 0.5)]  # fmt: skip
    return [(lathe(outline), True)]


def _pen(rng: np.random.Generator) -> Grids:
    thick = rng.uniform(0.022, 0.045)
    outline = [(0, -0.5), (0.2 * thick, -0.49), (thick, -0.4), (thick, 0.42), (0.8 * thick, 0.5), (0, 0.5)]
    return [(lathe(outline), True)]


def _tool(rng: np.random.Generator) -> Grids:
    """A tool: handle and shaft, and in half of them a head across."""
    handle, shaft = rng.uniform(0.05, 0.075), rng.uniform(0.015, 0.03)
    outline = [(0, -0.5), (handle, -0.48), (0.8 * handle, -0.25), (handle, 0.0), (shaft, 0.05), (shaft, 0.5), (0, 0.5)]
    grids: Grids = [(lathe(outline), True)]
    if rng.random() < 0.5:
        x = np.array([-0.2, -0.19, 0.12, 0.26])
        path = np.stack([x, np.full(4, 0.45), 0 * x], axis=1)
        grids.append((sweep(path, np.array([0.01, 0.07, 0.06, 0.02]), 8), True))
    return grids


def _sheet(rng: np.random.Generator) -> Grids:
    """A piece of cloth with folds that hangs a little."""
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, 15), np.linspace(-0.5, 0.5, 15), indexing="ij")
    flat = np.stack([x, y, 0 * x], axis=-1)
    z = 0.07 * _waves(rng, flat, 5, 22) - rng.uniform(0.1, 0.7) * x**2
    return [(np.stack([x * rng.uniform(0.6, 1), y, z], axis=-1), False)]


def _crumpled(rng: np.random.Generator) -> Grids:
    """A fist of cloth or paper: a ball with sharp folds."""
    v, u = np.meshgrid(np.linspace(0, np.pi, 15), np.linspace(0, 2 * np.pi, 23), indexing="ij")
    ball = 0.4 * np.stack([np.sin(v) * np.cos(u), -np.cos(v), np.sin(v) * np.sin(u)], axis=-1)
    return [(ball * (1 + 0.17 * _waves(rng, ball, 6, 30))[..., None], True)]


def _bundle(rng: np.random.Generator) -> Grids:
    """Three to five rounded rods side by side, like sausages, bananas or carrots."""
    count, bow = int(rng.integers(3, 6)), rng.uniform(-0.6, 0.6)
    t = np.linspace(-0.5, 0.5, 11)
    end = np.sqrt(np.clip(1 - (np.abs(t) * 2) ** rng.uniform(4, 9), _LEAST_RADIUS, 1))
    taper = 1 - rng.uniform(0, 0.6) * (t + 0.5)
    grids: Grids = []
    for k in range(count):
        across = (k - (count - 1) / 2) * rng.uniform(0.13, 0.19)
        fan = rng.normal(0, 0.25) + across * rng.uniform(0, 1.2)
        length = rng.uniform(0.65, 1)
        path = np.stack([across + fan * (t + 0.5), length * t, bow * t**2 + 0.05 * rng.standard_normal()], axis=1)
        grids.append((sweep(path, 0.085 * end * taper, 8), True))
    return grids


def _pipe(rng: np.random.Generator) -> Grids:
    """A pipe with a bend."""
    t = np.linspace(-0.5, 0.5, 21)
    bent = np.clip((t - rng.uniform(-0.2, 0.4)) * 5, 0, None)
    turn = np.minimum(bent, rng.uniform(0.4, 1.6))
    step = np.stack([np.sin(turn), np.cos(turn), 0 * t], axis=1) / 21
    path = np.cumsum(step, axis=0)
    return [(sweep(path - path.mean(axis=0), np.full(21, rng.uniform(0.04, 0.11)), 12), True)]


def _sleeve_end(rng: np.random.Generator) -> Grids:
    """The end of an empty sleeve, or an arm of cloth without a hand."""
    t = np.linspace(-0.5, 0.5, 19)
    path = np.stack([0.2 * rng.normal() * (t + 0.5) ** 2, t, 0.2 * rng.normal() * (t + 0.5) ** 2], axis=1)
    tube = sweep(path, np.linspace(0.24, rng.uniform(0.13, 0.2), 19), 20)
    folds = 1 + 0.12 * _waves(rng, tube * (1, 2, 1), 8, 30)
    folds[:, -1] = folds[:, 0]
    middle = path[:, None]
    tube = middle + (tube - middle) * folds[..., None] * (1, 1, rng.uniform(0.4, 1))
    inside = middle[-4:][::-1] + (tube[-4:][::-1] - middle[-4:][::-1]) * 0.93
    return [(np.concatenate([tube, inside]), True)]


def _hair(rng: np.random.Generator) -> Grids:
    """Strands that hang together."""
    t = np.linspace(-0.5, 0.5, 12)
    curl, phase, waves = rng.uniform(0, 0.08), rng.uniform(0, 6.3), rng.uniform(3, 12)
    grids: Grids = []
    for _ in range(int(rng.integers(6, 15))):
        x, spread = rng.normal(0, 0.1), rng.normal(0, 0.12)
        sway = curl * np.sin(waves * t + phase + rng.normal(0, 0.4))
        path = np.stack([x + spread * (t + 0.5) ** 2 + sway, t, rng.normal(0, 0.06) + sway], axis=1)
        grids.append((sweep(path, rng.uniform(0.006, 0.02) * (1 - 0.7 * (t + 0.5)), 4), True))
    return grids


_MAKERS: dict[str, Callable[[np.random.Generator], Grids]] = {
    "cup": _cup, "bottle": _bottle, "pen": _pen, "tool": _tool, "sheet": _sheet, "crumpled": _crumpled,
    "bundle": _bundle, "pipe": _pipe, "sleeve_end": _sleeve_end, "hair": _hair,
}  # fmt: skip
SHAPES = (*SIMPLE_SHAPES, *_MAKERS, "glove")
"""Names of all shapes."""


def add_shape(
    batch: SolidBatch,
    kind: str,
    at: np.ndarray,
    turn: np.ndarray,
    size: np.ndarray,
    material: Material,
    seed: int,
    mesh: HandMesh,
) -> None:
    """Add a shape.

    Parameters
    ----------
    batch : SolidBatch
        Solids of the picture; the shape is added to it.
    kind : str
        A name in ``SHAPES``.
    at : (3,) float
        Centre, camera frame, metres.
    turn : (3, 3) float
        Rotation to the camera frame.
    size : (3,) float
        Full lengths, metres. A stick, and the longest side of most things, is along y.
    material : Material
        Its material.
    seed : int
        Seed of the shape's details.
    mesh : HandMesh
        The hand's surface, for gloves.
    """
    if kind in SIMPLE_SHAPES:
        place_shape(batch, kind, at, turn, size, material)
        return
    rng = np.random.default_rng([seed, 0x5A9E])
    if kind == "glove":
        _glove(batch, at, turn, float(size[1]), material, rng, mesh)
        return
    for points, closed in _MAKERS[kind](rng):
        rows, columns = points.shape[:2]
        v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
        uv = np.stack([u, v], axis=-1) * float(size.max())
        batch.add_grid((points * size) @ turn.T + at, uv, material, closed)


def _glove(
    batch: SolidBatch, at: np.ndarray, turn: np.ndarray, length: float, material: Material, rng: np.random.Generator,
    mesh: HandMesh,
) -> None:  # fmt: skip
    """Add an empty glove: the straight hand, flattened and wrinkled, without an arm."""
    own = np.zeros(len(mesh.template), bool)
    own[mesh.hand_vertices] = True
    faces = mesh.skin_faces[own[mesh.skin_faces].all(axis=1)]
    middle = mesh.template[own].mean(axis=0)
    along = mesh.joints[0] - middle
    along = along - mesh.dorsal * (along @ mesh.dorsal)
    along /= np.linalg.norm(along)
    frame = np.stack([np.cross(along, mesh.dorsal), along, mesh.dorsal])
    points = (mesh.template - middle) @ frame.T * (1.06, 1, _FLAT_GLOVE)
    points[:, 2] += rng.uniform(-4, 4) * points[:, 1] ** 2 + 0.004 * _waves(rng, points, 40, 160)
    if rng.random() < 0.5:
        points[:, 0] *= -1
    points *= length / np.ptp(points[own, 1])
    normals = (mesh.normals @ frame.T) * (1, 1, 1 / _FLAT_GLOVE)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    used, index = np.unique(faces, return_inverse=True)
    batch.add(points[used] @ turn.T + at, normals[used] @ turn.T, points[used][:, :2], index.reshape(-1, 3), material)
