"""How many hands there are, before a picture is looked at: a person's word, or what the take shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .judge import Verdict

HANDS = ("auto", "both", "left", "right")
"""Values of the option ``--hands``."""

# Pictures that the even prior counts for, beside what the take shows.
_EVEN_PICTURES = 2.0
_ROUNDS = 4
# How much worse it is to invent a second hand in a photo than to miss one, logarithm.
_INVENTED = 1.8
_NEVER = -np.inf


@dataclass(frozen=True)
class Prior:
    """Logarithms of the probabilities of the four answers, relative to those of ``EVEN``.

    Parameters
    ----------
    none : float
        No hand.
    left : float
        The left hand alone.
    right : float
        The right hand alone.
    both : float
        Both hands.
    """

    none: float
    left: float
    right: float
    both: float


EVEN = Prior(0.0, 0.0, 0.0, 0.0)
"""Nothing is known. It is the prior of the judge's training: half of the pictures show both hands."""

OF_HANDS = {
    "auto": Prior(0.0, 0.0, 0.0, -_INVENTED),
    "both": Prior(_NEVER, _NEVER, _NEVER, 0.0),
    "left": Prior(0.0, 0.0, _NEVER, _NEVER),
    "right": Prior(0.0, _NEVER, 0.0, _NEVER),
}
"""The prior by the value of ``--hands``.

"auto" is cautious: nobody asked for a second hand. "left" and "right" allow the answer "no hand"; "both" does not.
"""


def learned_prior(verdicts: Sequence[Verdict]) -> Prior:
    """Learn from a take how many hands its pictures show.

    Parameters
    ----------
    verdicts : Sequence[Verdict]
        The judge's scores of every picture.

    Returns
    -------
    Prior
        The prior that makes the scores most probable, held back by two pictures of the even prior.
    """
    from .assignment import answers

    prior = EVEN
    for _ in range(_ROUNDS):
        counted = np.array([answers(verdict, prior).counted() for verdict in verdicts]).reshape(-1, 4)
        shares = (counted.sum(axis=0) + _EVEN_PICTURES / 4) / (len(counted) + _EVEN_PICTURES)
        prior = Prior(*(float(value) for value in np.log(4 * shares)))
    return prior
