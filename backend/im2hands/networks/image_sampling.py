"""Image features at 3-D points: projection and bilinear sampling of a feature map (specification 7.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_OUTSIDE = 4.0
_NEAREST = 1e-6


def project(positions: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels of camera-space points.

    Args:
        positions: (B, N, 3), camera frame, metres. intrinsics: (B, 3, 3), pixels.

    Returns:
        Pixels (B, N, 2), x right, y down, and (B, N) bool: in front of the camera. The others' pixels mean nothing.
    """
    scaled = positions @ intrinsics.mT
    depth = scaled[..., 2:]
    front = depth > _NEAREST
    return scaled[..., :2] / torch.where(front, depth, torch.ones_like(depth)), front[..., 0]


def sample_features(
    feature_map: Tensor, pixels: Tensor, front: Tensor, picture_size: int, *, published_grid: bool = False
) -> Tensor:
    """Bilinear samples of a feature map that covers the whole picture; zero outside and behind the camera.

    Args:
        feature_map: (B, C, H, W). pixels: (B, N, 2), pixel centres at whole numbers. front: (B, N) bool, see
            :func:`project`. picture_size: pixels a side of the (square) picture the pixels belong to.
        published_grid: compatibility. The published networks place pixel u at u (W - 1) / picture size of the map,
            up to one pixel off towards its start; trained weights expect it. Else pixel centres are respected.

    Returns:
        (B, N, C).
    """
    half = picture_size / 2
    grid = (pixels - half) / half if published_grid else (pixels + 0.5 - half) / half
    grid = torch.where(front[..., None], grid.clamp(-_OUTSIDE, _OUTSIDE), torch.full_like(grid, _OUTSIDE))
    sampled = functional.grid_sample(
        feature_map, grid[:, :, None], mode="bilinear", padding_mode="zeros", align_corners=published_grid
    )
    return sampled[..., 0].mT


def flipped(positions: Tensor) -> Tensor:
    """Camera-space points (..., 3) with y and z negated: the frame of anchors and queries before centring (7.2)."""
    # No constant is sent to the device: that would keep a CUDA graph from being recorded.
    x, y, z = positions.unbind(-1)
    return torch.stack([x, -y, -z], dim=-1)
