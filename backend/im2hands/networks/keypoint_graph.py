"""Graph convolution layers over the keypoints of a hand, for the keypoint refinement network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import FILE_TO_HALO, KEYPOINT_COUNT, KEYPOINT_PARENTS

from .attention import DROPOUT

_NORM_EPSILON = 1e-6


def halo_adjacency() -> Tensor:
    """Return the directed adjacency of the keypoints in halo order.

    Returns
    -------
    (21, 21) float
        1 at [parent, child], else 0.
    """
    adjacency = torch.zeros(KEYPOINT_COUNT, KEYPOINT_COUNT)
    for child, file_child in enumerate(FILE_TO_HALO):
        if KEYPOINT_PARENTS[file_child] >= 0:
            adjacency[FILE_TO_HALO.index(KEYPOINT_PARENTS[file_child]), child] = 1.0
    return adjacency


class GraphBlock(nn.Module):
    """Two Chebyshev convolutions of order 2 with a residual; each sees a keypoint and the sum of its children.

    Parameters
    ----------
    inputs : int
        Channels in.
    width : int
        Channels out.
    dropout : float
        Dropout after the second convolution, in training.
    """

    adjacency: Tensor

    def __init__(self, inputs: int, width: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        # norm1 is part of the published checkpoints, but its result is not used.
        self.norm1 = nn.LayerNorm(inputs, eps=_NORM_EPSILON)
        self.fc1 = nn.Linear(2 * inputs, width)
        self.norm2 = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.fc2 = nn.Linear(2 * width, width)
        self.shortcut = nn.Linear(inputs, width)
        self.norm3 = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.dropout = dropout
        self.register_buffer("adjacency", halo_adjacency(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 21, inputs) to (B, 21, width), halo order."""
        hidden = functional.relu(self.norm2(self.fc1(self._with_children(x))))
        hidden = functional.dropout(self.fc2(self._with_children(hidden)), self.dropout, self.training)
        return self.norm3(hidden + self.shortcut(x))

    def _with_children(self, x: Tensor) -> Tensor:
        """(B, 21, C) to (B, 21, 2 C): each channel, followed by its sum over the children of the keypoint."""
        return torch.stack([x, self.adjacency @ x], dim=-1).flatten(-2)


class GraphLayer(nn.Module):
    """Two graph blocks with a ReLU between them.

    Parameters
    ----------
    inputs : int
        Channels in.
    width : int
        Channels out.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.GCN_blocks = nn.ModuleList([GraphBlock(inputs, width), GraphBlock(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 21, inputs) to (B, 21, width), halo order."""
        return self.GCN_blocks[1](functional.relu(self.GCN_blocks[0](x)))
