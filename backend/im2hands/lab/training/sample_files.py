"""Which scenes of its sets a training uses, and files of the samples that are made of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import pack_arrays, write_atomically
from im2hands.lab.datasets.scenes import SceneSet

_log = logging.getLogger(__name__)
_SHARD = 256  # scenes in each file of samples


def chosen_rows(words: Sequence[str], counts: Sequence[int]) -> list[range]:
    """Parse the option ``--scenes``.

    Parameters
    ----------
    words : sequence of str
        The values: one for all sets, or one for each. "N" means the last N scenes of the set, "A:B" the scenes A to
        B - 1.
    counts : sequence of int
        Number of scenes of each set.

    Returns
    -------
    list of range
        The chosen scenes of each set.

    Raises
    ------
    InputError
        A value is neither a number nor a range within its set, or the number of values is wrong.
    """
    if len(words) not in (1, len(counts)):
        raise InputError(
            f"--scenes has {len(words)} values for {len(counts)} sets.", "Give one value, or one for each set."
        )
    made = []
    for word, count in zip(words if len(words) > 1 else list(words) * len(counts), counts, strict=True):
        first, colon, last = word.partition(":")
        try:
            rows = range(int(first), int(last)) if colon else range(max(count - int(first), 0), count)
        except ValueError:
            rows = range(0)
        if not len(rows) or rows.start < 0 or rows.stop > count:
            raise InputError(f"--scenes {word} names no scenes of a set of {count}.", "Give N or A:B within the set.")
        made.append(rows)
    return made


def trained_and_held(
    sets: Sequence[SceneSet], scenes: Sequence[str] | None, held_out: int
) -> list[tuple[SceneSet, range, range]]:
    """Divide the chosen scenes of each set into those to train on and the last ones, which are only validated on.

    Parameters
    ----------
    sets : sequence of SceneSet
        The scene sets.
    scenes : sequence of str or None
        Value of ``--scenes``, see :func:`chosen_rows`. None chooses all.
    held_out : int
        Number of held-out scenes of each set.

    Returns
    -------
    list of (SceneSet, range, range)
        For each set: the set, the scenes to train on, the held-out scenes.

    Raises
    ------
    InputError
        ``scenes`` does not fit the sets, or a set holds no more scenes than are held out.
    """
    counts = [len(data) for data in sets]
    rows = chosen_rows(scenes, counts) if scenes else [range(count) for count in counts]
    divided = []
    for data, chosen in zip(sets, rows, strict=True):
        last = chosen.stop - held_out
        if last <= chosen.start:
            raise InputError(f"{data.folder} holds no more scenes than are held out.", "Hold out fewer, or add scenes.")
        divided.append((data, range(chosen.start, last), range(last, chosen.stop)))
    return divided


def gather_files(
    data: SceneSet, rows: range, folder: Path, seed: int, make: Callable[[range], Mapping[str, np.ndarray]]
) -> list[Path]:
    """Make the samples of some scenes of a set and store them in files, each of up to 256 scenes.

    Files that exist already are kept, so an interrupted run continues where it stopped.

    Parameters
    ----------
    data : SceneSet
        The scene set.
    rows : range
        Its scenes.
    folder : Path
        Folder of the files; made if it does not exist.
    seed : int
        Seed of the samples, part of the file names.
    make : callable
        Makes the arrays of the file for some of the scenes.

    Returns
    -------
    list of Path
        The files, in the order of the scenes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made, started, done = [], time.monotonic(), 0
    for first in range(rows.start, rows.stop, _SHARD):
        part = range(first, min(first + _SHARD, rows.stop))
        path = folder / f"{data.folder.name}_{seed}_{first:06d}_{len(part)}.npz"
        made.append(path)
        if path.is_file():
            continue
        write_atomically(path, pack_arrays(make(part)))
        done += len(part)
        rate = done / (time.monotonic() - started)
        _log.warning("%s: %d of %d scenes read, %.1f a second", data.folder.name, part.stop, rows.stop, rate)
    return made
