"""Reads only the keypoints of a frame, which costs far less than its surfaces (numpy only, no bpy)."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from ..errors import TakeError
from .files import read_shared
from .reader import KEYPOINT_COUNT, SIDES, Take

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
        with np.load(io.BytesIO(read_shared(path)), allow_pickle=False) as archive:
            found = {side: archive[f"{side}_keypoints"] for side in SIDES if f"{side}_keypoints" in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TakeError(f"Cannot read frame {index} ({path}): {error}.", _AGAIN) from error
    for side, points in found.items():
        if points.shape != (KEYPOINT_COUNT, 3) or points.dtype.kind not in "fiu":
            raise TakeError(f"{path}: {side}_keypoints is {points.dtype}{points.shape}.", _AGAIN)
        if not np.isfinite(points).all():
            raise TakeError(f"{path}: the {side} hand has numbers that are not finite.", _AGAIN)
    return {side: np.ascontiguousarray(points, dtype=np.float32) for side, points in found.items()}
