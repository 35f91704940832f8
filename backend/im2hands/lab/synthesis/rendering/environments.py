"""Environment light: high-dynamic-range panoramas, from files or procedural, and their irradiance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError, SetupError

REFLECTION_SIZE = (128, 64)
"""Width and height of the panoramas for reflections, pixels."""
VIEW_SIZE = (1024, 512)
"""Width and height of the panoramas for backgrounds, pixels."""
_BRIGHTEST = 40.0  # upper limit of radiance, as a multiple of the mean; a brighter small sun only makes noise


@dataclass(frozen=True)
class Environment:
    """A panorama, scaled to a mean radiance of 1. Row 0 looks up (+y), columns turn about y.

    Parameters
    ----------
    reflection : (64, 128, 3) float32
        Radiance, for reflections.
    view : (512, 1024, 3) float32 or None
        Radiance, for backgrounds. None for procedural environments.
    irradiance : (9, 3) float32
        Coefficients of the irradiance divided by pi in spherical harmonics, in the order and with the constants that
        the shader expects (Ramamoorthi and Hanrahan 2001).
    brightest : (3,) float64
        Unit direction of the brightest part.
    """

    reflection: np.ndarray
    view: np.ndarray | None
    irradiance: np.ndarray
    brightest: np.ndarray


def directions(width: int, height: int) -> np.ndarray:
    """Compute the unit directions (height, width, 3) of a panorama's pixels."""
    turn = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    down = (np.arange(height) + 0.5) / height * np.pi
    s = np.sin(down)[:, None]
    return np.stack([s * np.sin(turn), np.repeat(np.cos(down)[:, None], width, axis=1), s * np.cos(turn)], axis=-1)


def from_panorama(panorama: np.ndarray, keep_view: bool = True) -> Environment:
    """Make an environment from a panorama.

    Parameters
    ----------
    panorama : (H, W, 3) float
        Linear radiance, of any size and scale.
    keep_view : bool
        Whether to keep the panorama for backgrounds.

    Returns
    -------
    Environment
        The environment.
    """
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
    """Spherical harmonics (9, 3) of the irradiance divided by pi."""
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
    """Read a panorama from an OpenEXR file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Environment
        The environment.

    Raises
    ------
    SetupError
        OpenEXR is not installed.
    InputError
        The file cannot be read or has no colour.
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
    except Exception as error:  # OpenEXR raises RuntimeError, TypeError, KeyError and errors of its own
        raise InputError(
            f"Environment {path} cannot be read: {error}.", "Give equirectangular OpenEXR panoramas (.exr)."
        ) from error
    return from_panorama(panorama)


def procedural_environment(seed: int) -> Environment:
    """Make a procedural sky or room: a vertical gradient with a few windows or lamps; a seed gives the same one."""
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
    """Draw a colour (3,) near white, warm or cold."""
    warm = rng.normal(0, spread)
    return np.exp(np.array([warm, 0.15 * warm, -warm]))
