"""How the hands of files move, for ``im2hands evaluate video``: acceleration error, jitter, exchanged sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES
from im2hands.lab.bench.clip_figures import Hands, swaps
from im2hands.lab.bench.motion_figures import jitter

from .hand_files import HandFile

_LONGEST_GAP = 4  # frames from one with hands to the next; third differences span 3


def motion(found: HandFile, truth: HandFile) -> dict[str, Any]:
    """Measure how predicted hands move.

    Parameters
    ----------
    found : HandFile
        Predicted hands.
    truth : HandFile
        True hands. Its moments say which frames follow each other; without them, the numbers of frames are times.

    Returns
    -------
    dict
        ``clips``, ``acceleration_mm``, ``jitter``, ``true_jitter`` (means over clips and sides) and ``swaps`` (sum);
        None where nothing was measured.

    Raises
    ------
    InputError
        Two frames of the truth have one moment.
    """
    clips = _clips(found, truth)
    accelerations: list[float] = []
    shaking: dict[str, list[float]] = {"found": [], "true": []}
    exchanged = 0
    for times in clips:
        tracks = _tracks(found, truth, times)
        for side in SIDES:
            difference = np.diff(tracks["found", side] - tracks["true", side], n=2, axis=0)
            lengths = np.linalg.norm(difference, axis=-1) * 1000
            accelerations += lengths[np.isfinite(lengths)].tolist()
            for name, kept in shaking.items():
                third = np.diff(tracks[name, side], n=3, axis=0)
                if np.isfinite(third).any():
                    kept.append(jitter(tracks[name, side]))
        order = sorted((index for index in times if index in found.frames), key=times.__getitem__)
        exchanged += len(swaps(cast(list[Hands], [found.frames[index] for index in order])))
    return {
        "clips": len(clips),
        "acceleration_mm": float(np.mean(accelerations)) if accelerations else None,
        "jitter": float(np.mean(shaking["found"])) if shaking["found"] else None,
        "true_jitter": float(np.mean(shaking["true"])) if shaking["true"] else None,
        "swaps": exchanged,
    }


def _clips(found: HandFile, truth: HandFile) -> list[dict[int, int]]:
    """The times of the frames of each clip, in steps from frame to frame."""
    if truth.moments is None:
        return [{index: index for index in {*found.frames, *truth.frames}}]
    clips: dict[str, dict[int, int]] = {}
    seen: set[tuple[str, int]] = set()
    for index, (clip, time) in truth.moments.items():
        if (clip, time) in seen:
            raise InputError(
                f"Two views have the time {time} of one clip, so it is not known which follow each other.",
                "Give annotations that name the camera of each view.",
            )
        seen.add((clip, time))
        clips.setdefault(clip, {})[index] = time
    # Sets with fewer pictures a second leave out numbers: their steps are those that all clips have in common.
    steps = [np.diff(sorted(times.values())) for times in clips.values()]
    step = max(1, int(np.gcd.reduce(np.concatenate(steps))))
    return [{index: time // step for index, time in times.items()} for times in clips.values()]


def _tracks(found: HandFile, truth: HandFile, times: Mapping[int, int]) -> dict[tuple[str, str], np.ndarray]:
    """Keypoints (T, 21, 3) of each side of the found and the true hands of a clip; NaN without a hand."""
    true_times = [times[index] for index in truth.frames if index in times]
    first, last = min(true_times), max(true_times)
    numbers = np.array(sorted({time for time in times.values() if first <= time <= last}))
    # No difference reaches over a longer gap, so it needs no longer place.
    steps = np.minimum(np.diff(numbers, prepend=numbers[0]), _LONGEST_GAP)
    places = dict(zip(numbers.tolist(), np.cumsum(steps).tolist(), strict=True))
    tracks: dict[tuple[str, str], np.ndarray] = {}
    for name, source in (("found", found), ("true", truth)):
        for side in SIDES:
            rows = np.full((places[last] + 1, 21, 3), np.nan)
            for index, time in times.items():
                hands = source.frames.get(index, {})
                if side in hands and time in places:
                    rows[places[time]] = hands[side]
            tracks[name, side] = rows
    return tracks
