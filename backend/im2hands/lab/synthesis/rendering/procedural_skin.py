"""Procedural skin: tone variation, creases at the joints, palm lines, veins and pores, baked into the atlas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from im2hands.geometry.hand_model import FINGER_BONES, WRIST_BONE

from .hand_mesh import HandMesh
from .skin_atlas import SkinAtlas, SkinMap, smooth_step


def procedural_skin(mesh: HandMesh, atlas: SkinAtlas, seed: int) -> SkinMap:
    """Make one person's skin.

    Parameters
    ----------
    mesh : HandMesh
        The hand's surface.
    atlas : SkinAtlas
        Layout of the texture.
    seed : int
        The same seed gives the same skin.

    Returns
    -------
    SkinMap
        The skin.
    """
    rng = np.random.default_rng([seed, 0x5117])
    covered = atlas.covered
    position = atlas.positions[covered]
    parts = atlas.parts[covered] / np.float32(255)
    palm, blood = parts[:, 1], parts[:, 2]
    broad = noise(position, 0.030, rng) + 0.6 * noise(position, 0.012, rng)
    mottle = noise(position, 0.0035, rng)
    pores = noise(position, 0.0011, rng)
    creases = _joint_creases(mesh, position, palm, rng) + _palm_lines(mesh, position, palm, rng)
    veins = _veins(position, rng) * (1 - palm) * rng.uniform(0.0, 1.0)
    freckles = np.clip(noise(position, 0.0022, rng) - 1.9, 0, 1) * (1 - palm) * rng.uniform(0, 1.2)
    base = np.array([0.52, 0.32, 0.23])
    redness = 0.05 * broad + 0.035 * mottle + 0.10 * blood
    light = 0.05 * broad + 0.03 * mottle + 0.012 * pores - 0.30 * creases - 0.06 * veins - 0.35 * freckles
    colour = base * np.exp(light[:, None] + redness[:, None] * np.array([0.25, -0.75, -0.75]))
    colour *= np.exp(veins[:, None] * np.array([-0.07, 0.0, 0.03]) - creases[:, None] * np.array([0.0, 0.22, 0.26]))
    height = 0.9 * mottle + 0.9 * pores - 5.0 * creases + 1.2 * veins + 0.3 * broad
    height = (height - height.mean()) / height.std()
    whole = np.zeros((*covered.shape, 4), np.float32)
    whole[covered, :3] = np.clip(colour, 0, 0.95)
    whole[covered, 3] = np.clip(height, -2.7, 2.7)
    return atlas.pack(whole[..., :3], whole[..., 3])


def noise(position: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Make smooth noise.

    Parameters
    ----------
    position : (N, 3) float
        Positions, metres.
    scale : float
        Size of the features, metres.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    (N,) float
        Noise of about unit deviation.
    """
    grid = rng.standard_normal((48, 48, 48)).astype(np.float32)
    place = (position / scale).T + rng.uniform(0, 48, 3)[:, None]
    return 1.6 * ndimage.map_coordinates(grid, place, order=1, mode="grid-wrap")


def _joint_creases(mesh: HandMesh, position: np.ndarray, palm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth (N,) of the creases across the finger joints: few and deep inside, many and fine on the knuckles."""
    wobble = noise(position, 0.006, rng)
    strength = 0.6 + 0.4 * np.clip(noise(position, 0.004, rng), -1, 1)
    creases = np.zeros(len(position))
    for finger, bones in enumerate(FINGER_BONES):
        ends = [mesh.joints[b] for b in bones] + [mesh.template[mesh.tips[finger]]]
        for k in (1, 2):
            axis = ends[k + 1] - ends[k - 1]
            axis /= np.linalg.norm(axis)
            at, local, near = _around(position, ends[k], 0.011, 0.017)
            along = local @ axis + 0.0005 * wobble[at]
            inside = sum(np.exp(-(((along - o) / 0.00045) ** 2)) for o in rng.normal(0, 0.0011, 2))
            folds = np.linspace(-0.004, 0.004, 7 - 2 * (k - 1))
            outside = sum(0.45 * np.exp(-(((along - o) / 0.0004) ** 2)) for o in folds)
            lines = near * strength[at] * (palm[at] * inside + (1 - palm[at]) * outside)
            creases[at] = np.maximum(creases[at], lines)
        # The crease between finger and palm, about half-way along the first bone.
        if finger:
            axis = ends[1] - ends[0]
            at, local, near = _around(position, ends[0] + 0.52 * axis, 0.012, 0.018)
            along = local @ (axis / np.linalg.norm(axis)) + 0.0006 * wobble[at]
            lines = near * palm[at] * strength[at] * np.exp(-((along / 0.0005) ** 2))
            creases[at] = np.maximum(creases[at], lines)
    axis = mesh.joints[0] / np.linalg.norm(mesh.joints[0])
    along = position @ axis + 0.0008 * wobble
    for offset in rng.uniform(-0.002, 0.014, 2):
        at = np.flatnonzero(np.abs(along - offset) < 0.003)
        lines = 0.6 * palm[at] * strength[at] * np.exp(-(((along[at] - offset) / 0.0006) ** 2))
        creases[at] = np.maximum(creases[at], lines)
    return creases


def _around(
    position: np.ndarray, centre: np.ndarray, inner: float, outer: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the points near ``centre``, their offsets from it, and their weights, 1 inside to 0 outside."""
    at = np.flatnonzero((np.abs(position - centre) < outer).all(axis=-1))
    local = position[at] - centre
    return at, local, smooth_step(outer, inner, np.linalg.norm(local, axis=-1))


def _palm_lines(mesh: HandMesh, position: np.ndarray, palm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Depth (N,) of the three large palm lines and a few small ones, drawn in the plane of the palm."""
    knuckles = [mesh.joints[bones[0]] for bones in FINGER_BONES]
    wrist = mesh.joints[WRIST_BONE]
    origin = wrist
    up = knuckles[2] - wrist
    length = float(np.linalg.norm(up))
    up = up / length
    across = knuckles[1] - knuckles[4]
    across = across - up * (across @ up)
    width = float(np.linalg.norm(across))
    across = across / width
    place = np.stack([(position - origin) @ across / width, (position - origin) @ up / length], axis=-1)
    centre = np.array([(k - origin) @ across / width for k in knuckles[1:]])
    index, little = centre[0], centre[3]
    lines = [
        [(index + 0.12, 0.80), (index - 0.55, 0.66), (little - 0.10, 0.45)],
        [(little - 0.12, 0.76), (0.5 * (index + little), 0.78), (index - 0.22, 1.02)],
        [(index + 0.12, 0.78), (index - 0.50, 0.60), (index - 0.52, 0.08)],
    ]
    for _ in range(4):
        x, y = rng.uniform(little, index), rng.uniform(0.3, 0.8)
        lines.append([(x, y), (x + rng.normal(0, 0.1), y + 0.1), (x + rng.normal(0, 0.15), y + 0.25)])
    at = np.flatnonzero(palm > 0.02)
    wander = np.stack([noise(position[at], 0.010, rng), noise(position[at], 0.010, rng)], axis=-1)
    place = place[at] + 0.012 * wander
    out = np.zeros(len(position))
    for number, control in enumerate(lines):
        p = np.array(control) + rng.normal(0, 0.025, (3, 2))
        t = np.linspace(0, 1, 250)[:, None]
        curve = (1 - t) ** 2 * p[0] + 2 * t * (1 - t) * p[1] + t**2 * p[2]
        distance, _ = cKDTree(curve).query(place, distance_upper_bound=0.04)  # infinite beyond
        broad, depth = (0.009, 0.55) if number < 3 else (0.006, 0.25)
        out[at] = np.maximum(out[at], depth * np.exp(-((distance / broad) ** 2)))
    return out * palm


def _veins(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strength (N,) of soft ridges along the back of the hand."""
    field = noise(position * np.array([1.0, 0.45, 1.0]), 0.016, rng)
    return np.exp(-((field / 0.18) ** 2)) * smooth_step(-0.5, 1.0, noise(position, 0.03, rng))
