"""Suppression of the start-up messages that native libraries write to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_STANDARD_ERROR = 2


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Drop everything that native code writes to standard error inside this context.

    MediaPipe and LiteRT have no option that turns off their start-up messages. Use this for short moments only, because
    standard error belongs to the whole process. Python exceptions are not affected.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # there is no standard error, as in a program without a console
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), _STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
