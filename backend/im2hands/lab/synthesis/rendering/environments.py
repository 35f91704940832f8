"""Light from all around: high-dynamic-range panoramas, from files or made up, with their irradiance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError, SetupError

REFLECTION_SIZE = (128, 64)
VIEW_SIZE = (1024, 512)
_BRIGHTEST = 40.0  # times the mean; beyond that a small sun only makes noise


@dataclass(frozen=True)
class Environment:
    """A panorama, scaled so that its mean radiance is 1. Row 0 looks up (+y), columns turn about y.

    Attributes:
        reflection: (64, 128, 3) float32, for reflections.
        view: (512, 1024, 3) float32, to look at as a background; ``None`` for made-up ones.
        irradiance: (9, 3) coefficients of the spherical harmonics of irradiance over pi, in the order and with the
            constants the shader expects (Ramamoorthi and Hanrahan 2001).
        brightest: (3,) unit direction of the brightest part.
    """

    reflection: np.ndarray
    view: np.ndarray | None
    irradiance: np.ndarray
    brightest: np.ndarray


def directions(width: int, height: int) -> np.ndarray:
    """(height, width, 3) unit directions of a panorama's pixels."""
    turn = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    down = (np.arange(height) + 0.5) / height * np.pi
    s = np.sin(down)[:, None]
    return np.stack([s * np.sin(turn), np.repeat(np.cos(down)[:, None], width, axis=1), s * np.cos(turn)], axis=-1)


def from_panorama(panorama: np.ndarray, keep_view: bool = True) -> Environment:
    """An environment from linear radiance (H, W, 3), any size and scale."""
    import cv2

    image = np.nan_to_num(np.maximum(panorama.astype(np.float32), 0), posinf=1e4)
    small = cv2.resize(image, REFLECTION_SIZE, interpolation=cv2.INTER_AREA)
    facing = directions(*REFLECTION_SIZE)
    area = np.sqrt(np.maximum(1 - facing[..., 1] ** 2, 0))
    area = area / area.sum()
    mean = float((small.mean(axis=-1) * area).sum()) or 1.0
    small = np.minimum(small / mean, _BRIGHTEST)
    blurred = cv2.GaussianBlur(np.concatenate([small] * 3, axis=1), (0, 0), 4.0)[:, small.shape[1] : 2 * small.shape[1]]
    row, column = np.unravel_index(int((blurred.mean(axis=-1)).argmax()), blurred.shape[:2])
    view = None
    if keep_view:
        view = np.minimum(cv2.resize(image, VIEW_SIZE, interpolation=cv2.INTER_AREA) / mean, _BRIGHTEST)
    return Environment(small, view, _irradiance(small, facing, area), facing[row, column])


def _irradiance(radiance: np.ndarray, facing: np.ndarray, area: np.ndarray) -> np.ndarray:
    x, y, z = facing[..., 0], facing[..., 1], facing[..., 2]
    basis = [np.full_like(x, 0.282095), *(0.488603 * a for a in (y, z, x))]
    basis += [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z]
    basis.append(0.546274 * (x * x - y * y))
    convolved = (1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25)
    constants = (0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274)
    out = []
    for function, factor, constant in zip(basis, convolved, constants, strict=True):
        out.append(4 * np.pi * (radiance * (area * function)[..., None]).sum(axis=(0, 1)) * factor * constant)
    return np.array(out, np.float32)


def read_environment(path: Path) -> Environment:
    """A panorama from an OpenEXR file.

    Raises:
        SetupError: OpenEXR is not installed.
        InputError: the file cannot be read or has no colour.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise SetupError("Environment maps need OpenEXR.", "pip install 'im2hands[train]'") from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            for name in ("RGB", "RGBA"):
                if name in channels:
                    return from_panorama(channels[name].pixels[..., :3])
            panorama = np.stack([channels[name].pixels for name in "RGB"], axis=-1)
    except Exception as error:  # OpenEXR raises RuntimeError, TypeError, KeyError and its own kinds
        raise InputError(
            f"Environment {path} cannot be read: {error}.", "Give equirectangular OpenEXR panoramas (.exr)."
        ) from error
    return from_panorama(panorama)


def made_up_environment(seed: int) -> Environment:
    """A sky or a room: a gradient from below to above, a few windows or lamps. The same seed gives the same one."""
    rng = np.random.default_rng([seed, 0xE27])
    facing = directions(*REFLECTION_SIZE)
    up = facing[..., 1:2]
    top, level, bottom = (rng.uniform(0.3, 1.0) * _tint(rng, 0.18) for _ in range(3))
    image = np.where(up > 0, level + (top - level) * up, level + (bottom * 0.6 - level) * np.minimum(-up * 3, 1))
    for _ in range(rng.integers(1, 5)):
        towards = rng.normal(size=3)
        towards[1] = abs(towards[1])
        towards /= np.linalg.norm(towards)
        sharp = rng.uniform(8, 60)
        image = image + rng.uniform(2, 14) * _tint(rng, 0.2) * np.exp(sharp * (facing @ towards - 1))[..., None]
    return from_panorama(image, keep_view=False)


def _tint(rng: np.random.Generator, spread: float) -> np.ndarray:
    """A colour near white, warm or cold."""
    warm = rng.normal(0, spread)
    return np.exp(np.array([warm, 0.15 * warm, -warm]))
