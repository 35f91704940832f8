"""On-disk cache of detected keypoints, so that tables with other surface weights need not detect them again.

A file belongs to one keypoint source with its weights, one set and one program version. All of these are part of its
name, so several tables may share a folder. Each line holds one scene or one whole clip. Every process writes a file of
its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, HandKeypoints, TwoHands
from im2hands.core.unpacking import parse_json
from im2hands.lab.evaluation.held_out import TrueScene

from .rows import append_line, whole_lines
from .scene import Found, Keypoints, look, look_at_clip

_ARRAYS = ("positions", "pixels", "confidence")


def kept_name(source: str, made_from: Mapping[str, Any]) -> str:
    """Return the common beginning of the names of a source's files.

    Parameters
    ----------
    source : str
        Name of the keypoint source.
    made_from : Mapping
        Everything its keypoints depend on; JSON values.

    Returns
    -------
    str
        The source's name and a hash of ``made_from``.
    """
    text = json.dumps(made_from, sort_keys=True)
    return f"{source}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class KeptKeypoints:
    """A keypoint source whose results are cached on disk.

    Parameters
    ----------
    folder : Path
        Folder of the cache files.
    name : str
        Beginning of the file names, see ``kept_name``.
    make : callable
        Makes the keypoint source. It is called when keypoints that are not in the cache are needed.

    Raises
    ------
    InputError
        A file does not hold keypoints.
    """

    def __init__(self, folder: Path, name: str, make: Callable[[], Keypoints]) -> None:
        self._path, self._make = folder / f"{name}-{platform.node()}-{os.getpid()}.jsonl", make
        self._source: Keypoints | None = None
        self._known: dict[int, list[Found]] = {}
        for path in sorted(folder.glob(f"{name}-*.jsonl")):
            try:
                for line in whole_lines(path):
                    data = parse_json(line.encode("utf-8"))
                    self._known[int(data["number"])] = [_unpack(frame) for frame in data["frames"]]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path} does not hold keypoints: {error}.", "Delete it, and run again.") from error

    def knows(self, number: int) -> bool:
        """Return whether a scene or clip, given by its number, is in the cache."""
        return number in self._known

    def open(self) -> None:
        """Make the keypoint source if it does not exist.

        Raises
        ------
        InputError
            The source cannot be made.
        WeightsError
            Its weights are missing or damaged.
        """
        self._source = self._source or self._make()

    def found(self, scene: TrueScene) -> Found:
        """Return the hands in a scene and the seconds that their detection took, from the cache if possible."""
        return self._found(scene.number, lambda source: [look(scene, source)])[0]

    def found_in(self, scenes: Sequence[TrueScene], number: int) -> list[Found]:
        """Return the hands in the frames of a clip, which are chosen together, from the cache if possible.

        Parameters
        ----------
        scenes : sequence of TrueScene
            Frames of the clip, in order.
        number : int
            Number of the clip.

        Returns
        -------
        list of (TwoHands, float)
            Hands (camera frame, metres) and the seconds of their detection, for each frame.

        Raises
        ------
        InputError
            The source cannot be made.
        WeightsError
            The source's weights are missing or damaged.
        """
        return self._found(number, lambda source: look_at_clip(scenes, source))

    def _found(self, number: int, find: Callable[[Keypoints], list[Found]]) -> list[Found]:
        if number not in self._known:
            self.open()
            assert self._source is not None
            self._known[number] = find(self._source)
            frames = [_pack(*found) for found in self._known[number]]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self._path, {"number": number, "frames": frames})
        return self._known[number]

    def close(self) -> None:
        """Close the keypoint source; the cache stays."""
        if self._source is not None:
            self._source.close()
            self._source = None


def _pack(hands: TwoHands, seconds: float) -> dict[str, Any]:
    packed: dict[str, Any] = {"seconds": seconds}
    for hand in hands.present():
        arrays = {name: np.asarray(getattr(hand, name), np.float64).tolist() for name in _ARRAYS}
        packed[hand.side] = {**arrays, "score": float(hand.score), "source": hand.source}
        packed[hand.side]["thickness"] = float(hand.thickness)
    return packed


def _unpack(packed: Mapping[str, Any]) -> Found:
    hands = {}
    for side in SIDES:
        if side in packed:
            arrays = {name: np.array(packed[side][name], np.float64) for name in _ARRAYS}
            own = packed[side]
            hands[side] = HandKeypoints(
                side, **arrays, score=own["score"], source=own["source"], thickness=own["thickness"]
            )
    return TwoHands(**hands), float(packed["seconds"])
