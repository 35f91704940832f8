"""Import of MediaPipe without its audio and its plotting libraries."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

# MediaPipe can do without the audio library, and imports the plotting library whether it plots or not.
_AUDIO, _PLOTS = "sounddevice", ("matplotlib", "matplotlib.pyplot")


def import_mediapipe() -> ModuleType:
    """Import the package ``mediapipe``.

    MediaPipe also imports ``sounddevice``, which it can do without. That library looks for PortAudio with ``ldconfig``,
    ``gcc`` and ``ld``, whatever programs of these names are on the PATH. It is hidden during the import. So is
    ``matplotlib``, behind an empty module: MediaPipe only draws plots with it, and it takes longer to import than
    MediaPipe itself.

    Returns
    -------
    module
        The package.

    Raises
    ------
    ImportError
        The package is missing or cannot be loaded.
    """
    hidden = [name for name in (_AUDIO, *_PLOTS) if name not in sys.modules]
    for name in hidden:
        # Importing the name None raises ModuleNotFoundError.
        sys.modules[name] = None if name == _AUDIO else ModuleType(name)  # type: ignore[assignment]
    try:
        return importlib.import_module("mediapipe")
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
