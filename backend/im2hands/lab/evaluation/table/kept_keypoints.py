"""Keypoints that the table has found, kept on disk: other surface weights need not look for them again.

A file belongs to one source with its weights, one set and one program, all of which are in its name, so a folder may
serve several tables. A line is a scene, or a whole clip. Every process writes a file of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, HandKeypoints, TwoHands
from im2hands.lab.evaluation.held_out import TrueScene

from .rows import append_line, whole_lines
from .scene import Found, Keypoints, look

_ARRAYS = ("positions", "pixels", "confidence")


def kept_name(source: str, made_from: Mapping[str, Any]) -> str:
    """What the files of a source begin with; ``made_from``: all that its keypoints depend on."""
    text = json.dumps(made_from, sort_keys=True)
    return f"{source}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class KeptKeypoints:
    """A source of keypoints that remembers what it found.

    Args:
        folder: of the files. name: see :func:`kept_name`. make: makes the source; called when something is not kept.

    Raises:
        InputError: a file that holds something else.
    """

    def __init__(self, folder: Path, name: str, make: Callable[[], Keypoints]) -> None:
        self._path, self._make = folder / f"{name}-{os.getpid()}.jsonl", make
        self._source: Keypoints | None = None
        self._known: dict[int, list[Found]] = {}
        for path in sorted(folder.glob(f"{name}-*.jsonl")):
            try:
                for line in whole_lines(path):
                    data = json.loads(line)
                    self._known[int(data["number"])] = [_unpack(frame) for frame in data["frames"]]
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path} does not hold keypoints: {error}.", "Delete it, and run again.") from error

    def knows(self, number: int) -> bool:
        """Whether a scene, or a clip, is kept."""
        return number in self._known

    def open(self) -> None:
        """Make the source, if that was not done.

        Raises:
            InputError, WeightsError: it cannot be made.
        """
        self._source = self._source or self._make()

    def found(self, scene: TrueScene) -> Found:
        """The hands in a scene, and the seconds that it took to find them, when they were found."""
        return self.found_in([scene], scene.number)[0]

    def found_in(self, scenes: Sequence[TrueScene], number: int) -> list[Found]:
        """The hands in the frames of a clip, in their order; ``number``: of the clip."""
        if number not in self._known:
            self.open()
            assert self._source is not None
            self._known[number] = [look(scene, self._source) for scene in scenes]
            frames = [_pack(*found) for found in self._known[number]]
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self._path, {"number": number, "frames": frames})
        return self._known[number]

    def close(self) -> None:
        """Close the source; what is known stays."""
        if self._source is not None:
            self._source.close()
            self._source = None


def _pack(hands: TwoHands, seconds: float) -> dict[str, Any]:
    packed: dict[str, Any] = {"seconds": seconds}
    for hand in hands.present():
        arrays = {name: np.asarray(getattr(hand, name), np.float64).tolist() for name in _ARRAYS}
        packed[hand.side] = {**arrays, "score": float(hand.score), "source": hand.source}
    return packed


def _unpack(packed: Mapping[str, Any]) -> Found:
    hands = {}
    for side in SIDES:
        if side in packed:
            arrays = {name: np.array(packed[side][name], np.float64) for name in _ARRAYS}
            hands[side] = HandKeypoints(side, **arrays, score=packed[side]["score"], source=packed[side]["source"])
    return TwoHands(**hands), float(packed["seconds"])
