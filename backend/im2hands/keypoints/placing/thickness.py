"""How thick the flesh of a person's hands is: one number for both hands of a picture, or of all pictures of a clip.

The edge of each hand tells a thickness (``outline``), but with a large error: a keypoint that is a little off moves a
finger's rim as much as a thicker finger does, and a hand without its inner edges shows little. So what the edges tell
is averaged, and pulled towards the usual thickness. All frames of a clip count as one look at each hand: most of the
error stays over a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .observation import Observation

# Natural logarithms. Spheres lie inside the skin, so edges tell more than the true thickness, by this much.
_INSIDE = 0.06
_LOOK = 0.10  # standard deviation of what the edges of one hand tell
_USUAL = 0.07  # standard deviation of people's hands from the usual one
_LEAST, _LARGEST = 0.85, 1.2  # no hand is thinner or thicker, whatever a mask says


def common_thickness(sides: Sequence[np.ndarray]) -> float:
    """Return the thickness of a person's hands, from what their edges tell.

    Parameters
    ----------
    sides : sequence of (N,) float64
        For each hand, what its edges tell in N pictures: natural logarithms of factors, NaN where they tell nothing.

    Returns
    -------
    float
        Natural logarithm of the factor on the usual thickness; 0 where no edge tells anything.
    """
    sums, looks = 0.0, 0
    for found in sides:
        told = found[np.isfinite(found)]
        if len(told):
            sums += float(np.median(told)) - _INSIDE
            looks += 1
    made = sums / (looks + (_LOOK / _USUAL) ** 2)
    return float(np.clip(made, np.log(_LEAST), np.log(_LARGEST)))


def with_thickness(observations: Sequence[Observation], thickness: float) -> list[Observation]:
    """Return observed hands that shall have a thickness, natural logarithm of a factor."""
    return [replace(seen, thickness=thickness) for seen in observations]
