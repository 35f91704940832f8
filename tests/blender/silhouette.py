"""Rasterises projected triangles with numpy, for comparison with Blender's renders."""

from __future__ import annotations

import numpy as np


def fill(pixels: np.ndarray, faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """Find the pixels whose centres (whole coordinates) are inside a projected triangle.

    Parameters
    ----------
    pixels : (V, 2) array
        Projected vertices, pixels.
    faces : (F, 3) array
        Triangles.
    width, height : int
        Size of the picture, pixels.

    Returns
    -------
    (height, width) bool
        True inside.
    """
    covered = np.zeros((height, width), dtype=bool)
    for a, b, c in pixels[faces]:
        low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0).astype(int)
        high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), (width - 1, height - 1)).astype(int)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if (high < low).any() or abs(area) < 1e-12:
            continue
        x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
        u = ((x - a[0]) * (c[1] - a[1]) - (y - a[1]) * (c[0] - a[0])) / area
        v = ((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])) / area
        covered[low[1] : high[1] + 1, low[0] : high[0] + 1] |= (u >= 0) & (v >= 0) & (u + v <= 1)
    return covered


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; 1 when both are empty."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0
