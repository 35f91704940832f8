"""The networks that belong to one side (left or right) in the initial occupancy network, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from .aligned_image import AlignedImage
from .attention import DROPOUT, QueryImageAttention
from .published_layout import PublishedPartDecoder

TOKEN_GRID = 4


class PointwiseLinear(nn.Conv1d):
    """A linear layer whose weight has the shape (out, in, 1) of the published 1-D convolution.

    Parameters
    ----------
    width_in : int
        Channels in.
    width_out : int
        Channels out.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width_in) to (..., width_out)."""
        return functional.linear(x, self.weight[..., 0], self.bias)


class PointEmbedding(nn.Sequential):
    """Embedding of each point on its own: camera coordinates (B, N, 3) to (B, N, width).

    Parameters
    ----------
    width : int
        Channels of the embedding.
    hidden : int
        Channels between the two layers.
    dropout : float
        Dropout between the two layers, in training.
    """

    def __init__(self, width: int, hidden: int = 32, dropout: float = DROPOUT) -> None:
        super().__init__(PointwiseLinear(3, hidden), nn.ReLU(), nn.Dropout(dropout), PointwiseLinear(hidden, width))


@dataclass(frozen=True)
class InitialSizes:
    """Sizes and variants of the initial network; the defaults are the published ones.

    Parameters
    ----------
    token_grid : int
        Image tokens along each side.
    projected : bool
        What the point feature ``v`` begins with. True: the query's place in the picture (-1 to 1 over the 256 x 256
        crop) and its depth in decimetres; ``InitialOccupancy.hand`` then needs the intrinsics. False (published): its
        camera coordinates in metres.
    reach : bool
        Evaluate each bone only near itself and cut the forearm (``geometry.bone_reach``), as the bundled part decoders
        are trained.
    aligned : bool
        Sample the image at the query's projection (``aligned_image.AlignedImage``) instead of attending to image
        tokens. This is the HALO* baseline; it needs ``projected``.
    shape : bool
        Whether the part decoders have a shape encoder (``shape_encoder``).
    """

    token_grid: int = TOKEN_GRID
    projected: bool = False
    reach: bool = False
    aligned: bool = False
    shape: bool = False


class SideNetworks(NamedTuple):
    """The networks of one side.

    Parameters
    ----------
    embedding : PointEmbedding
        Embedding of query points.
    attention : QueryImageAttention or AlignedImage
        Image features of queries.
    decoder : PublishedPartDecoder
        Part decoder.
    """

    embedding: PointEmbedding
    attention: QueryImageAttention | AlignedImage
    decoder: PublishedPartDecoder
