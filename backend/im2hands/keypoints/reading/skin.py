"""Reads the points on the skin of hands, from the feature vectors of their crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2hands.keypoints.hypothesis import SkinLandmarks

from .crops import CROP_PIXELS, from_crop
from .network import LandmarkNetwork


def read_skin(
    network: LandmarkNetwork, seen: np.ndarray, crops: np.ndarray, mirrored: Sequence[bool]
) -> list[SkinLandmarks]:
    """Read the points on the skin of hands whose crops were seen.

    Parameters
    ----------
    network : LandmarkNetwork
        The reading network.
    seen : (N, 1152) float32
        Vectors from ``network.features`` of crops with right hands, or of mirrored crops with left hands.
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

    with torch.inference_mode():
        made = network.skin_head(torch.from_numpy(np.asarray(seen, np.float32)))
    pixels, spread, visible = (value.double().numpy() for value in made)
    told = []
    for row, (crop, flip) in enumerate(zip(crops, mirrored, strict=True)):
        places = pixels[row] * (-1, 1) + (CROP_PIXELS, 0) if flip else pixels[row]
        told.append(SkinLandmarks(from_crop(places, crop), spread[row] * crop[2], 1 / (1 + np.exp(-visible[row]))))
    return told
