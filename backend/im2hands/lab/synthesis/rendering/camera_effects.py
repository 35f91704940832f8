"""Effects of lens, sensor and file on a picture, after its light has been converted to values."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from .look import CameraEffects, Copy

_FIELD = 1024
"""Side of the stored noise field, pixels."""
REFERENCE_HEIGHT = 256  # lengths in CameraEffects are pixels of a picture this high
_LEAST_BLUR = 0.2
"""Standard deviation in pixels below which a blur is left out."""


def apply_effects(image: np.ndarray, effects: CameraEffects, depth: np.ndarray | None = None) -> np.ndarray:
    """Apply blur, noise, noise reduction, sharpening and compression; the same effects give the same picture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.
    effects : CameraEffects
        The effects.
    depth : (H, W) float32 or None
        Depth of each pixel, metres; 0 is far away. Without it there is no depth of field.

    Returns
    -------
    (H, W, 3) uint8
        RGB picture.
    """
    scale = image.shape[0] / REFERENCE_HEIGHT
    if depth is not None and effects.aperture * scale > _LEAST_BLUR and (depth > 0).any():
        image = _out_of_focus(image, depth, effects.aperture * scale, effects.focus)
    if effects.defocus * scale > _LEAST_BLUR:
        image = cv2.GaussianBlur(image, (0, 0), effects.defocus * scale)
    length, angle = effects.motion
    if length * scale > 1:
        image = cv2.filter2D(image, -1, _streak(length * scale, angle))
    if effects.shot > 0 or effects.read > 0:
        image = _noisy(image, effects)
    if effects.smooth > 0:
        image = cv2.bilateralFilter(image, 5, effects.smooth * 255, 2.0)
    if effects.saturation == 0:
        image = np.repeat(image[..., :1], 3, axis=2)
    for copy in effects.copies:
        image = _copied(image, copy)
    return np.ascontiguousarray(image)


def _copied(image: np.ndarray, copy: Copy) -> np.ndarray:
    """Scale, sharpen and compress a picture; it keeps its size."""
    height, width = image.shape[:2]
    if copy.shrink > 1:
        small = (max(round(width / copy.shrink), 8), max(round(height / copy.shrink), 8))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    if copy.sharpen > 0:
        soft = cv2.GaussianBlur(image, (0, 0), copy.radius)
        image = cv2.addWeighted(image, 1 + copy.sharpen, soft, -copy.sharpen, 0)
    if copy.jpeg:
        image = compressed(image, copy.jpeg)
    if copy.shrink > 1:
        kernel = cv2.INTER_CUBIC if copy.cubic else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=kernel)
    return image


def _out_of_focus(image: np.ndarray, depth: np.ndarray, aperture: float, focus: float) -> np.ndarray:
    """Blur pixels by the distance of their depth from the focus: a mix of the picture and two blurred ones."""
    near = depth > 0
    sharp = focus * float(np.median(depth[near]))
    sigma = np.where(near, np.abs(1 - sharp / np.maximum(depth, 1e-3)), 1.0).astype(np.float32) * np.float32(aperture)
    sigma = np.minimum(cv2.GaussianBlur(sigma, (0, 0), max(0.5 * aperture, 0.5)), np.float32(aperture))
    middle = np.float32(0.35 * aperture)
    soft = cv2.GaussianBlur(image, (0, 0), float(middle)).astype(np.float32)
    softest = cv2.GaussianBlur(image, (0, 0), aperture).astype(np.float32)
    low = np.clip(sigma / middle, 0, 1)[..., None]
    high = np.clip((sigma - middle) / (np.float32(aperture) - middle), 0, 1)[..., None]
    mixed = image + low * (soft - image)
    mixed += high * (softest - mixed)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return ``image`` (H, W, 3) uint8 after JPEG compression with ``quality`` (1 to 100)."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded: np.ndarray = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return decoded[..., ::-1]


def _streak(length: float, angle: float) -> np.ndarray:
    """Kernel of motion blur: a line of ``length`` pixels at ``angle`` radians, with sum 1."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 4 * half + 1).tolist():
        x, y = half + t * math.cos(angle), half + t * math.sin(angle)
        kernel[round(y), round(x)] += 1
    return kernel / kernel.sum()


@lru_cache(maxsize=1)
def _noise_field() -> np.ndarray:
    """Normal random numbers (1024, 1024, 3). Cutting pieces out of it is ten times as fast as drawing new numbers."""
    return np.random.default_rng(0x401).standard_normal((_FIELD, _FIELD, 3), dtype=np.float32)


def _draws(seed: int, height: int, width: int) -> np.ndarray:
    """Normal random numbers (height, width, 3) for a seed."""
    field = _noise_field()
    if max(height, width) > _FIELD // 2:
        return np.random.default_rng([seed, 0x401]).standard_normal((height, width, 3), dtype=np.float32)
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, _FIELD - height), rng.integers(0, _FIELD - width)
    piece = field[top : top + height, left : left + width]
    return piece[:: 1 - 2 * int(rng.integers(2)), :: 1 - 2 * int(rng.integers(2))]


def _noisy(image: np.ndarray, effects: CameraEffects) -> np.ndarray:
    """Add shot noise, which grows with the value, and read noise; ``grain`` blurs the noise as demosaicing does."""
    values = image.astype(np.float32) * np.float32(1 / 255)
    draws = _draws(effects.seed, image.shape[0], image.shape[1])
    if effects.grain > 0.3:
        draws = cv2.GaussianBlur(draws, (0, 0), effects.grain) * np.float32(1 + 2.2 * effects.grain)
    values += draws * np.sqrt(np.float32(effects.shot) * values + np.float32(effects.read**2))
    return np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
