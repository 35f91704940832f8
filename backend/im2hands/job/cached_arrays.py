"""Files of arrays in ``TAKE/cache``: read only where they are whole and made from the same data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, read_shared, write_atomically
from im2hands.core.unpacking import unpack_arrays
from im2hands.take.arrays import LIMITS

NOT_CACHED = (OSError, ValueError, KeyError, IndexError, TypeError)
"""What reading a missing, damaged or old file raises, also where its arrays are used. The data are then made again."""


def read_cached(path: Path, key: str) -> dict[str, np.ndarray]:
    """Read a file of the cache.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Hash of everything that its content depends on.

    Returns
    -------
    dict of str to ndarray
        The arrays by name.

    Raises
    ------
    OSError, ValueError, KeyError, IndexError
        The file is missing, damaged or was made from something else: one of :data:`NOT_CACHED`.
    """
    limit = LIMITS["cache_bytes"]
    arrays = unpack_arrays(read_shared(path, expected=False, most_bytes=limit), limit)
    if str(arrays["key"][0]) != key:
        raise KeyError(key)
    return arrays


def write_cached(path: Path, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file of the cache.

    Parameters
    ----------
    path : Path
        The file. Its folder is created.
    key : str
        Hash of everything that its content depends on.
    arrays : mapping of str to ndarray
        The arrays by name; none is named ``key``.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    write_atomically(path, pack_arrays({"key": np.array([key]), **arrays}))
