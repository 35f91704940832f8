"""OpenGL context without a window, on any driver."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from im2hands.core.errors import SetupError

if TYPE_CHECKING:
    import moderngl

GL_VERSION = 330
"""Least OpenGL version, 3.3."""
_DRIVER_HINT = (
    "Install libegl1 and libgl1-mesa-dri (Debian, Ubuntu) for the software renderer, or the graphics card's own driver."
)


def make_context(device: int | None = None) -> moderngl.Context:
    """Make a stand-alone context: EGL on Linux (no display needed), the system's own interface elsewhere.

    Parameters
    ----------
    device : int or None
        Number of the EGL device, in the driver's order. None takes the first. Only used on Linux.

    Returns
    -------
    moderngl.Context
        The context.

    Raises
    ------
    SetupError
        moderngl is not installed, or there is no usable OpenGL driver.
    """
    try:
        import moderngl
    except ImportError as error:
        raise SetupError("Rendering needs moderngl.", "pip install 'im2hands[train]'") from error
    settings: dict[str, Any] = {"require": GL_VERSION}
    if sys.platform.startswith("linux"):
        settings["backend"] = "egl"
        if device is not None:
            settings["device_index"] = device
    try:
        return moderngl.create_standalone_context(**settings)
    except Exception as error:  # glcontext and moderngl raise plain Exception here
        where = "" if device is None else f" on EGL device {device}"
        raise SetupError(f"No OpenGL {GL_VERSION / 100:.1f} context{where}: {error}.", _DRIVER_HINT) from error
