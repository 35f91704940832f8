"""MediaPipe's palm detector with a low threshold: all palms it scores, not only the certain ones.

MediaPipe's tasks API drops palms below a threshold and averages palms that overlap. Where hands touch or cover each
other both steps lose the second hand, although the detector scored it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.keypoints.reading.litert import Interpreters
from im2hands.weights.mediapipe_bundle import read_bundle

from .two_hand_pictures import apply, inverse, letterbox, square_part, warp

Part = tuple[np.ndarray, float]
"""Centre (2,) and side length of a square of a picture, pixels."""

PIXELS = 192
LEAST_SCORE = 0.02
"""Least score of a palm to be kept."""

MOST_PALMS = 12
# The detector's anchors: a 24 x 24 grid with two per place, then a 12 x 12 grid with six per place.
_GRIDS = ((24, 2), (12, 6))
_WRIST, _MIDDLE = 0, 2  # indices among the seven points per anchor: wrist, middle MCP
_SCORES, _BOXES = 1, 18  # numbers per anchor in the two outputs, which identify them
# MediaPipe's rule for the crop of a palm's whole hand: size and shift towards the fingers, box sides.
_CROP_SIZE, _CROP_UP = 2.6, 0.5
# Two detections within this distance (box sides) and turn (radians) are one palm.
_SAME_PLACE, _SAME_TURN = 0.2, 0.5
# How many of the highest scores are decoded.
_BEST = 200


@dataclass(frozen=True)
class SuspectedPalms:
    """Palms that may be there, highest score first.

    Parameters
    ----------
    score : (N,) float64
        The detector's probabilities.
    centre : (N, 2) float64
        Centres of the palm boxes, pixels of the picture.
    size : (N,) float64
        Side lengths of the palm boxes, pixels of the picture.
    turn : (N,) float64
        Directions from wrist to middle MCP, radians: 0 upright, +90 degrees towards +x.
    """

    score: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    turn: np.ndarray

    def crops(self) -> np.ndarray:
        """Return crops (N, 4) of the whole hands, as in ``reading.network.LandmarkNetwork.read``."""
        up = np.column_stack([np.sin(self.turn), -np.cos(self.turn)])
        return np.column_stack([self.centre + _CROP_UP * self.size[:, None] * up, _CROP_SIZE * self.size, self.turn])


class PalmDetector:
    """Runs MediaPipe's palm detector on all CPU cores; not thread-safe.

    Parameters
    ----------
    bundle : Path or None
        Another MediaPipe hand bundle. None for the one that ships.
    workers : int or None
        Number of interpreters, one thread each. None for one per granted core.

    Raises
    ------
    SetupError
        If ai-edge-litert is not installed, or the bundle is missing or damaged.
    """

    def __init__(self, bundle: Path | None = None, workers: int | None = None) -> None:
        self._workers = workers or granted_cores()
        self._network = Interpreters(read_bundle(bundle).palm_detector, self._workers)
        self._outputs = {detail["shape"][-1]: detail["index"] for detail in self._network.outputs}
        self._places = np.concatenate([_grid(count, answers) for count, answers in _GRIDS])

    def suspect(self, image: np.ndarray, part: Part | None = None) -> SuspectedPalms:
        """Return the palms that may be in a picture.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        part : tuple[(2,) float64, float] or None
            Centre and side length of a square to search, pixels. None for the whole picture.

        Returns
        -------
        SuspectedPalms
            Each palm once, pixels of the picture.
        """
        return self._suspect(image, part)

    def suspect_each(self, image: np.ndarray, parts: Sequence[Part | None]) -> list[SuspectedPalms]:
        """Return the palms that may be in each of several parts of a picture, computed at the same time.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        parts : Sequence[tuple[(2,) float64, float] or None]
            The parts, as in ``suspect``.

        Returns
        -------
        list[SuspectedPalms]
            The result of ``suspect`` for each part.
        """
        with ThreadPoolExecutor(self._workers, thread_name_prefix="palms") as pool:
            return list(pool.map(lambda part: self._suspect(image, part), parts))

    def _suspect(self, image: np.ndarray, part: Part | None) -> SuspectedPalms:
        whole = letterbox((image.shape[1], image.shape[0]), PIXELS)
        affine = whole if part is None else square_part(*part, PIXELS)
        picture = warp(image, affine, PIXELS).astype(np.float32) / 255
        told = self._network.run(picture, [self._outputs[_SCORES], self._outputs[_BOXES]])
        logits, boxes = told[0][0, :, 0].astype(np.float64), told[1][0].astype(np.float64)
        score = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        rows = np.argsort(-score, kind="stable")[:_BEST]
        rows = rows[score[rows] >= LEAST_SCORE]
        back = inverse(affine)
        points = boxes[rows, 4:].reshape(-1, 7, 2)
        up = points[:, _MIDDLE] - points[:, _WRIST]
        palms = SuspectedPalms(
            score[rows],
            apply(back, boxes[rows, :2] + PIXELS * self._places[rows]),
            boxes[rows, 2:4].max(axis=1) * float(back[0, 0]),
            np.arctan2(up[:, 0], -up[:, 1]),
        )
        return distinct(palms)


def distinct(palms: SuspectedPalms) -> SuspectedPalms:
    """Drop palms that coincide with one of a higher score.

    Parameters
    ----------
    palms : SuspectedPalms
        Palms, highest score first.

    Returns
    -------
    SuspectedPalms
        At most ``MOST_PALMS`` palms.
    """
    kept: list[int] = []
    for k in range(len(palms.score)):
        apart = np.linalg.norm(palms.centre[kept] - palms.centre[k], axis=-1) > _SAME_PLACE * palms.size[kept]
        turned = np.abs(np.angle(np.exp(1j * (palms.turn[kept] - palms.turn[k])))) > _SAME_TURN
        if len(kept) < MOST_PALMS and bool((apart | turned).all()):
            kept.append(k)
    return SuspectedPalms(palms.score[kept], palms.centre[kept], palms.size[kept], palms.turn[kept])


def joined(*some: SuspectedPalms) -> SuspectedPalms:
    """Merge the palms of several runs on one picture, each palm once.

    Parameters
    ----------
    *some : SuspectedPalms
        The palms of each run.

    Returns
    -------
    SuspectedPalms
        At most ``MOST_PALMS`` palms, highest score first.
    """
    parts = [np.concatenate([getattr(palms, name) for palms in some]) for name in ("score", "centre", "size", "turn")]
    order = np.argsort(-parts[0], kind="stable")
    return distinct(SuspectedPalms(*(part[order] for part in parts)))


def _grid(count: int, answers: int) -> np.ndarray:
    """Return centres of a grid's places in a unit square, row by row, one per anchor: (count**2 * answers, 2)."""
    steps = (np.arange(count) + 0.5) / count
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), answers, axis=0)
