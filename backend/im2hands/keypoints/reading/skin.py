"""Reads the points on the skin of hands, from the feature vectors of their crops and their keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2hands.keypoints.hypothesis import SkinLandmarks

from .crops import CROP_PIXELS, from_crop, to_crop
from .network import LandmarkNetwork


def read_skin(
    network: LandmarkNetwork, seen: np.ndarray, keypoints: np.ndarray, crops: np.ndarray, mirrored: Sequence[bool]
) -> list[SkinLandmarks]:
    """Read the points on the skin of hands whose crops were seen.

    Parameters
    ----------
    network : LandmarkNetwork
        The reading network.
    seen : (N, 1152) float32
        Vectors from ``network.features`` of crops with right hands, or of mirrored crops with left hands.
    keypoints : (N, 21, 2) float64
        Keypoints of the hands in the reading network's definitions, pixels of the frame.
    crops : (N, 4) float64
        The crops, not mirrored, as in ``LandmarkNetwork.read``.
    mirrored : sequence of N bool
        Which were mirrored.

    Returns
    -------
    list of SkinLandmarks
        The points of each hand; empty if the network was not taught them.
    """
    if network.skin_head is None:
        return []
    import torch

    def flipped(places: np.ndarray, flip: bool) -> np.ndarray:
        return places * (-1, 1) + (CROP_PIXELS, 0) if flip else places

    hands = list(zip(crops, mirrored, strict=True))
    given = [flipped(to_crop(points, crop), flip) for points, (crop, flip) in zip(keypoints, hands, strict=True)]
    with torch.inference_mode():
        device = network.skin_head.mean.device
        made = network.skin_head(*(torch.from_numpy(np.asarray(part, np.float32)).to(device) for part in (seen, given)))
    pixels, spread, visible = (value.cpu().double().numpy() for value in made)
    return [
        SkinLandmarks(
            from_crop(flipped(pixels[row], flip), crop), spread[row] * crop[2], 1 / (1 + np.exp(-visible[row]))
        )
        for row, (crop, flip) in enumerate(hands)
    ]
