"""A photo with what people marked in it, as other data sets have it: keypoints in the picture, outlines of hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side


@dataclass(frozen=True)
class MarkedPhoto:
    """A photo with marks.

    Parameters
    ----------
    sequence : str
        Sequence or scene that the photo belongs to.
    name : str
        Name of the photo in its sequence.
    path : Path
        The picture file.
    camera : Camera, optional
        Its camera; None if it is unknown.
    keypoints : mapping of Side to (21, 2) float64
        Marked keypoints, file order, pixels; NaN where none is marked.
    outlines : mapping of Side to (N, 2) float64
        Outline of each hand, pixels, without what hides it.
    """

    sequence: str
    name: str
    path: Path
    camera: Camera | None = None
    keypoints: Mapping[Side, np.ndarray] = field(default_factory=dict)
    outlines: Mapping[Side, np.ndarray] = field(default_factory=dict)

    @property
    def marked_sides(self) -> tuple[Side, ...]:
        """The hands that have an outline or a marked keypoint."""
        return tuple(
            side for side in SIDES
            if side in self.outlines or (side in self.keypoints and bool(np.isfinite(self.keypoints[side]).any()))
        )  # fmt: skip
