"""The initial and the refined surface of one hand with the published networks, found coarse to fine."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.bones import QUERY_SCALE

from .bone_choice import BoneChoice
from .dense_lattice import Surface
from .occupancy_field import OUTSIDE_LOGIT
from .picture_field import HandLogits
from .told_lattice import ToldLattice
from .walked_lattice import Lattice, LatticeField

COARSEST = 0.01375
"""Upper limit of the first lattice's spacing, metres, as published (1.1 * 0.4 m / 32).

A palm is thicker than a cell; fingers are found by walking along the surface.
"""

ANCHOR_LATTICE = 0.0035
"""Upper limit of the lattice spacing of the initial surface that anchors lie on, metres.

It may be coarser than the mesh's lattice.
"""

CHOICE_LATTICE = 0.007
"""Upper limit of the spacing of the lattice on which all bones are evaluated, metres.

The result selects the bones that are evaluated on finer lattices.
"""

TOLD_LATTICE = 0.0035
"""Upper limit of the spacing of the lattice on which the anchors are asked, metres; finer points are interpolated."""

DIRECT = 256
"""Of so few points the anchors are asked at their own places: their cells' corners would be as many, and less exact."""


class Refinement(Protocol):
    """The refinement network of one hand, at points of query space."""

    def told(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """What the anchors tell of points.

        Parameters
        ----------
        points : (N, 3) float
            Query points.

        Returns
        -------
        told : (N, C) Tensor
            Features that change little over ``TOLD_LATTICE``.
        choice : (N,) int64 Tensor
            A number for the anchors that tell them; where it changes, they do not change smoothly.
        """
        ...

    def logits(
        self, points: Tensor, occupancy: Tensor, told: Tensor | None = None, between: Tensor | None = None
    ) -> Tensor:
        """Refined logits.

        Parameters
        ----------
        points : (N, 3) float
            Query points.
        occupancy : (N,) float
            Their initial occupancy.
        told : (N, C) float or None
            What the anchors tell of them; None asks the anchors.
        between : (N,) bool or None
            Where ``told`` is interpolated between points of another choice.

        Returns
        -------
        (N,) Tensor
            Logits.
        """
        ...


class Parts(Protocol):
    """A network of sixteen parts, all or some of which can be evaluated at points of query space."""

    def all_logits(self, points: Tensor) -> Tensor:
        """The logits of all parts.

        Parameters
        ----------
        points : (N, 3) float
            Query points.

        Returns
        -------
        (N, 16) Tensor
            Logits.
        """
        ...

    def chosen_logits(self, points: Tensor, asked: Tensor) -> Tensor:
        """The largest logit of some parts.

        Parameters
        ----------
        points : (N, 3) float
            Query points.
        asked : (N, 16) bool
            The parts to evaluate at each point.

        Returns
        -------
        (N,) Tensor
            The largest logit of these parts at each point.
        """
        ...


class HandSurfaces:
    """Extracts the surfaces of one hand.

    Parameters
    ----------
    low : (3,) Tensor
        Lowest corner of a box that contains the hand, canonical frame, metres.
    high : (3,) Tensor
        Highest corner of that box, canonical frame, metres.
    voxel : float
        Lattice spacing, metres.
    device : torch.device
        Where the network runs.
    network : HandLogits
        Logits of the initial stage.
    parts : Parts, optional
        The same network by its parts, to evaluate only those that may be the maximum. None evaluates all.
    exact : bool
        Ask the anchors at every point of the refined surface's lattice.
    """

    def __init__(
        self, low: Tensor, high: Tensor, voxel: float, device: torch.device, network: HandLogits,
        parts: Parts | None = None, *, exact: bool = False,
    ) -> None:  # fmt: skip
        self._device, self._exact = device, exact
        self.lattice = Lattice(low.cpu().numpy(), high.cpu().numpy(), voxel, lattice_step(voxel, COARSEST))
        # It must not refer to this object: arrays in a circle stay in memory until Python looks for circles.
        self._asked = _InitialNetwork(self.lattice, device, network, parts)
        self.initial = LatticeField(self.lattice, self._asked)
        self._anchor_step, self._choice_step = lattice_step(voxel, ANCHOR_LATTICE), lattice_step(voxel, CHOICE_LATTICE)
        self._first_step = self.lattice.coarsest

    def initial_surface(self, *, for_anchors: bool = False) -> Surface:
        """Extract the initial surface (logit 0).

        Parameters
        ----------
        for_anchors : bool
            Use the lattice of ``ANCHOR_LATTICE`` instead of the mesh's lattice.

        Returns
        -------
        Surface
            The surface, canonical frame, metres.

        Raises
        ------
        FrameError
            There is no surface.
        """
        finest = self._anchor_step if for_anchors else 1
        cells, step = self.initial.first_cells()
        self._first_step = step
        self._choose(cells, step)
        while step > finest:
            cells, step = self.initial.walk(self.initial.halved(cells, step), step // 2), step // 2
            self._choose(cells, step)
        return self.initial.surface(cells, step)

    def refined_surface(self, network: Refinement, threshold: float) -> Surface:
        """Extract the refined surface. Call ``initial_surface`` first.

        The search starts from the coarse cells inside or next to the initial hand.

        Parameters
        ----------
        network : Refinement
            The refinement network of this hand.
        threshold : float
            Probability at the surface.

        Returns
        -------
        Surface
            The surface, canonical frame, metres.

        Raises
        ------
        FrameError
            There is no surface.
        """
        shift = math.log(threshold / (1 - threshold))
        lattice, device, told = self.lattice, self._device, None
        coarse = lattice_step(lattice.voxel, TOLD_LATTICE)
        if coarse > 1 and not self._exact:
            told = ToldLattice(lattice, coarse, lambda points: network.told(_query(lattice, points, device)))

        def ask(points: np.ndarray) -> np.ndarray:
            initial = torch.from_numpy(self.initial.values(points)).to(device)
            known = told.at(points) if told and len(points) > DIRECT else ()
            return _bounded(network.logits(_query(lattice, points, device), torch.sigmoid(initial), *known) - shift)

        field, step = LatticeField(self.lattice, ask), self._first_step
        cells = field.crossed(self.initial.reached(step), step)
        while step > 1:
            cells, step = field.walk(field.halved(cells, step), step // 2), step // 2
        return field.surface(cells, step)

    def _choose(self, cells: np.ndarray, step: int) -> None:
        """Select the bones for finer lattices, if the step is that of the choice lattice."""
        if step == self._choice_step:
            self._asked.choose(cells, step)


class _InitialNetwork:
    """Initial logits of the points of a lattice.

    Parameters
    ----------
    lattice : Lattice
        The lattice.
    device : torch.device
        Where the network runs.
    network : HandLogits
        Logits of the initial stage.
    parts : Parts, optional
        The same network by its parts.
    """

    def __init__(self, lattice: Lattice, device: torch.device, network: HandLogits, parts: Parts | None) -> None:
        self._lattice, self._device, self._network, self._parts = lattice, device, network, parts
        self._choice: BoneChoice | None = None
        self._told: list[tuple[np.ndarray, np.ndarray]] = []  # points, and the logits of their parts; until the choice

    def choose(self, cells: np.ndarray, step: int) -> None:
        """Select the bones that are evaluated from now on, by their logits at the corners of cells."""
        if self._parts is None:
            return
        corners, where = np.unique(self._lattice.corners(cells, step), return_inverse=True)
        told = np.concatenate([points for points, _ in self._told]) if self._told else corners[:0]
        self._all_parts(np.setdiff1d(corners, told, assume_unique=True))
        told, logits = (np.concatenate(parts) for parts in zip(*self._told, strict=True))
        order = np.argsort(told)
        parts = logits[order[np.searchsorted(told, corners, sorter=order)]]
        self._told.clear()
        self._choice = BoneChoice(self._lattice, step, cells, parts[where.reshape(-1, 8)])

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Initial logits (N,) of lattice points (N,)."""
        places = _query(self._lattice, points, self._device)
        if self._parts is None:
            return _bounded(self._network(places))
        if self._choice is None:
            return _bounded(torch.from_numpy(self._all_parts(points).max(-1)))
        asked = torch.from_numpy(self._choice(points)).to(self._device)
        return _bounded(self._parts.chosen_logits(places, asked))

    def _all_parts(self, points: np.ndarray) -> np.ndarray:
        """Logits (N, 16) of all parts at lattice points (N,), which are kept for the choice."""
        assert self._parts is not None
        logits = self._parts.all_logits(_query(self._lattice, points, self._device)).float().cpu().numpy()
        self._told.append((points, logits))
        return logits


def _query(lattice: Lattice, points: np.ndarray, device: torch.device) -> Tensor:
    """Query-space positions (N, 3) float32 of lattice points (N,)."""
    places = lattice.positions(points).astype(np.float32)
    return torch.from_numpy(places).to(device) / QUERY_SCALE


def _bounded(values: Tensor) -> np.ndarray:
    return values.float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT).cpu().numpy()


def lattice_step(voxel: float, spacing: float) -> int:
    """The largest power of two such that this many voxels are no wider than a spacing.

    Parameters
    ----------
    voxel : float
        Lattice spacing, metres.
    spacing : float
        Upper limit, metres.

    Returns
    -------
    int
        The step, in voxels; at least 1.
    """
    return 2 ** max(math.floor(math.log2(spacing / voxel) + 1e-9), 0)
