"""Which bones' networks to ask on a fine lattice, from what all sixteen said on a coarse one.

The occupancy of a point is the largest of sixteen parts', most of which are far from winning. Within a coarse cell a
part is asked where it comes near the best one: where its logit at a corner, raised by as much again as it varies over
the eight corners, reaches what the best part has at every corner.
"""

from __future__ import annotations

import numpy as np

from im2hands.geometry.bones import BONE_COUNT

from .walked_lattice import Lattice

# Of a part's variation over the corners of a cell: how far it may rise above them within. A part that is linear there
# stays within its corners, 0; a bump that is higher than all that can be seen of it would be missed.
_SLACK = 1.0

_BITS = (1 << np.arange(BONE_COUNT)).astype(np.int32)
_ALL = int(_BITS.sum())


class BoneChoice:
    """The bones to ask at points of a lattice.

    Args:
        lattice: where. step: of the coarse lattice. cells: (C,) its cells that are known. parts: (C, 8, 16) logits of
            the parts at their corners, in the order of :meth:`~im2hands.surfaces.walked_lattice.Lattice.corners`.
    """

    def __init__(self, lattice: Lattice, step: int, cells: np.ndarray, parts: np.ndarray) -> None:
        low, high = parts.min(1), parts.max(1)
        asked = high + _SLACK * (high - low) >= low.max(1, keepdims=True)
        self._lattice, self._step = lattice, step
        self._bits = np.zeros([n // step + 1 for n in lattice.shape], np.int32)
        self._bits[tuple((lattice.index(cells) // step).T)] = asked @ _BITS

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(N, 16) bool for points (N,): bones of all known cells around a point; all bones where there is none."""
        index = self._lattice.index(points)
        bits = np.zeros(len(points), np.int32)
        ends = (index // self._step, (index - 1) // self._step)
        for x in range(2):
            for y in range(2):
                for z in range(2):
                    bits |= self._bits[ends[x][:, 0], ends[y][:, 1], ends[z][:, 2]]
        bits[bits == 0] = _ALL
        return (bits[:, None] & _BITS) != 0
