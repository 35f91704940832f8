"""Conversion of pixel values of any depth, of linear light and of HDR signals to sRGB with 8 bits."""

from __future__ import annotations

import functools

import numpy as np

PQ, HLG = 16, 18
"""Transfer characteristics of HDR clips, with the numbers of ITU-T H.273."""

MID_GREY = 128
"""Value of the ground on which transparent pictures are laid."""

_OPAQUE = 255

BT2020 = 9
"""Number of the wide primaries in ITU-T H.273."""

# ITU-R BT.2087: linear BT.2020 to linear BT.709, which has the primaries of sRGB.
_BT2020_TO_SRGB = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)

# ITU-R BT.2408: the luminance of a white sheet of paper, and of the brightest light that is told apart here.
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_HLG_SYSTEM_GAMMA = 1.2  # of a screen of 1000 nits, ITU-R BT.2100

# Up to this part of white the tone curve changes nothing. Skin stays below it.
_KNEE = 0.75


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert integers of 8, 16 or 32 bits, or linear floats from 0 to 1, to uint8 of the same shape.

    Parameters
    ----------
    pixels : array
        uint8 values stay; of larger integers 65535 is white; floats are linear light.

    Returns
    -------
    array of uint8
        sRGB for floats, otherwise the same curve as before.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "f":
        linear = np.clip(np.nan_to_num(pixels.astype(np.float32)), 0.0, 1.0)
        return (_encoded(linear) * 255 + 0.5).astype(np.uint8)
    clipped = np.clip(pixels, 0, 65535).astype(np.uint32)  # Pillow sometimes returns 16-bit grey as 32-bit integers
    return ((clipped + 128) // 257).astype(np.uint8)


def over_grey(pixels: np.ndarray) -> tuple[np.ndarray, bool]:
    """Lay a picture over mid grey.

    Parameters
    ----------
    pixels : (H, W, 4) uint8
        RGB and straight alpha.

    Returns
    -------
    pixels : (H, W, 3) uint8
        RGB.
    transparent : bool
        Whether a pixel was not opaque.
    """
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if (alpha == _OPAQUE).all():
        return np.ascontiguousarray(colours), False
    part = alpha.astype(np.float32) / _OPAQUE
    return (colours * part + MID_GREY * (1.0 - part) + 0.5).astype(np.uint8), True


def wide_to_srgb(signal: np.ndarray, transfer: int) -> np.ndarray:
    """Convert a picture with the primaries of BT.2020 to sRGB.

    The brightest channel of a pixel goes through a tone curve: unchanged up to three quarters of white, then rolled off
    so that 1000 nits are shown as white. The other channels keep their ratio to it, so that no hue changes.

    Parameters
    ----------
    signal : (H, W, 3) uint16
        RGB as coded, full range.
    transfer : int
        Number of the transfer characteristic; all but :data:`PQ` and :data:`HLG` count as the curve of sRGB.

    Returns
    -------
    (H, W, 3) uint8
        sRGB.
    """
    light = _light(transfer)[signal]
    if transfer == HLG:
        luminance = np.maximum(light @ _BT2020_LUMINANCE, 1e-6)
        light = light * (luminance ** (_HLG_SYSTEM_GAMMA - 1))[..., None] * (_PEAK_NITS / _WHITE_NITS)
    if transfer in (PQ, HLG):
        light = light * _gain(light.max(axis=-1))[..., None]
    return to_8_bits(light @ _BT2020_TO_SRGB.T)


def _encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _gain(brightest: np.ndarray) -> np.ndarray:
    """Return the factor of the tone curve by the brightest channel, 1 being white."""
    over = np.maximum(brightest - _KNEE, 0.0) / (1 - _KNEE)
    peak = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    rolled = _KNEE + (1 - _KNEE) * over * (1 + over / peak**2) / (1 + over)  # Reinhard's curve, 1 at the peak
    return np.where(over > 0, np.minimum(rolled, 1.0) / np.maximum(brightest, _KNEE), 1.0).astype(np.float32)


@functools.cache
def _light(transfer: int) -> np.ndarray:
    """Return the linear light of each 16-bit signal: PQ relative to white, HLG of the scene from 0 to 1."""
    signal = np.linspace(0.0, 1.0, 65536)
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = 10000.0 / _WHITE_NITS * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)
    elif transfer == HLG:  # ARIB STD-B67
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
