"""Things and people around the hands: objects held, in front and behind; bodies and faces behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .accessories import PosedHand
from .hand_mesh import HandMesh
from .look import Look, Person, Thing
from .solids import SKIN_GLOSS, Material, SolidBatch, ball, place_shape

BEHIND_LABEL = 0


def add_surroundings(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], look: Look) -> None:
    """Put the objects and people of ``look`` into ``batch``, placed by the hands."""
    if not hands:
        return
    for thing in look.things:
        _thing(batch, mesh, hands, thing)
    for person in look.people:
        _person(batch, mesh, hands, person, look)


def _thing(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], thing: Thing) -> None:
    hand = hands[thing.hand % len(hands)]
    tips = hand.vertices[mesh.tips]
    palm = hand.vertices[mesh.hand_vertices].mean(axis=0)
    turn = Rotation.from_rotvec(thing.turn).as_matrix()
    if thing.place == "held":
        # Between finger tips and palm, along the row of the knuckles.
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
    every = np.concatenate([hand.vertices[mesh.hand_vertices] for hand in hands])
    middle = every.mean(axis=0)
    at = np.array([middle[0] + person.offset[0], middle[1] + person.offset[1], every[:, 2].max() + person.distance])
    tone = np.array(look.skin.tone) * 0.95
    turn = Rotation.from_rotvec([0, 0, person.tilt]).as_matrix()
    skin = Material((float(tone[0]), float(tone[1]), float(tone[2])), SKIN_GLOSS, False, 0, 0.25, 3.0, BEHIND_LABEL)
    shirt = skin if person.bare else Material.of(person.shirt, label=BEHIND_LABEL)
    depth = 0.13
    trunk = at + turn @ np.array([0.0, 0.42, depth + 0.02])
    place_shape(batch, "ball", trunk, turn, np.array([0.46, 0.62, 0.26]), shirt)
    if person.head:
        place_shape(batch, "stick", at + turn @ np.array([0.0, 0.13, depth]), turn, np.array([0.12, 0.18, 0.12]), skin)
        _head(batch, at + np.array([0, 0, depth]), turn, tone, person, skin)


def _head(
    batch: SolidBatch, at: np.ndarray, turn: np.ndarray, tone: np.ndarray, person: Person, skin: Material
) -> None:
    """A head that looks at the camera: eyes, brows, nose, mouth and hair as colours and bulges of an ellipsoid."""
    rng = np.random.default_rng([person.seed, 0xFACE])
    _, normals, uv, faces = ball(64, 48)
    d = normals  # y up or down: the camera's y points down, so the chin is at +y
    colours = np.tile(tone, (len(d), 1))
    front = np.clip(-d[:, 2], 0, 1)

    def spot(x: float, y: float, wide: float, high: float) -> np.ndarray:
        return np.exp(-(((d[:, 0] - x) / wide) ** 2) - ((d[:, 1] - y) / high) ** 2) * (front > 0.2)

    shape = d * np.array([0.5, 0.5, 0.5])
    nose = spot(0, 0.10, 0.09, 0.16) + 0.6 * spot(0, 0.20, 0.13, 0.06)
    shape[:, 2] -= 0.10 * nose
    shape[:, 2] += 0.04 * (spot(-0.34, -0.06, 0.15, 0.08) + spot(0.34, -0.06, 0.15, 0.08))
    shape[:, 0] *= 1.0 - 0.22 * np.clip(d[:, 1], 0, 1) ** 1.5
    hair_line = -0.45 + 0.1 * rng.normal()
    hair = np.clip(((hair_line - d[:, 1]) + 0.75 * (d[:, 2] + 0.25)) * 8, 0, 1)
    mouth = spot(0, 0.47, 0.23, 0.055)
    eyes = spot(-0.34, -0.03, 0.12, 0.05) + spot(0.34, -0.03, 0.12, 0.05)
    pupils = spot(-0.34, -0.03, 0.045, 0.045) + spot(0.34, -0.03, 0.045, 0.045)
    brows = spot(-0.34, -0.20, 0.17, 0.035) + spot(0.34, -0.20, 0.17, 0.035)
    cheeks = spot(-0.5, 0.25, 0.2, 0.15) + spot(0.5, 0.25, 0.2, 0.15)
    hair_colour = np.array(person.hair)
    for mask, colour in (
        (0.35 * cheeks, tone * (1.05, 0.7, 0.7)),
        (0.8 * mouth, tone * (0.75, 0.4, 0.42)),
        (0.8 * eyes, np.full(3, 0.55)),
        (np.minimum(1.3 * pupils, 1), np.full(3, 0.02)),
        (0.8 * brows, hair_colour),
        (hair, hair_colour),
    ):
        colours += np.clip(mask, 0, 1)[:, None] * (colour - colours)
    shape *= 1 + 0.09 * hair[:, None]
    size = np.array([0.155, 0.225, 0.19])
    bent = (normals / size) @ turn.T
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    batch.add((shape * size) @ turn.T + at, bent, uv, faces, skin, colours)
