"""Whether a picture shows hands of another person beside the chosen ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2hands.core.hands import Side
from im2hands.keypoints.hand_geometry import outline_distance

from .hypothesis import Hypothesis
from .look import Look

OTHER_PEOPLE = "More hands are in the picture than one person's; those of one person were taken."

# A further hand is noted if it is as sure as this: presence for our network and for MediaPipe's, agreement; and if its
# outline lies this far from those of other hands (palm lengths).
_SURE_PRESENCE, _SURE_PHOTO, _SURE_AGREEMENT, _APART = 0.85, 0.85, 0.99, 0.5
# Log odds from which on a hand's side is sure; MediaPipe's network must name the same side.
_SURE_SIDE = 3.0


def shows_other_people(look: Look, chosen: Sequence[tuple[Side, int]]) -> bool:
    """Return whether the hands that were surely read, and the chosen ones, cannot all be one person's.

    They can if they are at most two and not surely of the same side: where one hand was asked for, or believed, the
    other hand of the same person may well be in the picture.

    Parameters
    ----------
    look : Look
        The look at the picture.
    chosen : Sequence[tuple[Side, int]]
        Sides and hypotheses of the chosen hands that are believed.

    Returns
    -------
    bool
        True if a hand of another person is in the picture.
    """
    places: list[np.ndarray] = []
    sides: list[int] = []
    by_presence = sorted(look.hypotheses, key=lambda hand: -hand.presence)
    sure = [(hand.pixels, _side(hand)) for hand in by_presence if _is_sure(hand)]
    taken = [(look.hypotheses[row].pixels, -1 if side == "left" else 1) for side, row in chosen]
    for place, side in [*sure, *taken]:
        near = [k for k, other in enumerate(places) if outline_distance(place, other) <= _APART]
        if not near:
            places.append(place)
            sides.append(side)
        elif sides[near[0]] == 0:  # of several readings of a hand the first that is sure of the side counts
            sides[near[0]] = side
    return len(places) > 2 or (len(places) == 2 and sides[0] * sides[1] > 0)


def _is_sure(hand: Hypothesis) -> bool:
    """Return whether a hypothesis certainly is a hand."""
    return (
        hand.presence >= _SURE_PRESENCE
        and hand.agreement >= _SURE_AGREEMENT
        and hand.photo is not None
        and hand.photo.presence >= _SURE_PHOTO
    )


def _side(hand: Hypothesis) -> int:
    """Return -1 for a hand that surely is a left one, 1 for a right one, and 0 if its side is not sure."""
    if hand.photo is None or abs(hand.right) < _SURE_SIDE or hand.right * hand.photo.right <= 0:
        return 0
    return int(np.sign(hand.right))
