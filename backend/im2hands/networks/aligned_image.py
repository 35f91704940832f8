"""Image features read where a query is seen in the picture: the image half of the HALO* baseline."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class AlignedMap(NamedTuple):
    """The feature map that queries are looked up in.

    Args:
        tokens: (B, channels, H, W).
    """

    tokens: Tensor


class AlignedImage(nn.Module):
    """A bilinear sample of the feature map at each query and the query's own features, through two layers.

    Takes the place of :class:`.attention.QueryImageAttention`. Every query reads one place of the picture: its
    silhouette is at hand, what lies elsewhere is not.

    Args:
        channels: of the feature map. query_width: of queries and outputs. hidden: channels between the layers.
    """

    def __init__(self, channels: int, query_width: int, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(channels + query_width, hidden)
        self.second = nn.Linear(hidden, query_width)

    def encode(self, feature_map: Tensor) -> AlignedMap:
        """(B, channels, H, W) as it is."""
        return AlignedMap(feature_map)

    def forward(self, queries: Tensor, image: AlignedMap) -> Tensor:
        """Queries to image features.

        Args:
            queries: (B, N, query_width); the first two are the place in the picture, -1 to 1 from edge to edge.

        Returns:
            (B, N, query_width).
        """
        sampled = functional.grid_sample(
            image.tokens, queries[:, :, None, :2].to(image.tokens), padding_mode="zeros", align_corners=False
        )
        together = torch.cat([sampled[..., 0].mT.to(queries), queries], dim=-1)
        return self.second(functional.relu(self.first(together)))
