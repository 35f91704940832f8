"""Photos whose hands a person marked with a few points: whether both hands were found where they are.

The file is JSON: by name of the photo without its ending, by side, by number of the keypoint (file order): its place as
fractions of the picture's width and height; ``palm`` is the palm length as a fraction of the width. ::

    {"shot": {"palm": 0.2, "left": {"0": [0.9, 0.6], "8": [0.5, 0.4]}, "right": {"0": [0.2, 0.6]}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import KEYPOINT_COUNT, SIDES

from .clip_figures import SAME, Hands

RIGHT = SAME
"""Mean distance from the marked points up to which a hand is right, palm lengths."""


@dataclass(frozen=True)
class MarkedPhoto:
    """The marked points of one photo.

    Parameters
    ----------
    palm : float
        Palm length, fraction of the picture's width.
    points : Mapping[str, Mapping[int, tuple[float, float]]]
        By side and keypoint: fractions of width and height.
    """

    palm: float
    points: Mapping[str, Mapping[int, tuple[float, float]]]

    def errors(self, hands: Hands, size: tuple[int, int]) -> dict[str, float]:
        """Measure the hands that were found.

        Parameters
        ----------
        hands : Hands
            By side: keypoints (21, 2), pixels.
        size : tuple[int, int]
            Width and height of the picture, pixels.

        Returns
        -------
        dict[str, float]
            For each marked side the mean distance from its points, palm lengths; infinite for a hand that is missing.
        """
        made = {}
        for side, points in self.points.items():
            places = np.array(list(points.values())) * size - 0.5
            gaps = np.linalg.norm(hands[side][list(points)] - places, axis=1) if side in hands else np.array([np.inf])
            made[side] = float(gaps.mean()) / (self.palm * size[0])
        return made


def read_marked(path: Path) -> dict[str, MarkedPhoto]:
    """Read a file of marked points.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    dict[str, MarkedPhoto]
        By the photo's name without its ending.

    Raises
    ------
    InputError
        The file cannot be read, or does not hold marked points.
    """
    try:
        content = json.loads(read_regular(path).decode("utf-8-sig"))
        return {str(name): _photo(entry) for name, entry in content.items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        form = 'Write {"shot": {"palm": 0.2, "left": {"0": [0.9, 0.6]}, "right": {"0": [0.2, 0.6]}}}.'
        raise InputError(f"{path} does not hold marked points: {error}.", form) from error


def _photo(entry: Mapping[str, object]) -> MarkedPhoto:
    palm = float(entry["palm"])  # type: ignore[arg-type]
    points: dict[str, dict[int, tuple[float, float]]] = {}
    for side in SIDES:
        if side not in entry:
            continue
        marked = {int(k): (float(x), float(y)) for k, (x, y) in entry[side].items()}  # type: ignore[attr-defined]
        if not marked or not set(marked) <= set(range(KEYPOINT_COUNT)):
            raise ValueError(f"the {side} hand needs points of the keypoints 0 to {KEYPOINT_COUNT - 1}")
        points[side] = marked
    if not (np.isfinite(palm) and palm > 0 and np.isfinite([p for m in points.values() for p in m.values()]).all()):
        raise ValueError("palm and points must be finite, palm above 0")
    return MarkedPhoto(palm, points)


def read_stretches(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Read the stretches of clips that show one hand.

    Parameters
    ----------
    path : Path
        JSON: by the clip's name without its ending, a list of first and last frames: ``{"clip": [[10, 42]]}``.

    Returns
    -------
    dict[str, list[tuple[int, int]]]
        By the clip's name without its ending.

    Raises
    ------
    InputError
        The file cannot be read, or does not hold stretches.
    """
    try:
        content = json.loads(read_regular(path).decode("utf-8-sig"))
        made = {str(name): [(int(first), int(last)) for first, last in rows] for name, rows in content.items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold stretches: {error}.", 'Write {"clip": [[10, 42]]}.') from error
    return made
