"""The surfaces of one hand with the published networks, walked along from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.bones import QUERY_SCALE

from .bone_choice import BoneChoice
from .dense_lattice import Surface
from .occupancy_field import OUTSIDE_LOGIT
from .picture_field import HandLogits
from .walked_lattice import Lattice, LatticeField

COARSEST = 0.01375
"""Metres; the first lattice at most, the published one. A palm is thicker; fingers are found by walking."""

ANCHOR_LATTICE = 0.0035
"""Metres; the lattice, at most, of the initial surface that anchors are put on; it need not be the mesh's."""

CHOICE_LATTICE = 0.007
"""Metres; the lattice, at most, on which all bones are asked to choose those to ask on finer ones."""


class Parts(Protocol):
    """A network of sixteen parts, all of which or some can be asked at points (N, 3) of query space."""

    def all_logits(self, points: Tensor) -> Tensor:
        """Logits (N, 16)."""
        ...

    def chosen_logits(self, points: Tensor, asked: Tensor) -> Tensor:
        """The largest logit (N,) of the parts ``asked`` (N, 16) bool."""
        ...


class TrackedHand:
    """The surfaces of one hand.

    Args:
        low, high: (3,) corners of a box that holds the hand, canonical frame, metres. voxel: lattice spacing, metres.
        device: of the network. network: logits of the initial stage. parts: the same network by its parts, to ask only
            those that may win; None asks all.
    """

    def __init__(
        self, low: Tensor, high: Tensor, voxel: float, device: torch.device, network: HandLogits,
        parts: Parts | None = None,
    ) -> None:  # fmt: skip
        self._device, self._network, self._parts = device, network, parts
        self.lattice = Lattice(low.cpu().numpy(), high.cpu().numpy(), voxel, lattice_step(voxel, COARSEST))
        self.initial = LatticeField(self.lattice, self._ask_initial)
        self._anchor_step, self._choice_step = lattice_step(voxel, ANCHOR_LATTICE), lattice_step(voxel, CHOICE_LATTICE)
        self._first_step = self.lattice.coarsest
        self._choice: BoneChoice | None = None

    def initial_surface(self, *, for_anchors: bool = False) -> Surface:
        """The initial surface (logit 0), on the lattice or, for anchors, on one of :data:`ANCHOR_LATTICE`.

        Raises:
            FrameError: there is none.
        """
        finest = self._anchor_step if for_anchors else 1
        cells, step = self.initial.first_cells()
        self._first_step = step
        self._choose(cells, step)
        while step > finest:
            cells, step = self.initial.walk(self.initial.halved(cells, step), step // 2), step // 2
            self._choose(cells, step)
        return self.initial.surface(cells, step)

    def refined_surface(self, network: Callable[[Tensor, Tensor], Tensor], threshold: float) -> Surface:
        """The refined surface, found from wherever the initial hand is; after :meth:`initial_surface`.

        Args:
            network: points (N, 3), query space, and their initial occupancies (N,) to logits (N,).
            threshold: probability at the surface.

        Raises:
            FrameError: there is none.
        """
        shift = math.log(threshold / (1 - threshold))

        def ask(points: np.ndarray) -> np.ndarray:
            initial = torch.from_numpy(self.initial.values(points)).to(self._device)
            return _bounded(network(self._query(points), torch.sigmoid(initial)) - shift)

        field, step = LatticeField(self.lattice, ask), self._first_step
        cells = field.crossed(self.initial.reached(step), step)
        while step > 1:
            cells, step = field.walk(field.halved(cells, step), step // 2), step // 2
        return field.surface(cells, step)

    def _choose(self, cells: np.ndarray, step: int) -> None:
        if self._parts is None or step != self._choice_step:
            return
        corners, where = np.unique(self.lattice.corners(cells, step), return_inverse=True)
        parts = self._parts.all_logits(self._query(corners)).float().cpu().numpy()
        self._choice = BoneChoice(self.lattice, step, cells, parts[where.reshape(-1, 8)])

    def _ask_initial(self, points: np.ndarray) -> np.ndarray:
        places = self._query(points)
        if self._choice is None or self._parts is None:
            return _bounded(self._network(places))
        asked = torch.from_numpy(self._choice(points)).to(self._device)
        return _bounded(self._parts.chosen_logits(places, asked))

    def _query(self, points: np.ndarray) -> Tensor:
        """Lattice points to query space, (N, 3) float32."""
        places = self.lattice.positions(points).astype(np.float32)
        return torch.from_numpy(places).to(self._device) / QUERY_SCALE


def _bounded(values: Tensor) -> np.ndarray:
    return values.float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT).cpu().numpy()


def lattice_step(voxel: float, spacing: float) -> int:
    """The largest power of two of voxels that is no wider than a spacing; 1 at least."""
    return 2 ** max(math.floor(math.log2(spacing / voxel) + 1e-9), 0)
