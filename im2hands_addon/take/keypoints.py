"""Reads only the keypoints of a frame, which costs far less than its surfaces (numpy only, no bpy)."""

from __future__ import annotations

import numpy as np

from ..errors import TakeError
from .arrays import LIMITS, read_described, sides_of
from .files import read_shared
from .reader import Take

_AGAIN = "Reconstruct that frame again."


def read_keypoints(take: Take, index: int) -> dict[str, np.ndarray]:
    """Read the keypoints of one frame.

    Parameters
    ----------
    take : Take
        The take.
    index : int
        Frame number.

    Returns
    -------
    dict
        Side ("left", "right") -> keypoints (21, 3) float32 in file order, camera frame, metres; for the hands that are
        present.

    Raises
    ------
    TakeError
        There is no such frame, or its file is missing or damaged.
    """
    record = take.records.get(index)
    if record is None:
        raise TakeError(f"The take {take.name} has no frame {index}.")
    if not record.file:
        return {}
    path = take.folder / record.file
    try:
        arrays = read_described("frame", read_shared(path, most_bytes=LIMITS["frame_bytes"]), only=("keypoints",))
    except (OSError, ValueError) as error:
        raise TakeError(f"Cannot read frame {index} ({path}): {error}.", _AGAIN) from error
    return {side: arrays[f"{side}_keypoints"] for side in sides_of(arrays)}
