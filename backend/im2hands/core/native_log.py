"""Keeps the start-up chatter of native libraries off standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_STANDARD_ERROR = 2


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """While it lasts, what native code writes to standard error is dropped; Python exceptions pass as ever.

    MediaPipe and LiteRT offer no switch for the lines they write when they start. Only for such short moments: the
    whole process shares that stream.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # no standard error, as in a windowed program
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), _STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
