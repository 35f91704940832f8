"""Import of MediaPipe without its audio library."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_AUDIO = "sounddevice"


def import_mediapipe() -> ModuleType:
    """Import the package ``mediapipe``.

    MediaPipe also imports ``sounddevice``, which it can do without. That library looks for PortAudio with ``ldconfig``,
    ``gcc`` and ``ld``, whatever programs of these names are on the PATH. It is hidden during the import.

    Returns
    -------
    module
        The package.

    Raises
    ------
    ImportError
        The package is missing or cannot be loaded.
    """
    hidden = _AUDIO not in sys.modules
    if hidden:
        sys.modules[_AUDIO] = None  # type: ignore[assignment]  # importing it raises ModuleNotFoundError
    try:
        return importlib.import_module("mediapipe")
    finally:
        if hidden:
            sys.modules.pop(_AUDIO, None)
