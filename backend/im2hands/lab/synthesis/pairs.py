"""Verified poses for scenes: shapes and modes drawn, poses solved, contact measured on the meshes, failures drawn anew.

Every scene has random numbers of its own, by the seed and its number. Scenes are made in blocks of fixed size and
place, since sums in a batch may differ in the last bit between batch sizes: a scene is the same whoever asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.hand_model import HandModel, HandShape
from im2hands.geometry.signed_distance import ClosedMesh

from .contact import Contact, measure_contact
from .interaction import PosedPairs, PoseSolver
from .interaction_modes import SINGLE_MODES, TOUCHING_MODES, draw_mode, start
from .modes.placement import Start
from .poses import random_shape
from .scene import NO_HANDS, hand_faces

BLOCK = 128
"""Scenes that are posed together."""

PENETRATION = 0.003
"""Metres: a pair of hands whose deepest vertex lies deeper in the other hand is rejected."""
CONTACT = 0.003
"""Metres: hands that touch are no further apart."""
APART = 0.030
"""Metres: hands that are apart are further apart."""

_ONE_PERSON = 0.8
_ROUNDS = 7
_TRIES = (1, 2, 3, 4, 5, 6, 6)
"""How many candidates of a scene are tried together, round by round."""
_POSE, _SHAPE, _TRY = range(3)  # streams of random numbers


@dataclass(frozen=True)
class Pair:
    """The hands of one scene in the body frame, row 0 the left one.

    Args:
        mode: name. present: (2,) bool. shape: of 2 hands. angles: (2, 24). rotations: (2, 22, 3, 3). turn: (2, 3, 3),
            shift: (2, 3) model (mirrored for the left) to body frame. vertices: (2, 1843, 3), keypoints: (2, 21, 3).
        view: (3,) direction the camera should look along, zero for any. depth: metres of penetration, measured.
        gap: metres between the hands, infinite where they are far apart or one is alone. meshes: the same vertices with
            search trees, once they were built; None for a hand that is not there.
    """

    mode: str
    present: np.ndarray
    shape: HandShape
    angles: Tensor
    rotations: Tensor
    turn: Tensor
    shift: Tensor
    vertices: np.ndarray
    keypoints: np.ndarray
    view: np.ndarray
    depth: float = 0.0
    gap: float = np.inf
    meshes: tuple[ClosedMesh | None, ...] | None = None


@dataclass
class Tally:
    """How many candidates were tried and accepted, per mode."""

    tried: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)

    def count(self, mode: str, accepted: bool) -> None:
        """Note one candidate."""
        self.tried[mode] = self.tried.get(mode, 0) + 1
        self.accepted[mode] = self.accepted.get(mode, 0) + accepted

    def add(self, other: Tally) -> None:
        """Add another's numbers."""
        for mine, its in ((self.tried, other.tried), (self.accepted, other.accepted)):
            for mode, number in its.items():
                mine[mode] = mine.get(mode, 0) + number

    @property
    def rejected(self) -> float:
        """Share of candidates that were rejected."""
        return 1 - sum(self.accepted.values()) / max(1, sum(self.tried.values()))


class PairMaker:
    """Makes scenes' poses block by block."""

    def __init__(self, model: HandModel | None = None) -> None:
        self.model = model or HandModel()
        self.solver = PoseSolver(self.model)
        self.faces = (hand_faces(self.model, 0), hand_faces(self.model, 1))

    def block(
        self, seed: int, number: int, singles: float = 0.1, empty: float = 0.0, count: int = 0
    ) -> tuple[list[Pair], Tally]:  # fmt: skip
        """The poses of block ``number`` of the set of ``seed``.

        Args:
            singles: share of scenes with one hand. empty: share of scenes without any. count: scenes of a block, 0 for
                :data:`BLOCK`.
        """
        count = count or BLOCK
        scenes = range(number * count, (number + 1) * count)
        modes, persons, shapes = [], [], []
        for scene in scenes:
            rng = np.random.default_rng((seed, scene, _POSE))
            kind = rng.uniform()
            mode = draw_mode(rng)
            if kind < singles:
                mode = str(rng.choice(SINGLE_MODES, p=[0.5, 0.3, 0.2]))
            elif kind < singles + empty:
                mode = NO_HANDS
            modes.append(mode)
            persons.append(bool(rng.uniform() < _ONE_PERSON))
            shapes.append(draw_shape(np.random.default_rng((seed, scene, _SHAPE)), persons[-1]))
        tally = Tally()
        done: dict[int, Pair] = {k: self._nobody(shapes[k]) for k in range(count) if modes[k] == NO_HANDS}
        for round_ in range(_ROUNDS):
            waiting = [k for k in range(count) if k not in done]
            if not waiting:
                break
            tries = [(k, round_ * 10 + t) for k in waiting for t in range(_TRIES[round_])]
            last = round_ == _ROUNDS - 1
            starts = []
            for k, attempt in tries:
                rng = np.random.default_rng((seed, scenes[k], _TRY, attempt))
                # What could not be posed in many attempts becomes an easy scene.
                starts.append(start("apart" if last else modes[k], rng, persons[k]))
            pairs = self.solver.solve(starts, _stack([shapes[k] for k, _ in tries]))
            for row, (k, _) in enumerate(tries):
                if k not in done:
                    pair = self.verified(pairs, row, starts[row])
                    tally.count(starts[row].mode, pair is not None)
                    if pair is not None:
                        done[k] = pair
        if len(done) < count:
            raise AssertionError(f"{count - len(done)} scenes of block {number} could not be posed")
        return [done[k] for k in range(count)], tally

    def verified(self, pairs: PosedPairs, row: int, begun: Start) -> Pair | None:
        """Pair ``row``, moved a little where that mends it, or None if its meshes are not as the mode wants."""
        made = pair_of(pairs, row, begun)
        if not all(begun.present):
            return made
        first, second = (ClosedMesh(v, f) for v, f in zip(made.vertices, self.faces, strict=True))
        look = APART + 0.001 if begun.mode in ("apart", "near") else 0.012
        contact = measure_contact(first, second, look)
        offset = np.zeros(3)
        for _ in range(2):
            step = _mending(contact, begun.mode)
            if step is None:
                break
            offset = offset + step
            contact = measure_contact(first, second, look, offset)
        if not acceptable(contact, begun.mode):
            return None
        made = replace(made, depth=contact.depth, gap=contact.gap, meshes=(first, second))
        return moved(made, offset) if offset.any() else made

    def meshes(self, pair: Pair) -> tuple[ClosedMesh | None, ...]:
        """The pair's meshes with search trees."""
        built = pair.meshes or (None, None)
        return tuple(
            mesh or ClosedMesh(pair.vertices[k], self.faces[k]) if pair.present[k] else None
            for k, mesh in enumerate(built)
        )

    def _nobody(self, shape: HandShape) -> Pair:
        turn = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
        rotations = torch.eye(3, dtype=torch.float64).repeat(2, 22, 1, 1)
        zero = torch.zeros(2, 3, dtype=torch.float64)
        vertices, keypoints = np.full((2, 1843, 3), np.nan), np.full((2, 21, 3), np.nan)
        angles = torch.zeros(2, 24, dtype=torch.float64)
        present = np.zeros(2, dtype=bool)
        return Pair(NO_HANDS, present, shape, angles, rotations, turn, zero, vertices, keypoints, np.zeros(3))


def acceptable(contact: Contact, mode: str) -> bool:
    """Whether meshes are to each other as ``mode`` wants."""
    if contact.depth > PENETRATION:
        return False
    if mode in TOUCHING_MODES:
        return contact.gap <= CONTACT
    if mode == "apart":
        return contact.gap > APART
    if mode == "near":
        return CONTACT < contact.gap <= APART
    return contact.depth == 0


def _mending(contact: Contact, mode: str) -> np.ndarray | None:
    """How the second hand should move (3,), metres; None where it stands well or a shift would not do."""
    if PENETRATION - 0.0005 < contact.depth < 0.007:
        return contact.direction * (contact.depth - 0.5 * PENETRATION)
    if mode in TOUCHING_MODES and 0.001 < contact.gap < 0.012:
        return -contact.direction * (contact.gap + 0.0002)
    return None


def moved(pair: Pair, offset: np.ndarray) -> Pair:
    """The pair with its right hand moved by ``offset`` (3,) metres."""
    shift, vertices, keypoints = pair.shift.clone(), pair.vertices.copy(), pair.keypoints.copy()
    shift[1] += torch.from_numpy(offset)
    vertices[1] += offset
    keypoints[1] += offset
    meshes = pair.meshes and (pair.meshes[0], None)
    return replace(pair, shift=shift, vertices=vertices, keypoints=keypoints, meshes=meshes)


def pair_of(pairs: PosedPairs, row: int, begun: Start) -> Pair:
    """Pair ``row`` as it was solved, not measured yet."""
    present = np.array(begun.present)
    vertices, keypoints = pairs.vertices[row].numpy().copy(), pairs.keypoints[row].numpy().copy()
    vertices[~present] = np.nan
    keypoints[~present] = np.nan
    own = slice(2 * row, 2 * row + 2)
    shape = HandShape(pairs.shape.components[own], pairs.shape.length[own], pairs.shape.thickness[own])
    return Pair(
        begun.mode, present, shape, pairs.angles[row], pairs.rotations[row], pairs.turn[row], pairs.shift[row],
        vertices, keypoints, begun.view,
    )  # fmt: skip


def draw_shape(rng: np.random.Generator, one_person: bool) -> HandShape:
    """Two hands: of one person, nearly alike, or of two."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    shape = random_shape(2, generator)
    if not one_person:
        return shape

    def alike(values: Tensor, spread: float) -> Tensor:
        return values[:1] + spread * torch.randn(values.shape, generator=generator, dtype=torch.float64).clamp(-2, 2)

    return HandShape(alike(shape.components, 0.04), alike(shape.length, 0.004), alike(shape.thickness, 0.006))


def _stack(shapes: list[HandShape]) -> HandShape:
    return HandShape(*(torch.cat([getattr(s, n) for s in shapes]) for n in ("components", "length", "thickness")))
