"""Verified poses of pairs of hands: draw shapes and modes, solve poses, measure contact on the meshes, redraw failures.

Each scene has its own random numbers, from the seed and the scene's number. Scenes are made in blocks of fixed size
and position, because sums in a batch can differ in the last bit between batch sizes. So a scene does not depend on
which other scenes are made.
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
"""Scenes that are posed in one batch."""

PENETRATION = 0.003
"""Metres. A pair is rejected if a vertex of one hand is deeper inside the other hand."""
CONTACT = 0.003
"""Metres. Hands that touch have at most this gap."""
APART = 0.030
"""Metres. Hands that are apart have a larger gap."""

_ONE_PERSON = 0.8
"""Share of scenes whose two hands belong to one person."""
_ROUNDS = 7
_TRIES = (1, 2, 3, 4, 5, 6, 6)
"""Number of candidates of a scene that are tried together in each round."""
_POSE, _SHAPE, _TRY = range(3)  # numbers of random streams


@dataclass(frozen=True)
class Pair:
    """The hands of one scene in the body frame; row 0 is the left hand.

    Parameters
    ----------
    mode : str
        Interaction mode.
    present : (2,) bool
        Which hands are in the scene.
    shape : HandShape
        Shapes of the two hands.
    angles : (2, 24) float64
        Joint angles, radians.
    rotations : (2, 22, 3, 3) float64
        Bone rotations.
    turn : (2, 3, 3) float64
        Rotation from the model frame (mirrored in x for the left hand) to the body frame.
    shift : (2, 3) float64
        Translation from the same frame to the body frame, metres.
    vertices : (2, 1843, 3) float64
        Mesh vertices, metres; NaN for an absent hand.
    keypoints : (2, 21, 3) float64
        Keypoints, metres; NaN for an absent hand.
    view : (3,) float64
        Direction that the camera should look in. Zero means any.
    depth : float
        Measured penetration, metres.
    gap : float
        Measured gap, metres; infinite beyond the search distance or with fewer than two hands.
    meshes : tuple of ClosedMesh or None
        The meshes with search trees, as far as they are built; None for a hand that is absent or has none yet.
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
    """Number of tried and accepted candidates.

    Parameters
    ----------
    tried : dict of str to int
        Tried candidates by mode.
    accepted : dict of str to int
        Accepted candidates by mode.
    """

    tried: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)

    def count(self, mode: str, accepted: bool) -> None:
        """Count one candidate."""
        self.tried[mode] = self.tried.get(mode, 0) + 1
        self.accepted[mode] = self.accepted.get(mode, 0) + accepted

    def add(self, other: Tally) -> None:
        """Add the numbers of another tally."""
        for mine, its in ((self.tried, other.tried), (self.accepted, other.accepted)):
            for mode, number in its.items():
                mine[mode] = mine.get(mode, 0) + number

    @property
    def rejected(self) -> float:
        """Share of rejected candidates."""
        return 1 - sum(self.accepted.values()) / max(1, sum(self.tried.values()))


class PairMaker:
    """Makes the poses of scenes block by block.

    Parameters
    ----------
    model : HandModel or None
        The hand model. None loads the bundled one.
    """

    def __init__(self, model: HandModel | None = None) -> None:
        self.model = model or HandModel()
        self.solver = PoseSolver(self.model)
        self.faces = (hand_faces(self.model, 0), hand_faces(self.model, 1))

    def block(
        self, seed: int, number: int, singles: float = 0.1, empty: float = 0.0, count: int = 0
    ) -> tuple[list[Pair], Tally]:  # fmt: skip
        """Make the poses of one block.

        Parameters
        ----------
        seed : int
            Seed of the scene set.
        number : int
            Number of the block in the set.
        singles : float
            Share of scenes with one hand.
        empty : float
            Share of scenes without hands.
        count : int
            Scenes of a block, 0 for ``BLOCK``.

        Returns
        -------
        list of Pair
            The poses.
        Tally
            Tried and accepted candidates.
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
                # A scene that failed in all earlier rounds becomes an easy one.
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
        """Check a pair on its meshes, after moving one hand a few millimetres where that corrects it.

        Parameters
        ----------
        pairs : PosedPairs
            Solved pairs.
        row : int
            Number of the pair.
        begun : Start
            Its starting placement.

        Returns
        -------
        Pair or None
            The measured pair. None if gap or penetration do not fit the mode.
        """
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
        """Return the pair's meshes with search trees, None for an absent hand; builds missing ones."""
        built = pair.meshes or (None, None)
        return tuple(
            mesh or ClosedMesh(pair.vertices[k], self.faces[k]) if pair.present[k] else None
            for k, mesh in enumerate(built)
        )

    def _nobody(self, shape: HandShape) -> Pair:
        """A scene without hands."""
        turn = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
        rotations = torch.eye(3, dtype=torch.float64).repeat(2, 22, 1, 1)
        zero = torch.zeros(2, 3, dtype=torch.float64)
        vertices, keypoints = np.full((2, 1843, 3), np.nan), np.full((2, 21, 3), np.nan)
        angles = torch.zeros(2, 24, dtype=torch.float64)
        present = np.zeros(2, dtype=bool)
        return Pair(NO_HANDS, present, shape, angles, rotations, turn, zero, vertices, keypoints, np.zeros(3))


def acceptable(contact: Contact, mode: str) -> bool:
    """Whether gap and penetration fit the mode."""
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
    """Displacement (3,) of the second hand that corrects the contact, metres. None if it needs none or too much."""
    if PENETRATION - 0.0005 < contact.depth < 0.007:
        return contact.direction * (contact.depth - 0.5 * PENETRATION)
    if mode in TOUCHING_MODES and 0.001 < contact.gap < 0.012:
        return -contact.direction * (contact.gap + 0.0002)
    return None


def moved(pair: Pair, offset: np.ndarray) -> Pair:
    """Move the right hand of a pair by ``offset`` (3,) metres."""
    shift, vertices, keypoints = pair.shift.clone(), pair.vertices.copy(), pair.keypoints.copy()
    shift[1] += torch.from_numpy(offset)
    vertices[1] += offset
    keypoints[1] += offset
    meshes = pair.meshes and (pair.meshes[0], None)
    return replace(pair, shift=shift, vertices=vertices, keypoints=keypoints, meshes=meshes)


def pair_of(pairs: PosedPairs, row: int, begun: Start) -> Pair:
    """Take one pair out of a solved batch, without measured contact.

    Parameters
    ----------
    pairs : PosedPairs
        Solved pairs.
    row : int
        Number of the pair.
    begun : Start
        Its starting placement.

    Returns
    -------
    Pair
        The pair.
    """
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
    """Draw the shapes of two hands.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    one_person : bool
        Whether the hands belong to one person and are nearly alike.

    Returns
    -------
    HandShape
        Two shapes.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    shape = random_shape(2, generator)
    if not one_person:
        return shape

    def alike(values: Tensor, spread: float) -> Tensor:
        return values[:1] + spread * torch.randn(values.shape, generator=generator, dtype=torch.float64).clamp(-2, 2)

    return HandShape(alike(shape.components, 0.04), alike(shape.length, 0.004), alike(shape.thickness, 0.006))


def _stack(shapes: list[HandShape]) -> HandShape:
    return HandShape(*(torch.cat([getattr(s, n) for s in shapes]) for n in ("components", "length", "thickness")))
