"""Image features at points in space: projection and bilinear sampling of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_OUTSIDE = 4.0  # a grid coordinate outside the map, whose edges are at -1 and 1
_NEAREST = 1e-6  # metres in front of the camera


def project(positions: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Project camera-frame points into the picture.

    Parameters
    ----------
    positions : (B, N, 3) float
        Points, camera frame, metres.
    intrinsics : (B, 3, 3) float
        Camera matrices K, pixels.

    Returns
    -------
    pixels : (B, N, 2) float
        Pixels, x right, y down. Meaningless for points that are not in front of the camera.
    front : (B, N) bool
        Whether the point is in front of the camera.
    """
    scaled = positions @ intrinsics.mT
    depth = scaled[..., 2:]
    front = depth > _NEAREST
    return scaled[..., :2] / torch.where(front, depth, 1.0), front[..., 0]


def sample_features(
    feature_map: Tensor, pixels: Tensor, front: Tensor, picture_size: int, *, published_grid: bool = False
) -> Tensor:
    """Sample a feature map that covers the whole picture; features are zero outside and behind the camera.

    Parameters
    ----------
    feature_map : (B, C, H, W) float
        The feature map.
    pixels : (B, N, 2) float
        Pixels of the picture; pixel centres are at whole numbers.
    front : (B, N) bool
        Whether the point is in front of the camera; see ``project``.
    picture_size : int
        Pixels along each side of the (square) picture that ``pixels`` belong to.
    published_grid : bool
        For compatibility with published weights. The published networks place pixel u at u (W - 1) / picture size of
        the map, up to one pixel too far towards its start, and their weights expect that. False respects pixel centres.

    Returns
    -------
    (B, N, C) float
        Bilinear samples.
    """
    half = picture_size / 2
    grid = (pixels - half) / half if published_grid else (pixels + 0.5 - half) / half
    grid = torch.where(front[..., None], grid.clamp(-_OUTSIDE, _OUTSIDE), _OUTSIDE)
    sampled = functional.grid_sample(
        feature_map, grid[:, :, None], mode="bilinear", padding_mode="zeros", align_corners=published_grid
    )
    return sampled[..., 0].mT


def flipped(positions: Tensor) -> Tensor:
    """Negate y and z of camera-frame points: the axes in which the refinement network sees anchors and queries.

    Parameters
    ----------
    positions : (..., 3) float
        Points, camera frame.

    Returns
    -------
    (..., 3) float
        The points with y and z negated.
    """
    # A multiplication by (1, -1, -1) would copy a constant to the device, which a CUDA graph cannot record.
    x, y, z = positions.unbind(-1)
    return torch.stack([x, -y, -z], dim=-1)
