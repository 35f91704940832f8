"""What the anchors tell of the points of a lattice: evaluated on a coarser lattice and interpolated between its points.

It changes little over a few millimetres, but costs most of a refined query. So it is evaluated at the corners of the
coarser cells that the surface crosses, a third of the points of the fine lattice near the surface.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .walked_lattice import CORNERS, Lattice


class ToldLattice:
    """Features on a lattice, evaluated at most once at each point of a coarser lattice.

    Parameters
    ----------
    lattice : Lattice
        The lattice.
    step : int
        Step of the coarser lattice, in voxels.
    ask : callable
        Evaluates the network: points (N,) of the lattice to features (N, C) and choices (N,); see ``Refinement.told``.
    """

    def __init__(self, lattice: Lattice, step: int, ask: Callable[[np.ndarray], tuple[Tensor, Tensor]]) -> None:
        self._lattice, self._step, self._ask = lattice, step, ask
        self._shape = tuple((n - 1) // step + 1 for n in lattice.shape)
        self._rows = np.full(int(np.prod(self._shape)), -1, np.int64)
        self._features: Tensor | None = None
        self._choices: Tensor | None = None

    def at(self, points: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the features of points.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattice, as numbers.

        Returns
        -------
        features : (N, C) Tensor
            Their features.
        between : (N,) bool Tensor
            Whether they are interpolated between points of different choices.
        """
        index = self._lattice.index(points)
        low = index // self._step
        part = (index - low * self._step) / self._step
        between = (part > 0).any(1)
        if not between.any():
            corners, weights = low[:, None], np.ones((len(points), 1))
        else:
            # A corner in whose direction the point has no part counts as the one before it, with weight 0.
            corners = low[:, None] + CORNERS * (part > 0)[:, None]
            weights = np.where(CORNERS == 1, part[:, None], 1 - part[:, None]).prod(-1)
        where = np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), self._shape)
        features, choices = self._known(where)
        rows = torch.from_numpy(self._rows[where]).to(features.device)
        shares = torch.from_numpy(weights).to(features)
        mixed = functional.embedding_bag(rows, features, mode="sum", per_sample_weights=shares)
        if not between.any():
            return mixed, torch.from_numpy(between).to(features.device)
        around = choices[rows]
        return mixed, (around != around[:, :1]).any(1)

    def _known(self, where: np.ndarray) -> tuple[Tensor, Tensor]:
        """All features and choices known so far, among them those of the coarser lattice's points ``where``."""
        unknown = np.unique(where[self._rows[where] < 0])
        if len(unknown) or self._features is None or self._choices is None:
            coarse = np.stack(np.unravel_index(unknown, self._shape), axis=-1)
            features, choices = self._ask(self._lattice.points(coarse * self._step))
            before = 0 if self._features is None else len(self._features)
            self._rows[unknown] = np.arange(len(unknown)) + before
            self._features = features if self._features is None else torch.cat([self._features, features])
            self._choices = choices if self._choices is None else torch.cat([self._choices, choices])
        return self._features, self._choices
