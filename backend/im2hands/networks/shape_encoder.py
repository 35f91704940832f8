"""The shape encoder of the part networks: what they do differently for a hand of another shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT
from im2hands.geometry.hand_shape import SHAPE_INPUTS

WARP_NUMBERS = 12
"""Numbers of the affine map of a bone's local points."""

_HIDDEN = 64
_SLOPE = 0.1


@dataclass
class ShapeCode:
    """What the part networks of B hands know of their shapes; see ``PartDecoder.encode_shape``.

    Parameters
    ----------
    offset : (B, 16, 64) float
        Added to the bias of each bone's first layer.
    warp : (B, 16, 3, 4) float
        Added to the identity, the affine map of each bone's local points, query-space units.
    """

    offset: Tensor
    warp: Tensor

    def fitted(self, transforms: Tensor) -> Tensor:
        """Return bone transforms (B, 16, 4, 4) that lead to the points the part networks read, of their dtype."""
        warp = self.warp.to(transforms)
        moved = transforms[..., :3, :] + warp[..., :3] @ transforms[..., :3, :]
        shifted = moved + functional.pad(warp[..., 3:], (3, 0))
        return torch.cat([shifted, transforms[..., 3:, :]], dim=-2)


class ShapeEncoder(nn.Module):
    """Turns what is known of a hand's shape into a ``ShapeCode``; a new one gives zeros.

    Numbers beyond those of the hands it was trained on are taken for the nearest of them: a skeleton of another kind
    must not be extrapolated to.

    Parameters
    ----------
    width : int
        Width of the part networks' first layer.
    """

    low: Tensor
    high: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self.register_buffer("low", torch.full((SHAPE_INPUTS,), -torch.inf))
        self.register_buffer("high", torch.full((SHAPE_INPUTS,), torch.inf))
        self.linear1 = nn.Linear(SHAPE_INPUTS, _HIDDEN)
        self.linear2 = nn.Linear(_HIDDEN, _HIDDEN)
        self.linear3 = nn.Linear(_HIDDEN, BONE_COUNT * (width + WARP_NUMBERS))
        nn.init.zeros_(self.linear3.weight)
        nn.init.zeros_(self.linear3.bias)

    def forward(self, inputs: Tensor) -> ShapeCode:
        """Encode the shapes of B hands.

        Parameters
        ----------
        inputs : (B, 47) float
            See ``geometry.hand_shape.shape_inputs``.

        Returns
        -------
        ShapeCode
            Their shapes.
        """
        inputs = torch.minimum(torch.maximum(inputs.to(self.linear1.weight), self.low), self.high)
        hidden = functional.leaky_relu(self.linear1(inputs), negative_slope=_SLOPE)
        hidden = functional.leaky_relu(self.linear2(hidden), negative_slope=_SLOPE)
        code = self.linear3(hidden).unflatten(-1, (BONE_COUNT, -1))
        return ShapeCode(code[..., : self._width], code[..., self._width :].unflatten(-1, (3, 4)))
