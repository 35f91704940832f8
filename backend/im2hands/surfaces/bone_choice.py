"""Choice of the bones whose part networks are evaluated on a fine lattice.

The occupancy of a point is the maximum over sixteen part networks, most of which are far from the maximum. All sixteen
are evaluated at the corners of a coarse lattice's cells. Within a cell a part is evaluated again only if it may be the
maximum: if its highest corner logit, plus its variation over the eight corners, reaches the largest of the parts'
lowest corner logits.
"""

from __future__ import annotations

import numpy as np

from im2hands.geometry.bones import BONE_COUNT

from .walked_lattice import Lattice

# How far a part's logit may rise within a cell above its corners, as a share of its variation over the corners. 0 would
# do for a part that is linear in the cell. A bump that is higher than the variation at the corners is missed.
_SLACK = 1.0

_BITS = (1 << np.arange(BONE_COUNT)).astype(np.int32)
_ALL = int(_BITS.sum())


class BoneChoice:
    """Selects the bones to evaluate at points of a lattice.

    Parameters
    ----------
    lattice : Lattice
        The lattice of the points.
    step : int
        Step of the coarse lattice, in voxels.
    cells : (C,) int
        Cells of the coarse lattice whose logits are known.
    parts : (C, 8, 16) float
        Logits of the parts at the corners of these cells, in the order of ``Lattice.corners``.
    """

    def __init__(self, lattice: Lattice, step: int, cells: np.ndarray, parts: np.ndarray) -> None:
        low, high = parts.min(1), parts.max(1)
        asked = high + _SLACK * (high - low) >= low.max(1, keepdims=True)
        self._lattice, self._step = lattice, step
        self._bits = np.zeros([n // step + 1 for n in lattice.shape], np.int32)
        self._bits[tuple((lattice.index(cells) // step).T)] = asked @ _BITS

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Select the bones at points.

        Parameters
        ----------
        points : (N,) int
            Points of the lattice.

        Returns
        -------
        (N, 16) bool
            The bones selected by the known cells around each point; all bones if no known cell touches it.
        """
        index = self._lattice.index(points)
        bits = np.zeros(len(points), np.int32)
        ends = (index // self._step, (index - 1) // self._step)
        for x in range(2):
            for y in range(2):
                for z in range(2):
                    bits |= self._bits[ends[x][:, 0], ends[y][:, 1], ends[z][:, 2]]
        bits[bits == 0] = _ALL
        return (bits[:, None] & _BITS) != 0
