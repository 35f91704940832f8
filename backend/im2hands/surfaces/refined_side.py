"""Refined logits of one hand: as exact near the surface as they need to be, as cheap elsewhere as they can be."""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.core.hands import Side
from im2hands.networks.refined_hands import RefinedHands

NEAR_SURFACE = 0.1
"""Logits this close to the surface are computed again in the weights' own type.

Rounding to bfloat16 changes a logit by about 0.01. A vertex lies between two lattice points; if the logit of either is
larger than this limit, a change of 0.01 moves the vertex by less than a tenth of the lattice spacing.
"""

BETWEEN = 1.0
"""Interpolated logits this close to the surface are computed again at their own place.

This is only done where the nearest anchors change between the points that were asked. There interpolation changes a
logit by 0.03, and by 0.4 at most, so no sign changes; elsewhere it changes a logit by 0.02 at most (published sizes,
generated weights).
"""

FEW = 64
"""So few points are computed in the weights' own type at once: a second call would cost more than it saves."""


class RefinedSide:
    """The refinement network of one hand of a frame.

    Parameters
    ----------
    both : RefinedHands
        Both hands.
    side : Side
        The hand.
    surface : float
        Logit at the surface.
    pairs : torch.dtype or None
        Type of the attention between points; None is the weights' own type.
    """

    def __init__(self, both: RefinedHands, side: Side, surface: float, pairs: torch.dtype | None) -> None:
        self._both, self._side, self._surface, self._pairs = both, side, surface, pairs

    def told(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what the anchors tell of points.

        Parameters
        ----------
        points : (N, 3) float
            Points, query space.

        Returns
        -------
        told : (N, C) Tensor
            What the anchors tell; see ``FoldedHands.told``.
        choice : (N,) int64 Tensor
            The anchors that tell it, as a number; see ``RefinedHands.told``.
        """
        told, choice = self._both.told(self._side, points[None], exact=self._is_exact(points))
        return told[0], choice[0]

    def logits(
        self, points: Tensor, occupancy: Tensor, told: Tensor | None = None, between: Tensor | None = None
    ) -> Tensor:
        """Compute refined logits.

        Parameters
        ----------
        points : (N, 3) float
            Points, query space.
        occupancy : (N,) float
            Their initial occupancy.
        told : (N, C) float or None
            What the anchors tell of them; None asks the anchors.
        between : (N,) bool or None
            Where ``told`` is interpolated between points with other nearest anchors.

        Returns
        -------
        (N,) Tensor
            Logits.
        """
        known = None if told is None else told[None]
        exact = known is None and self._is_exact(points)
        values = self._both.logits(self._side, points[None], occupancy[None], exact=exact, told=known)[0]
        if exact:
            return values
        distance = (values - self._surface).abs()
        if between is not None:
            rows = (between & (distance < BETWEEN)).nonzero()[:, 0]
            if len(rows):
                values[rows] = self.logits(points.index_select(0, rows), occupancy.index_select(0, rows))
        if self._pairs is None:
            return values  # what the anchors told of points that are not in between is exact
        near = distance < NEAR_SURFACE
        rows = (near if between is None else near & ~between).nonzero()[:, 0]
        if len(rows):
            again = points.index_select(0, rows), occupancy.index_select(0, rows)
            values[rows] = self._both.logits(self._side, *(part[None] for part in again), exact=True)[0]
        return values

    def _is_exact(self, points: Tensor) -> bool:
        return self._pairs is None or len(points) <= FEW
