"""Procedural backgrounds (plain, gradients, noise, checks, planks, clutter) and patterns of cloth, from a seed."""

from __future__ import annotations

import numpy as np

SIZE = 256
"""Side of a background, pixels."""
KINDS = ("plain", "gradient", "noise", "checks", "planks", "clutter", "clutter", "clutter")
"""Kinds to draw from; clutter is three times as frequent as the others."""


def procedural_background(seed: int) -> np.ndarray:
    """Make a procedural background (256, 256, 3) uint8 RGB; the same seed gives the same picture."""
    rng = np.random.default_rng([seed, 0xBAC])
    kind = KINDS[rng.integers(len(KINDS))]
    image = _PAINTERS[kind](rng)
    if kind != "plain" and rng.random() < 0.6:
        image = image + _octaves(rng, 3, 6)[..., None] * np.float32(rng.uniform(4, 25))
    image = image + rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32) * np.float32(rng.uniform(0, 5))
    return np.clip(image, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour (3,) of everyday things, 0 to 255: often greyish, seldom saturated."""
    value, loud = rng.uniform(15, 235), rng.beta(1.2, 3.0)
    return np.clip(value + loud * rng.uniform(-150, 150, 3), 0, 255).astype(np.float32)


def _octaves(rng: np.random.Generator, first: int, count: int) -> np.ndarray:
    """Noise (256, 256) of about unit deviation: ``count`` octaves, the first with ``first`` cells a side."""
    import cv2

    total = np.zeros((SIZE, SIZE), np.float32)
    for k in range(count):
        cells = first * 2**k
        grid = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
        total += cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) * np.float32(0.65**k)
    return total


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(_colour(rng), (SIZE, SIZE, 3)) + _octaves(rng, 1, 2)[..., None] * np.float32(
        rng.uniform(0, 8)
    )


def _gradient(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    place = np.arange(SIZE, dtype=np.float32) / SIZE - 0.5
    slope = place * np.float32(np.cos(angle)) + place[:, None] * np.float32(np.sin(angle))
    t = np.clip(0.5 + slope, 0, 1)[..., None]
    return _colour(rng) * (1 - t) + _colour(rng) * t


def _noise(rng: np.random.Generator) -> np.ndarray:
    field = _octaves(rng, int(rng.integers(2, 9)), 6)
    t = 1 / (1 + np.exp(-field * np.float32(rng.uniform(0.6, 3))))[..., None]
    return _colour(rng) * (1 - t) + _colour(rng) * t


def _checks(rng: np.random.Generator) -> np.ndarray:
    cells = rng.integers(3, 16)
    y, x = np.mgrid[0:SIZE, 0:SIZE] * cells // SIZE
    odd = ((x + y) % 2)[..., None] if rng.random() < 0.5 else (x % 2)[..., None]
    return np.where(odd, _colour(rng), _colour(rng))


def _planks(rng: np.random.Generator) -> np.ndarray:
    import cv2

    strands = rng.standard_normal((SIZE, 12)).astype(np.float32)
    grain = cv2.GaussianBlur(cv2.resize(strands, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), (0, 0), 1)
    boards = rng.integers(3, 9)
    row = np.arange(SIZE) * boards / SIZE
    tone = rng.normal(0, 12, boards)[row.astype(int)][:, None] - 35 * ((row % 1) < 0.03)[:, None]
    wood = np.array([1.0, 0.72, 0.5]) * rng.uniform(70, 230)
    return wood + (grain * rng.uniform(5, 18) + tone)[..., None] * np.array([1.0, 0.85, 0.7])


def _clutter(rng: np.random.Generator) -> np.ndarray:
    import cv2

    image: np.ndarray = np.ascontiguousarray(_gradient(rng).astype(np.float32))
    for _ in range(rng.integers(4, 30)):
        colour = tuple(float(c) for c in _colour(rng))
        centre = rng.uniform(-20, SIZE + 20, 2)
        size = rng.exponential(38) + 5
        kind = rng.integers(4)
        if kind == 0:
            axes = (int(size), int(size * rng.uniform(0.3, 1)))
            cv2.ellipse(image, tuple(int(c) for c in centre), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        elif kind == 1:
            end = centre + rng.normal(0, 80, 2)
            ends = [tuple(int(c) for c in p) for p in (centre, end)]
            cv2.line(image, ends[0], ends[1], colour, int(rng.integers(2, 14)), cv2.LINE_AA)
        else:
            angle = rng.uniform(0, 2 * np.pi) if kind == 2 else rng.normal(0, 0.05)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (size, size * rng.uniform(0.2, 2))
            cv2.fillPoly(image, [np.round(box @ turn.T + centre).astype(np.int32)], colour, cv2.LINE_AA)
    blur = rng.uniform(0, 4)
    return cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.4 else image


_PAINTERS = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
    "checks": _checks,
    "planks": _planks,
    "clutter": _clutter,
}


def patterns(size: int = 256) -> np.ndarray:
    """Make tiling patterns (size, size, 4) uint8 of cloth and things: soft noise, knit, stripes and checks, folds."""
    import cv2

    rng = np.random.default_rng(0xC107)
    y, x = np.mgrid[0:size, 0:size] / size
    fine = rng.standard_normal((size, size)).astype(np.float32)

    def wrapped(image: np.ndarray, sigma: float) -> np.ndarray:
        tiled: np.ndarray = cv2.GaussianBlur(np.tile(image, (3, 3)), (0, 0), sigma)[size : 2 * size, size : 2 * size]
        return tiled / tiled.std()

    soft = 0.5 + 0.12 * wrapped(fine, 1.5) + 0.10 * wrapped(fine, 8.0)
    rows = np.abs(np.sin(np.pi * (32 * x + 0.15 * np.sin(2 * np.pi * 48 * y))))
    knit = 0.25 + 0.5 * rows * (0.7 + 0.3 * np.sin(2 * np.pi * 48 * y)) + 0.05 * wrapped(fine, 0.8)
    stripes = 0.5 + 0.25 * np.sign(np.sin(2 * np.pi * 8 * x)) + 0.2 * np.sign(np.sin(2 * np.pi * 6 * y))
    folds = 0.5 + 0.22 * wrapped(fine, 20.0)
    layers = np.stack([soft, knit, stripes, folds], axis=-1)
    return np.round(255 * np.clip(layers, 0, 1)).astype(np.uint8)
