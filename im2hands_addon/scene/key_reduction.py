"""Leaves out keys of curves that straight lines between the others replace, within a stated error."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .rotation_curves import as_quaternions

MM_A_DEGREE = 1000.0 * 0.1 * np.pi / 180.0
"""Error of a location that goes with an error of one degree: as far as that turns a point 10 cm away, mm."""


@dataclass(frozen=True)
class Channel:
    """The values of one property of a bone on each frame.

    Parameters
    ----------
    bone : str
        Name of the bone.
    path : str
        Data path of the property, from the armature.
    kind : str
        "LOCATION", or the rotation mode.
    values : (N, C) array
        Metres, quaternions or radians.
    """

    bone: str
    path: str
    kind: str
    values: np.ndarray

    @property
    def is_location(self) -> bool:
        """Whether the values are places."""
        return self.kind == "LOCATION"


def errors(channel: Channel, kept: np.ndarray) -> np.ndarray:
    """Return how far straight lines between some keys are from the values.

    Parameters
    ----------
    channel : Channel
        The values on N frames that follow one another.
    kept : (K,) int array
        Rows that have a key, ascending, with the first and the last.

    Returns
    -------
    (N,) float64
        Degrees, or millimetres of a location.
    """
    rows = np.arange(len(channel.values))
    lines = np.stack([np.interp(rows, kept, column[kept]) for column in channel.values.T], axis=1)
    if channel.is_location:
        return 1000.0 * np.linalg.norm(lines - channel.values, axis=1)
    one, other = (as_quaternions(values, channel.kind) for values in (lines, channel.values))
    chord = np.minimum(np.linalg.norm(one - other, axis=1), np.linalg.norm(one + other, axis=1))
    return np.degrees(4.0 * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0)))


def reduced(channel: Channel, degrees: float) -> np.ndarray:
    """Choose keys so that straight lines between them stay near the values.

    Parameters
    ----------
    channel : Channel
        The values on N frames that follow one another.
    degrees : float
        Largest error of a rotation; that of a location goes with it (``MM_A_DEGREE``). 0 for all keys.

    Returns
    -------
    (K,) int array
        Rows that get a key, ascending; the first and the last are always among them.
    """
    count = len(channel.values)
    if degrees <= 0.0 or count < 3:
        return np.arange(count)
    limit = degrees * MM_A_DEGREE if channel.is_location else degrees
    kept = np.array([0, count - 1])
    while len(kept) < count:
        wrong = errors(channel, kept)
        # In each piece between two keys the worst frame gets a key, until none is too far away.
        worst = [start + 1 + int(wrong[start + 1 : end].argmax()) for start, end in itertools.pairwise(kept)
                 if end > start + 1]  # fmt: skip
        added = [row for row in worst if wrong[row] > limit]
        if not added:
            break
        kept = np.unique(np.concatenate([kept, added]))
    return kept
