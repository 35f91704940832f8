"""Photometric augmentation of pictures: light, colour, blur and noise; no pixel moves."""

from __future__ import annotations

import cv2
import numpy as np


def augment(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Change a picture as another camera or another light would.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The picture, RGB.
    rng : numpy.random.Generator
        Source of all random numbers.
    strength : float
        Size of the changes: 0 returns the picture unchanged, 1 is the usual amount.

    Returns
    -------
    (H, W, 3) uint8
        The changed picture, RGB.
    """
    if strength <= 0:
        return image
    contrast, brightness = 1 + 0.25 * strength * rng.uniform(-1, 1), 30 * strength * rng.uniform(-1, 1)
    colour = 1 + 0.12 * strength * rng.uniform(-1, 1, 3)
    gamma = np.exp(0.3 * strength * rng.uniform(-1, 1))
    level = (np.arange(256) / 255) ** gamma * 255
    tables = np.clip(((level - 128) * contrast + 128 + brightness)[:, None] * colour, 0, 255).astype(np.uint8)
    result = cv2.LUT(image, tables[None])
    if rng.random() < 0.1 * strength:
        result = np.repeat(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.4 * strength:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.4 * strength:
        noise = rng.standard_normal(result.shape, dtype=np.float32) * np.float32(rng.uniform(1, 8))
        result = np.clip(result + noise, 0, 255).astype(np.uint8)
    return result
