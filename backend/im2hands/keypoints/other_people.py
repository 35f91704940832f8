"""Whether a picture shows hands of another person beside the chosen ones."""

from __future__ import annotations

import numpy as np

from im2hands.keypoints.choosing.assignment import Assignment
from im2hands.keypoints.hand_geometry import outline_distance

from .hypothesis import Hypothesis
from .look import Look

OTHER_PEOPLE = "More hands are in the picture than one person's; those of one person were taken."

# A further hand is noted if it is as sure as this: presence for our network and for MediaPipe's, agreement; and if its
# outline lies this far from those of other hands (palm lengths).
_SURE_PRESENCE, _SURE_PHOTO, _SURE_AGREEMENT, _APART = 0.85, 0.85, 0.99, 0.5
# Log odds from which on a hand's side is sure; MediaPipe's network must name the same side.
_SURE_SIDE = 3.0


def shows_other_people(look: Look, chosen: Assignment) -> bool:
    """Return whether the chosen hands and the further ones that were surely read cannot all be one person's.

    They can if they are at most two and not surely of the same side: where one hand was asked for, or believed, the
    other hand of the same person may well be in the picture.

    Parameters
    ----------
    look : Look
        The look at the picture.
    chosen : Assignment
        The chosen hands.

    Returns
    -------
    bool
        True if a hand of another person is in the picture.
    """
    rows = [row for row in chosen.rows() if row is not None]
    hands = [look.hypotheses[row].pixels for row in rows]
    sides = [side for side, row in zip((-1, 1), chosen.rows(), strict=True) if row is not None]
    for hand in sorted(look.hypotheses, key=lambda hand: -hand.presence):
        if _is_sure(hand) and all(outline_distance(hand.pixels, pixels) > _APART for pixels in hands):
            hands.append(hand.pixels)
            sides.append(_side(hand))
    return len(hands) > 2 or (len(hands) == 2 and sides[0] * sides[1] > 0)


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
