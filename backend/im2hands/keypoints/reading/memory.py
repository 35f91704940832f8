"""Remembers what a network read in a picture, so that no crop is read twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .readings import Part


class ReadingMemory:
    """The outputs of a network for crops of one picture. Another picture empties it."""

    def __init__(self) -> None:
        self._picture: np.ndarray | None = None
        self._outputs: dict[tuple[int, bool, bytes], np.ndarray] = {}

    def recall(self, image: np.ndarray, parts: Sequence[Part], raw: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Fill in the outputs that are known.

        Parameters
        ----------
        image : (H, W, 3) uint8
            The picture. It is known by its identity: its pixels must not change.
        parts : Sequence[Part]
            The crops, and how they are read.
        raw : sequence of (N, 128) float32
            Written: the outputs of each crop that is known.

        Returns
        -------
        list of (N,) bool
            The crops that are not known.
        """
        if self._picture is not image:
            self._picture, self._outputs = image, {}
        fresh = []
        for part, outputs in zip(parts, raw, strict=True):
            known = [self._outputs.get(_key(part, crop)) for crop in part.crops]
            for row, values in enumerate(known):
                if values is not None:
                    outputs[row] = values
            fresh.append(np.array([values is None for values in known], dtype=bool))
        return fresh

    def keep(self, parts: Sequence[Part], raw: Sequence[np.ndarray]) -> None:
        """Remember outputs for crops of the picture that was last asked for.

        Parameters
        ----------
        parts : Sequence[Part]
            The crops, and how they were read.
        raw : sequence of (N, 128) float32
            The outputs of each crop.
        """
        for part, outputs in zip(parts, raw, strict=True):
            for crop, values in zip(part.crops, outputs, strict=True):
                self._outputs[_key(part, crop)] = values.copy()


def _key(part: Part, crop: np.ndarray) -> tuple[int, bool, bytes]:
    return part.side, part.mirrored, crop.tobytes()
