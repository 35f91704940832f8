"""Reads the arrays that are installed with the program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import SetupError
from .files import read_regular
from .unpacking import unpack_arrays

_MOST_BYTES = 64 * 2**20


def bundled_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """Read an npz file of the installation.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it holds, for the message, for example "hand model".

    Returns
    -------
    dict of str to array
        The arrays by name.

    Raises
    ------
    SetupError
        The file is missing or damaged.
    """
    try:
        return unpack_arrays(read_regular(path), _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise SetupError(f"Cannot read the {what} {path}: {error}.", "Install im2hands again.") from error
