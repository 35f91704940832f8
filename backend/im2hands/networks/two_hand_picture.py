"""What the refinement network knows of pictures of two hands: their cameras and their features."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from im2hands.core.devices import exact_dtype

from .initial_occupancy import ImageFeatures

IMAGE_CHANNELS = 32
"""Picture features of a point."""


class View(NamedTuple):
    """Cameras of B pictures.

    Parameters
    ----------
    rotation : (B, 3, 3) float
        From the frame in which the bones were made to the camera frame.
    translation : (B, 3) float
        From that frame to the camera frame, metres.
    intrinsics : (B, 3, 3) float
        Camera matrices K of the 256 x 256 crop, pixels.
    """

    rotation: Tensor
    translation: Tensor
    intrinsics: Tensor

    def camera_points(self, points: Tensor) -> Tensor:
        """Convert points to the camera frame.

        Parameters
        ----------
        points : (B, N, 3) float
            Points in the frame in which the bones were made, metres.

        Returns
        -------
        (B, N, 3) float64
            Points, camera frame, metres (float32 on Metal).
        """
        exact = exact_dtype(points.device)
        return points.to(exact) @ self.rotation.to(exact).mT + self.translation.to(exact)[:, None]


class PictureFeatures(NamedTuple):
    """Features of B pictures.

    Parameters
    ----------
    initial : ImageFeatures
        Features of the nested initial network.
    feature_map : (B, 32, H, H) float
        Feature map ``F`` of the whole picture; H is 256 in the published network.
    code : (B, 256) float
        Picture code ``g``.
    """

    initial: ImageFeatures
    feature_map: Tensor
    code: Tensor


class Sampled(NamedTuple):
    """Points with their picture features.

    Parameters
    ----------
    positions : (B, N, 3) float64
        Points, camera frame with y and z negated, metres.
    features : (B, N, 32) float
        Picture features at the points' projections.
    """

    positions: Tensor
    features: Tensor
