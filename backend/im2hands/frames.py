"""Images, folders, numbered sequences and videos as frames with index, time stamp and camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Args:
        index: number in the source (see ``docs/take.md``).
        time: seconds from the start of the source.
        image: (H, W, 3) uint8 RGB, EXIF orientation applied.
        name: for messages, for example ``"shot_0012.png"`` or ``"clip.mp4 frame 12"``.
        path: the file it came from; None for arrays.
    """

    index: int
    time: float
    image: np.ndarray
    name: str
    path: Path | None = None
