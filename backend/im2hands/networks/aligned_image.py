"""Pixel-aligned image features: the image half of the HALO* baseline.

Each query samples the feature map at its own projection, as in PIFu (Saito et al., ICCV 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class AlignedMap(NamedTuple):
    """The feature map in which queries are looked up.

    Parameters
    ----------
    tokens : (B, channels, H, W) float
        The feature map.
    """

    tokens: Tensor


class AlignedImage(nn.Module):
    """Two linear layers on a query's own features and the feature map sampled at its projection.

    This takes the place of ``attention.QueryImageAttention``. A query sees only the one place of the picture at which
    it is projected: that place shows the silhouette, but nothing of the rest of the picture.

    Parameters
    ----------
    channels : int
        Channels of the feature map.
    query_width : int
        Channels of queries and outputs.
    hidden : int
        Channels between the two layers.
    """

    def __init__(self, channels: int, query_width: int, hidden: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(channels + query_width, hidden)
        self.second = nn.Linear(hidden, query_width)

    def encode(self, feature_map: Tensor) -> AlignedMap:
        """Return the feature map as it is.

        Parameters
        ----------
        feature_map : (B, channels, H, W) float
            The feature map.

        Returns
        -------
        AlignedMap
            The same map.
        """
        return AlignedMap(feature_map)

    def forward(self, queries: Tensor, image: AlignedMap) -> Tensor:
        """Compute the image features of queries.

        Parameters
        ----------
        queries : (B, N, query_width) float
            Query features. The first two are the place in the picture, -1 to 1 from edge to edge.
        image : AlignedMap
            The feature map.

        Returns
        -------
        (B, N, query_width) float
            Image features.
        """
        sampled = functional.grid_sample(
            image.tokens, queries[:, :, None, :2].to(image.tokens), padding_mode="zeros", align_corners=False
        )
        together = torch.cat([sampled[..., 0].mT.to(queries), queries], dim=-1)
        return self.second(functional.relu(self.first(together)))
