"""Keys of "hide" properties of objects that are visible on some frames only."""

from __future__ import annotations

from collections.abc import Sequence


def held_visibility(shown: Sequence[int], step: int) -> tuple[list[int], list[bool]]:
    """Compute the keys of a "hide" property of an object that is visible only on some frames.

    Parameters
    ----------
    shown : sequence of int
        Frames from which the object is visible, ascending.
    step : int
        How many frames it stays visible each time.

    Returns
    -------
    tuple of list of int and list of bool
        Frames and values of the keys; True hides the object. Both are empty for an empty ``shown``.
    """
    keys: dict[int, bool] = {}
    end = None
    for frame, following in zip(shown, [*shown[1:], None], strict=True):
        if end is None or end < frame:
            keys[frame - 1] = True
        keys[frame] = False
        end = frame + step
        if following is None or following > end:
            keys[end] = True
    frames = sorted(keys)
    return frames, [keys[frame] for frame in frames]


def visible_range(first: int, last: int) -> tuple[list[int], list[bool]]:
    """Compute the keys of a "hide" property of an object that is visible on one range of frames.

    Parameters
    ----------
    first, last : int
        First and last frame on which it is visible.

    Returns
    -------
    tuple of list of int and list of bool
        Frames and values of the keys; True hides the object.
    """
    return held_visibility([first], last - first + 1)
