"""Colour profiles (ICC): pictures of wide or unusual colours become sRGB, which Blender does not do."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np

# Profiles that move no colour by more than this are sRGB under one of its many names.
_SAME = 4

_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_STEPS = 6  # colours of a test along each channel


def needs_conversion(image: Any) -> bool:
    """Return whether the profile of a picture shows other colours than sRGB.

    Parameters
    ----------
    image : PIL.Image.Image
        The opened picture; it needs not be decoded.

    Returns
    -------
    bool
        False without a profile, and if the profile is damaged or of another kind than the picture.
    """
    return _transform_of(image) is not None


def to_srgb(image: Any) -> Any:
    """Convert a picture to sRGB by its profile.

    Parameters
    ----------
    image : PIL.Image.Image
        The decoded picture.

    Returns
    -------
    PIL.Image.Image
        RGB, or RGBA if the picture is transparent; the picture itself if it needs no conversion.
    """
    from PIL import ImageCms

    transform = _transform_of(image)
    if transform is None:
        return image
    if image.mode in ("L", "RGB", "CMYK") and "transparency" not in image.info:
        return ImageCms.applyTransform(image, transform)
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    converted: Any = ImageCms.applyTransform(whole.convert(transform.input_mode), transform)
    converted.putalpha(alpha)
    return converted


def _transform_of(image: Any) -> Any:
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return None
    bands = {"L": "L", "LA": "L", "CMYK": "CMYK", "RGB": "RGB", "RGBA": "RGB", "RGBX": "RGB", "P": "RGB", "PA": "RGB"}
    return _make_transform(profile, bands.get(image.mode, ""))


@functools.lru_cache(maxsize=8)
def _make_transform(profile: bytes, mode: str) -> Any:
    """Return the transform of a profile to sRGB; None if it changes nothing or does not fit the picture."""
    from PIL import Image, ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _MODES.get(opened.profile.xcolor_space) != mode:
            return None
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a damaged profile says nothing
        return None
    if mode == "CMYK":  # the plain conversion is far from every printer
        return transform
    values = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(_STEPS, -1, 3)
    test = Image.fromarray(colours if mode == "RGB" else colours[..., 0])
    changed = np.asarray(ImageCms.applyTransform(test, transform)).astype(int)
    return transform if np.abs(changed - np.asarray(test.convert("RGB"))).max() > _SAME else None
