"""When every proposer is asked in a clip, and which frames show the same shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .look import Look

# Frames between two looks with every proposer, at first and at last: where all hands are followed; and where a hand is
# missing. The pause doubles with every look that finds no other number of hands.
_FOLLOWED_PAUSE, _LONGEST_FOLLOWED = 24, 192
_FIRST_PAUSE, _LONGEST_PAUSE = 4, 32
# Mean difference of the thumbnails of two frames (0 to 255) from which on they show different shots.
_CUT = 40.0
# Difference of one place of the thumbnails (mean of the colours, 0 to 255) from which on something has come or moved.
_CHANGED = 12.0


def is_cut(before: Look, after: Look) -> bool:
    """Return whether two neighbouring frames belong to different shots.

    Parameters
    ----------
    before : Look
        The look at the first frame.
    after : Look
        The look at the second frame.

    Returns
    -------
    bool
        True if identity of the hands starts anew between them.
    """
    return bool(np.abs(_difference(before, after)).mean() > _CUT) or before.size != after.size


def is_changed(before: Sequence[Look], after: Look) -> bool:
    """Return whether a picture differs from the one in which every proposer was asked last.

    Parameters
    ----------
    before : Sequence[Look]
        The looks at the frames before it, in order.
    after : Look
        The look at the picture.

    Returns
    -------
    bool
        True if a hand may have come.
    """
    last = next((look for look in reversed(before) if look.whole), None)
    return last is None or bool(np.abs(_difference(last, after).mean(axis=-1)).max() > _CHANGED)


def frames_between(one: Look, other: Look) -> int:
    """Return how many frames lie between two looks.

    Parameters
    ----------
    one : Look
        A look.
    other : Look
        A look before or after it.

    Returns
    -------
    int
        At least 1; more than 1 for neighbours where frames are left out or damaged.
    """
    return max(abs(other.index - one.index), 1)


def look_is_due(before: Sequence[Look], index: int, count: Callable[[Look], int], wanted: int) -> bool:
    """Return whether it is time to ask every proposer.

    Parameters
    ----------
    before : Sequence[Look]
        The looks at the frames before, in order.
    index : int
        Number of the frame.
    count : callable
        Returns how many hands a look shows.
    wanted : int
        Hands that are followed if nothing is missing.

    Returns
    -------
    bool
        True also if no proposer was asked yet.
    """
    whole = [k for k, look in enumerate(before) if look.whole]
    if not whole:
        return True
    passed = index - before[whole[-1]].index - 1
    followed = count(before[-1]) >= wanted
    pause, longest = (_FOLLOWED_PAUSE, _LONGEST_FOLLOWED) if followed else (_FIRST_PAUSE, _LONGEST_PAUSE)
    for earlier, k in zip(reversed(whole[:-1]), reversed(whole), strict=False):
        if is_cut(before[k - 1], before[k]) or count(before[earlier]) != count(before[k]) or pause >= longest:
            break
        pause *= 2
    return passed >= min(pause, longest)


def _difference(before: Look, after: Look) -> np.ndarray:
    return before.thumbnail.astype(np.float64) - after.thumbnail
