"""Reading of the npz files of a take: its frames, ``template.npz`` and ``motion.npz``; every fault is a TakeError."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import TakeError
from im2hands.core.files import read_shared
from im2hands.core.hands import Side
from im2hands.core.repacking import repack_arrays
from im2hands.core.unpacking import unpack_arrays

from .arrays import LIMITS, read_described, sides_of

KEY = "key"
"""Name of the array with the hash of everything that a file was computed from."""

_FRAME_HINT = "Reconstruct that frame again."
_CLEAN_HINT = "Run im2hands clean again."


@dataclass(frozen=True)
class FrameArrays:
    """The content of a frame's file.

    Parameters
    ----------
    hands : dict of Side to dict of str to array
        Arrays by side and name without the side. A side without a hand is missing.
    key : str or None
        Key of the frame; None in takes of earlier versions, which have it in ``take.json`` only.
    """

    hands: dict[Side, dict[str, np.ndarray]]
    key: str | None


def read_frame_file(path: Path, only: tuple[str, ...] = ()) -> FrameArrays:
    """Read the file of a frame and check it.

    Parameters
    ----------
    path : Path
        The file.
    only : tuple of str
        Names of arrays, without the side. If given, the others are not read, and none is required.

    Returns
    -------
    FrameArrays
        Its content.

    Raises
    ------
    TakeError
        The file is missing or damaged, or has values that no hand has.
    """
    arrays = _read("frame", path, only=only)
    hands = {
        side: {name.removeprefix(f"{side}_"): array for name, array in arrays.items() if name.startswith(f"{side}_")}
        for side in sides_of(arrays)
    }
    return FrameArrays(hands, str(arrays[KEY]) if KEY in arrays else None)


def read_every_array(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a frame's file, unchecked, also those that this version does not know.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to array
        Arrays by name.

    Raises
    ------
    TakeError
        The file is missing or damaged.
    """
    limit = LIMITS["frame_bytes"]
    try:
        return unpack_arrays(read_shared(path, most_bytes=limit), limit)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, _FRAME_HINT) from error


def with_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of a frame's file with more arrays; those that this version does not know stay.

    Parameters
    ----------
    path : Path
        The file. It is not changed.
    arrays : mapping of str to array
        Arrays to add or to replace, named ``{side}_{array}``.

    Returns
    -------
    bytes
        Content of the new file.

    Raises
    ------
    TakeError
        The file is missing or damaged.
    """
    try:
        return repack_arrays(read_shared(path, most_bytes=LIMITS["frame_bytes"]), arrays)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, _FRAME_HINT) from error


def read_template(path: Path) -> dict[str, np.ndarray]:
    """Read and check ``template.npz``.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to array
        Arrays by name, as ``docs/take.md`` describes them.

    Raises
    ------
    TakeError
        The file is missing or damaged.
    """
    return _read("template", path)


def read_motion(path: Path, template: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Read and check ``motion.npz``.

    Parameters
    ----------
    path : Path
        The file.
    template : mapping of str to array
        The arrays of ``template.npz``, which it must fit.

    Returns
    -------
    dict of str to array
        Arrays by name, as ``docs/take.md`` describes them.

    Raises
    ------
    TakeError
        The file is missing or damaged, or belongs to another template.
    """
    vertices, bones = template["weights"].shape
    motion = _read("motion", path, {"T": vertices, "B": bones})
    alone = [side for side in sides_of(motion) if side not in sides_of(template)]
    if alone:
        raise TakeError(f"{path} has a {alone[0]} hand that its template lacks.", _CLEAN_HINT)
    return motion


def _read(
    file: str, path: Path, lengths: Mapping[str, int] | None = None, only: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    is_frame = file == "frame"
    try:
        data = read_shared(path, most_bytes=LIMITS[f"{file}_bytes"])
        return read_described(file, data, lengths, only=only, exact=is_frame)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, _FRAME_HINT if is_frame else _CLEAN_HINT) from error


def _unreadable(path: Path, error: Exception, hint: str) -> TakeError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return TakeError(f"Cannot read {path}: {why}.", hint)
