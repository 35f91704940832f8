"""Accessories of hands: sleeves, rings, watches and bracelets, built on the posed skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import Side

from .hand_mesh import ARM_RANGE, ARM_REACH, BAND_POINTS, MODEL_VERTICES, HandMesh
from .look import Look, Ring, Sleeve, Watch
from .solids import Material, SolidBatch, place_shape

MAX_HANDS = 2
_SLEEVE_RINGS = 18
_BEYOND_RINGS = 9
_FOLD_WAVES = 5
_NOBODY = (0.0, 0.0, 0.55)  # position that replaces absent hands, camera frame, metres
_LEAST_LOOSE = 0.0025
"""Least distance of a sleeve from the skin, metres."""


@dataclass(frozen=True)
class PosedHand:
    """One hand of the picture.

    Parameters
    ----------
    side : Side
        The person's left or right hand.
    vertices : (1843, 3) float64
        Mesh vertices, camera frame, metres.
    bend : (3,) float64
        Displacement of the far end of the arm's continuation, metres.
    reach : float
        Length of a straight continuation, metres.
    """

    side: Side
    vertices: np.ndarray
    bend: np.ndarray
    reach: float = ARM_REACH

    @property
    def label(self) -> int:
        """Label of its pixels: 1 left, 2 right."""
        return 1 if self.side == "left" else 2


def posed_hands(hands: Sequence[tuple[Side, np.ndarray]], look: Look) -> list[PosedHand]:
    """Check the hands of a picture and combine them with the look's bends of the arms.

    Parameters
    ----------
    hands : sequence of (Side, (1843, 3) float64)
        Up to two hands: side, and vertices in metres, camera frame.
    look : Look
        Look of the picture.

    Returns
    -------
    list of PosedHand
        The hands.

    Raises
    ------
    InputError
        More than two hands, or vertices of another shape.
    """
    if len(hands) > MAX_HANDS:
        raise InputError(f"A picture of {len(hands)} hands cannot be drawn.", f"Give at most {MAX_HANDS}.")
    posed = []
    for number, (side, vertices) in enumerate(hands):
        array = np.asarray(vertices, np.float64)
        if array.shape != (MODEL_VERTICES, 3) or not np.isfinite(array).all():
            raise InputError(
                f"Vertices of the {side} hand have shape {array.shape} or are not finite.",
                f"Give ({MODEL_VERTICES}, 3) metres in the camera frame.",
            )
        posed.append(PosedHand(side, array, np.array(look.arm_bend[number % len(look.arm_bend)])))
    return posed


def stand_in() -> list[PosedHand]:
    """Return a point half a metre in front of the camera, which takes the place of the hands in an empty picture."""
    return [PosedHand("right", np.tile(_NOBODY, (MODEL_VERTICES, 1)), np.zeros(3))]


def add_accessories(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], look: Look) -> None:
    """Add all accessories of a look.

    Parameters
    ----------
    batch : SolidBatch
        Solids of the picture; the accessories are added to it.
    mesh : HandMesh
        The hand's surface.
    hands : sequence of PosedHand
        The hands.
    look : Look
        Look of the picture.
    """
    for number, hand in enumerate(hands):
        if look.sleeve:
            _sleeve(batch, mesh, hand, look.sleeve, number)
        for ring in look.rings:
            if ring.hand == number:
                _ring(batch, mesh, hand, ring)
        if look.watch and look.watch.hand == number:
            _watch(batch, mesh, hand, look.watch)


def _closed(points: np.ndarray) -> np.ndarray:
    """Rings (T, K, 3) with their first point repeated at the end."""
    return np.concatenate([points, points[:, :1]], axis=1)


def _at(rings: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Interpolate rings (N, K, 3) at fractional ring numbers ``place``."""
    low = np.clip(np.floor(place).astype(int), 0, len(rings) - 2)
    share = (place - low)[:, None, None]
    return rings[low] * (1 - share) + rings[low + 1] * share


def _outward(rings: np.ndarray) -> np.ndarray:
    """Unit directions (T, K, 3) from the rings' centres to their points."""
    radial = rings - rings.mean(axis=1, keepdims=True)
    return radial / np.maximum(np.linalg.norm(radial, axis=2, keepdims=True), 1e-9)


def _band_uv(rings: int, length: float, around: float) -> np.ndarray:
    """Texture coordinates (rings, K + 1, 2) in metres of a band of the given length and circumference."""
    t, k = np.meshgrid(np.linspace(0, length, rings), np.linspace(0, around, BAND_POINTS + 1), indexing="ij")
    return np.stack([k, t], axis=-1)


def _arm_place(share: float, count: int) -> float:
    """Fractional ring number of a position on the forearm, 0 elbow to 1 wrist."""
    return (share - ARM_RANGE[0]) / (ARM_RANGE[1] - ARM_RANGE[0]) * (count - 1)


def _sleeve(batch: SolidBatch, mesh: HandMesh, hand: PosedHand, sleeve: Sleeve, number: int) -> None:
    rng = np.random.default_rng([sleeve.seed, number])
    arm = mesh.forearm.points(hand.vertices)
    beyond = mesh.arm_beyond(arm[:2], hand.bend, _BEYOND_RINGS, hand.reach)[::-1]
    if sleeve.end < 0:
        rings = _at(beyond, np.linspace(0, (1 + sleeve.end) * (_BEYOND_RINGS - 1), _BEYOND_RINGS))
    else:
        rings = _at(arm, np.linspace(0, _arm_place(sleeve.end, len(arm)), _SLEEVE_RINGS))
        rings = np.concatenate([beyond[:-1], rings])
    count = len(rings)
    t, angle = np.meshgrid(np.linspace(0, 1, count), np.arange(BAND_POINTS) * 2 * np.pi / BAND_POINTS, indexing="ij")
    folds = np.zeros_like(t)
    for _ in range(_FOLD_WAVES):
        turns, waves, phase = rng.integers(0, 4), rng.uniform(1, 9), rng.uniform(0, 2 * np.pi)
        wave = np.sin(turns * angle + 2 * np.pi * waves * t + phase)
        # Folds of cloth are round or have sharp ridges.
        folds += rng.normal(0, 0.5) * wave if rng.random() < 0.5 else 0.6 * (0.6 - np.abs(wave))
    off = sleeve.loose * (0.75 + 0.35 * t) + sleeve.folds * folds
    # Cloth hangs down: +y is down, so the distance is larger there.
    outward = _outward(rings)
    off += 0.5 * sleeve.loose * np.clip(outward[..., 1], 0, 1)
    if sleeve.cuff > 0:
        length = np.linalg.norm(np.diff(rings.mean(axis=1), axis=0), axis=1)
        to_end = np.append(np.cumsum(length[::-1])[::-1], 0.0)
        tight = np.clip(1.5 - to_end / sleeve.cuff, 0, 1)[:, None]
        off = off * (1 - tight) + _LEAST_LOOSE * tight
    cloth = rings + outward * np.maximum(off, _LEAST_LOOSE)[..., None]
    # The hem has a thickness and ends inside the sleeve.
    hem = cloth[-1] - outward[-1] * 0.0022
    inside = rings[-3] + outward[-3] * 0.0003
    forward = cloth[-1].mean(axis=0) - cloth[-2].mean(axis=0)
    forward = 0.0016 * forward / max(float(np.linalg.norm(forward)), 1e-9)
    cloth = np.concatenate([cloth, cloth[-1:] + forward - outward[-1:] * 0.0008, hem[None] + forward, inside[None]])
    material = Material.of(sleeve.cloth)
    batch.add_grid(_closed(cloth), _band_uv(len(cloth), 0.55, 0.25), material)


def _ring(batch: SolidBatch, mesh: HandMesh, hand: PosedHand, ring: Ring) -> None:
    finger = mesh.fingers[ring.finger].points(hand.vertices)
    middle = (len(finger) - 1) / 2
    step = np.linalg.norm(finger[-1].mean(axis=0) - finger[0].mean(axis=0)) / (len(finger) - 1)
    half = ring.width / 2 / max(float(step), 1e-6)
    profile = np.array([-1.0, -0.9, -0.4, 0.4, 0.9, 1.0])
    height = np.array([-0.0004, 0.0008, 0.0013, 0.0013, 0.0008, -0.0004])
    rings = _at(finger, middle + profile * half)
    # A ring is rounder than the finger: use half of the difference from the mean radius.
    outward = _outward(rings)
    centre = rings.mean(axis=1, keepdims=True)
    radius = np.linalg.norm(rings - centre, axis=2, keepdims=True)
    rounded = centre + outward * (0.5 * radius + 0.5 * radius.mean(axis=1, keepdims=True))
    material = Material(ring.colour, 0.8, True, label=hand.label)
    batch.add_grid(_closed(rounded + outward * height[:, None, None]), _band_uv(6, ring.width, 0.05), material)
    if ring.stone is not None:
        size = np.array([1.3, 0.8, 1.3]) * ring.width
        at = rounded[2:4, 0].mean(axis=0) + outward[2, 0] * 0.0016
        place_shape(batch, "ball", at, _frame(outward[2, 0], finger), size, Material(ring.stone, 0.9, label=hand.label))


def _watch(batch: SolidBatch, mesh: HandMesh, hand: PosedHand, watch: Watch) -> None:
    arm = mesh.forearm.points(hand.vertices)
    step = np.linalg.norm(arm[-1].mean(axis=0) - arm[0].mean(axis=0)) / (len(arm) - 1)
    middle = _arm_place(watch.place, len(arm))
    profile, height = np.array([-1.0, -0.97, 0.97, 1.0]), np.array([-0.0005, 0.0022, 0.0022, -0.0005])
    rings = _at(arm, middle + profile * watch.width / 2 / max(float(step), 1e-6))
    outward = _outward(rings)
    material = Material(watch.colour, 0.75 if watch.metal else 0.35, watch.metal, 2 if watch.metal else 0, 0.15, 60.0)
    batch.add_grid(_closed(rings + outward * height[:, None, None]), _band_uv(4, watch.width, 0.18), material)
    if watch.face > 0:
        up = outward[1, 0]
        at, frame = rings[1:3, 0].mean(axis=0) + up * 0.004, _frame(up, arm)
        case = Material(watch.colour if watch.metal else (0.3, 0.3, 0.3), 0.8, True)
        place_shape(batch, "stick", at, frame, np.array([watch.face, 0.009, watch.face]), case)
        dial = np.array([watch.face * 0.86, 0.0005, watch.face * 0.86])
        place_shape(batch, "stick", at + up * 0.0047, frame, dial, Material(watch.dial, 0.85))


def _frame(up: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) with the columns across, ``up`` and along the limb."""
    along = rings[-1].mean(axis=0) - rings[0].mean(axis=0)
    along = along - up * (along @ up)
    along /= max(float(np.linalg.norm(along)), 1e-9)
    return np.stack([np.cross(up, along), up, along], axis=1)
