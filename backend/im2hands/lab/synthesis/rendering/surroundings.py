"""Surroundings of the hands: objects held, in front and behind, and people behind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from .accessories import PosedHand
from .hand_mesh import MODEL_VERTICES, HandMesh
from .look import Look, Person, Thing
from .solids import SKIN_GLOSS, Material, Shape, SolidBatch, ball, place_shape

BEHIND_LABEL = 0
_NOBODY = (0.0, 0.0, 0.55)  # position of the hands for a picture without hands, camera frame, metres


def add_surroundings(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], look: Look) -> None:
    """Add the objects and people of a look, positioned relative to the hands.

    Parameters
    ----------
    batch : SolidBatch
        Solids of the picture; the surroundings are added to it.
    mesh : HandMesh
        The hand's surface.
    hands : sequence of PosedHand
        The hands. Without hands, a point half a metre in front of the camera takes their place.
    look : Look
        Look of the picture.
    """
    if not hands:
        hands = [PosedHand("right", np.tile(_NOBODY, (MODEL_VERTICES, 1)), np.zeros(3))]
    for thing in look.things:
        _thing(batch, mesh, hands, thing)
    for person in look.people:
        _person(batch, mesh, hands, person, look)


def _thing(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], thing: Thing) -> None:
    """Add an object, unless it would be nearer than 0.12 m to the camera."""
    hand = hands[thing.hand % len(hands)]
    tips = hand.vertices[mesh.tips]
    palm = hand.vertices[mesh.hand_vertices].mean(axis=0)
    turn = Rotation.from_rotvec(thing.turn).as_matrix()
    if thing.place == "held":
        # Between finger tips and palm, parallel to the row of finger tips.
        along = tips[1] - tips[4]
        along /= max(float(np.linalg.norm(along)), 1e-9)
        towards = tips.mean(axis=0) - palm
        across = np.cross(along, towards)
        across /= max(float(np.linalg.norm(across)), 1e-9)
        frame = np.stack([across, along, np.cross(across, along)], axis=1)
        at, turn = 0.35 * palm + 0.65 * tips.mean(axis=0), frame @ turn
        at = at + 0.3 * np.array(thing.offset)
    elif thing.place == "front":
        at = palm * thing.along + np.array(thing.offset)
    else:
        at = palm + np.array(thing.offset) + (0, 0, 0.06 + 0.5 * max(thing.size))
    if at[2] < 0.12:
        return
    place_shape(batch, thing.shape, at, turn, np.array(thing.size), Material.of(thing.cloth, thing.gloss, thing.metal))


def _person(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], person: Person, look: Look) -> None:
    """Add a person."""
    every = np.concatenate([hand.vertices[mesh.hand_vertices] for hand in hands])
    middle = every.mean(axis=0)
    at = np.array([middle[0] + person.offset[0], middle[1] + person.offset[1], every[:, 2].max() + person.distance])
    tone = np.array(look.skin.tone) * 0.95
    turn = Rotation.from_rotvec([0, 0, person.tilt]).as_matrix()
    skin = Material((float(tone[0]), float(tone[1]), float(tone[2])), SKIN_GLOSS, False, 0, 0.12, 2.0, BEHIND_LABEL)
    shirt = skin if person.bare else Material.of(person.shirt, label=BEHIND_LABEL)
    depth = 0.13
    trunk = at + turn @ np.array([0.0, 0.42, depth + 0.02])
    place_shape(batch, "ball", trunk, turn, np.array([0.46, 0.62, 0.26]), shirt)
    if person.head:
        place_shape(batch, "stick", at + turn @ np.array([0.0, 0.13, depth]), turn, np.array([0.12, 0.18, 0.12]), skin)
        _head(batch, at + np.array([0, 0, depth]), turn, tone, person, skin)


@lru_cache(maxsize=1)
def _head_ball() -> Shape:
    """A ball whose vertices are dense on the face."""
    across, down = np.linspace(-1, 1, 61), np.linspace(-1, 1, 56)
    columns = 0.5 * (0.35 * across + 0.65 * across**3)
    rows = 0.53 + 0.5 * (0.6 * down + 0.4 * down**3)
    return ball(columns, np.clip(rows, 0, 1))


def _head(
    batch: SolidBatch, at: np.ndarray, turn: np.ndarray, tone: np.ndarray, person: Person, skin: Material
) -> None:
    """Add a head that faces the camera: eyes, brows, nose, mouth and hair are colours and bulges of an ellipsoid."""
    rng = np.random.default_rng([person.seed, 0xFACE])
    _, d, uv, faces = _head_ball()  # camera frame: y points down, so the chin is at +y; the face looks to -z
    colours = np.tile(tone, (len(d), 1))
    wide, high = rng.normal(1, 0.08, 2)

    def spot(x: float, y: float, width: float, height: float) -> np.ndarray:
        place = ((d[:, 0] - wide * x) / width) ** 2 + ((d[:, 1] - high * y) / height) ** 2
        return np.exp(-(place**1.5)) * (d[:, 2] < -0.2)

    def pair(x: float, y: float, width: float, height: float) -> np.ndarray:
        return spot(-x, y, width, height) + spot(x, y, width, height)

    shape = 0.5 * d
    nose = spot(0, 0.08, 0.10, 0.22) + 0.8 * spot(0, 0.20, 0.15, 0.08)
    shape[:, 2] -= 0.10 * nose + 0.03 * spot(0, 0.47, 0.25, 0.09) + 0.03 * pair(0.5, 0.22, 0.25, 0.2)
    shape[:, 2] += 0.05 * pair(0.34, -0.04, 0.17, 0.10)
    shape[:, 0] *= 1.0 - 0.25 * np.clip(d[:, 1], 0, 1) ** 1.5
    hair_line = rng.normal(-0.34, 0.14)
    hair = np.clip(((hair_line - d[:, 1]) + 0.6 * (d[:, 2] + 0.35)) * 8, 0, 1)
    beard = (rng.random() < 0.2) * spot(0, 0.75, 0.55, 0.40) * (1 - spot(0, 0.47, 0.2, 0.05))
    hair_colour = np.array(person.hair)
    for mask, colour in (
        (0.5 * pair(0.34, -0.05, 0.22, 0.14), 0.55 * tone),
        (0.4 * pair(0.5, 0.25, 0.2, 0.15), tone * (1.1, 0.75, 0.75)),
        (0.6 * pair(0.07, 0.24, 0.045, 0.03), 0.25 * tone),
        (0.9 * spot(0, 0.47, 0.24, 0.065), tone * (0.8, 0.42, 0.45)),
        (0.7 * spot(0, 0.47, 0.20, 0.015), 0.25 * tone),
        (0.8 * pair(0.34, -0.03, 0.13, 0.05), 0.15 + 0.5 * tone),
        (pair(0.34, -0.03, 0.06, 0.06), np.full(3, 0.02)),
        (0.9 * pair(0.34, -0.20, 0.19, 0.045), 0.6 * hair_colour),
        (0.8 * beard, hair_colour),
        (hair, hair_colour),
    ):
        colours += np.clip(mask, 0, 1)[:, None] * (colour - colours)
    shape *= 1 + 0.09 * hair[:, None]
    size = np.array([0.155, 0.225, 0.19])
    bent = (d / size) @ turn.T
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    batch.add((shape * size) @ turn.T + at, bent, uv, faces, skin, colours)
