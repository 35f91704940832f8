"""Groups keypoints that show one hand."""

from __future__ import annotations

import numpy as np

from im2hands.keypoints.hand_geometry import palm_length


def clusters(pixels: np.ndarray, certainty: np.ndarray, radius: float) -> list[np.ndarray]:
    """Group keypoints around the most certain ones.

    Parameters
    ----------
    pixels : (N, 21, 2) float64
        Keypoints, pixels.
    certainty : (N,) float64
        How certain each is; the most certain ungrouped one starts the next group.
    radius : float
        Largest mean distance from the group's first member, palm lengths of that member.

    Returns
    -------
    list[(K,) int64]
        The members of each group, most certain first.
    """
    made = []
    palms = palm_length(pixels) if len(pixels) else np.zeros(0)
    order = np.argsort(-certainty, kind="stable")
    while len(order):
        first = order[0]
        gaps = np.linalg.norm(pixels[order] - pixels[first], axis=-1).mean(axis=1) / palms[first]
        near = gaps < radius
        near[0] = True
        made.append(order[near])
        order = order[~near]
    return made
