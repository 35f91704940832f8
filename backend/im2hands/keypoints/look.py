"""The record of one look at a picture: its hypotheses and the judge's scores, before hands are chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.hand_geometry import keypoint_distances

from .hypothesis import Hypothesis

THUMBNAIL = 16
"""Side of the thumbnail by which another shot is noticed, pixels."""


@dataclass(frozen=True)
class Look:
    """All that is known of one picture before its hands are chosen.

    Parameters
    ----------
    hypotheses : tuple[Hypothesis, ...]
        The N hands that may be there.
    verdict : Verdict
        The judge's scores.
    marked : tuple[int | None, int | None]
        Hypotheses that a person's boxes name as the left and as the right hand.
    size : tuple[int, int]
        Width and height of the picture, pixels.
    thumbnail : (16, 16, 3) uint8
        The picture, small.
    whole : bool
        Whether every proposer was asked. False: only the places of hands in neighbouring frames were read.
    index : int
        Number of the frame.
    """

    hypotheses: tuple[Hypothesis, ...]
    verdict: Verdict
    marked: tuple[int | None, int | None]
    size: tuple[int, int]
    thumbnail: np.ndarray
    whole: bool
    index: int = 0

    def pixels(self) -> np.ndarray:
        """Return the keypoints (N, 21, 2) of the hypotheses, pixels."""
        return np.array([hand.pixels for hand in self.hypotheses]).reshape(-1, 21, 2)

    def apart(self) -> np.ndarray:
        """Return the distances (N, N) between the hypotheses, palm lengths; see ``keypoint_distances``."""
        return keypoint_distances(self.pixels())
