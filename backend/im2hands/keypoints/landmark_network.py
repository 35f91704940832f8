"""MediaPipe's hand landmark network on crops of our own choosing, over all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import Cancelled, EnvironmentError_
from ..hands import KEYPOINT_COUNT
from .bundle import read_bundle
from .native_log import quiet_start

CROP_PIXELS = 224
# MediaPipe's tracking rule: the keypoints that span the next crop, how far it moves towards the fingers, how it grows.
_BOX_KEYPOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_BOX_SHIFT = -0.1
_BOX_SCALE = 2.0
_PRESENCE, _RIGHT, _LANDMARKS, _WORLD = "Identity_1", "Identity_2", "Identity", "Identity_3"


@dataclass(frozen=True)
class Readings:
    """What the network reads in N crops.

    Args:
        presence: (N,) in [0, 1], whether the crop shows a hand.
        right: (N,) in [0, 1], above 0.5 where it is the person's right hand (picture not mirrored).
        pixels: (N, 21, 2) pixels of the frame.
        shape: (N, 21, 3) metres, axes parallel to the camera frame.
    """

    presence: np.ndarray
    right: np.ndarray
    pixels: np.ndarray
    shape: np.ndarray

    def __len__(self) -> int:
        return len(self.presence)

    def take(self, rows: np.ndarray) -> Readings:
        """Some of the readings, by index or mask."""
        return Readings(self.presence[rows], self.right[rows], self.pixels[rows], self.shape[rows])


class LandmarkNetwork:
    """Reads 21 keypoints, presence and side in square crops.

    One single-threaded interpreter per core: on CPUs the network gains nothing from a batch axis (measured: 2.0 ms a
    crop on two cores either way), and crops of any number need no second allocation.

    Args:
        bundle: a hand bundle elsewhere; None for the one that ships with the package.
        workers: interpreters to keep; None for one per core.

    Raises:
        EnvironmentError_: ai-edge-litert is not installed, or the bundle is missing or damaged.
    """

    def __init__(self, bundle: Path | None = None, workers: int | None = None) -> None:
        model = read_bundle(bundle).landmark_network
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise EnvironmentError_(
                f"ai-edge-litert cannot be loaded: {error}.", "Install the backend's requirements again."
            ) from error
        count = workers or os.cpu_count() or 1
        try:
            self._interpreters = [Interpreter(model_content=model, num_threads=1) for _ in range(count)]
            with quiet_start():
                for interpreter in self._interpreters:
                    interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise EnvironmentError_(
                f"The hand landmark network cannot be started: {error}.", "Install im2hands again."
            ) from error
        self._input = self._interpreters[0].get_input_details()[0]["index"]
        outputs = {detail["name"]: detail["index"] for detail in self._interpreters[0].get_output_details()}
        self._outputs = [outputs[name] for name in (_PRESENCE, _RIGHT, _LANDMARKS, _WORLD)]
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="hand-crops")

    def read(
        self,
        image: np.ndarray,
        crops: np.ndarray,
        *,
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Readings:
        """Run the network on crops of one picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            crops: (N, 4) centre x, centre y, side length (pixels) and turn (radians) of square crops; a crop without
                turn stands upright, a turn of +90 degrees has its upper edge towards +x.
            done: called now and then with the number of crops finished so far.
            cancelled: asked now and then.

        Returns:
            Readings of the crops, in their order.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        crops = np.asarray(crops, dtype=np.float64).reshape(-1, 4)
        levels = _pyramid(np.ascontiguousarray(image), float(crops[:, 2].max(initial=1.0)))
        workers = len(self._interpreters)
        raw = np.empty((len(crops), 2 + 6 * KEYPOINT_COUNT), dtype=np.float32)
        step = workers * 16
        for first in range(0, len(crops), step):
            if cancelled is not None and cancelled():
                raise Cancelled("The search for hands was stopped.")
            rows = range(first, min(first + step, len(crops)))
            jobs = [
                self._pool.submit(self._read_rows, self._interpreters[w], levels, crops, rows[w::workers], raw)
                for w in range(min(workers, len(rows)))
            ]
            for job in jobs:
                job.result()
            if done is not None:
                done(rows.stop)
        return _readings(raw, crops)

    def _read_rows(
        self, interpreter: Any, levels: list[np.ndarray], crops: np.ndarray, rows: range, raw: np.ndarray
    ) -> None:
        for row in rows:
            crop = warp_crop(levels, crops[row]).astype(np.float32) / 255.0
            interpreter.set_tensor(self._input, crop[None])
            interpreter.invoke()
            raw[row] = np.concatenate([interpreter.get_tensor(index).ravel() for index in self._outputs])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def warp_crop(levels: list[np.ndarray], crop: np.ndarray) -> np.ndarray:
    """The square ``crop`` (4,) as (224, 224, 3) uint8, edges of the picture continued.

    Args:
        levels: the picture (H, W, 3) and the same at half, a quarter, ... of its size; large crops are taken from the
            small ones, so that fine texture does not alias.
        crop: as in :meth:`LandmarkNetwork.read`, in pixels of the first level.
    """
    x, y, size, turn = crop
    level = levels[min(max(int(np.log2(max(size / CROP_PIXELS, 1.0))), 0), len(levels) - 1)]
    shrink = np.array([level.shape[1] / levels[0].shape[1], level.shape[0] / levels[0].shape[0]])
    linear = _turn(np.array(turn)) * (size / CROP_PIXELS)
    offset = np.array([x, y]) + linear @ np.full(2, 0.5 - CROP_PIXELS / 2)
    matrix = np.column_stack([linear, offset + 0.5]) * shrink[:, None]
    matrix[:, 2] -= 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(level, matrix, (CROP_PIXELS, CROP_PIXELS), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def crops_around(pixels: np.ndarray) -> np.ndarray:
    """The crops in which to look again for hands seen at these keypoints: MediaPipe's tracking rule.

    Args:
        pixels: (N, 21, 2) pixels.

    Returns:
        (N, 4) crops as :meth:`LandmarkNetwork.read` takes them.
    """
    pixels = np.asarray(pixels, dtype=np.float64)
    knuckles = 0.5 * (0.5 * (pixels[:, 5] + pixels[:, 13]) + pixels[:, 9])
    up = knuckles - pixels[:, 0]
    turn = np.arctan2(up[:, 0], -up[:, 1])
    rotation = _turn(turn)
    upright = pixels[:, _BOX_KEYPOINTS] @ rotation
    low, high = upright.min(axis=1), upright.max(axis=1)
    extent = high - low
    centre = 0.5 * (low + high)
    centre[:, 1] += _BOX_SHIFT * extent[:, 1]
    centre = np.einsum("nij,nj->ni", rotation, centre)
    size = _BOX_SCALE * extent.max(axis=1)
    return np.column_stack([centre, np.maximum(size, 1.0), turn])


def _pyramid(image: np.ndarray, largest: float) -> list[np.ndarray]:
    """The picture and its halvings, as many as crops of side ``largest`` need."""
    levels = [image]
    while largest >= CROP_PIXELS * 2 ** len(levels) and min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))
    return levels


def _readings(raw: np.ndarray, crops: np.ndarray) -> Readings:
    """Network outputs in crop coordinates, brought back to the frame."""
    raw = raw.astype(np.float64)
    landmarks = raw[:, 2 : 2 + 3 * KEYPOINT_COUNT].reshape(-1, KEYPOINT_COUNT, 3)
    world = raw[:, 2 + 3 * KEYPOINT_COUNT :].reshape(-1, KEYPOINT_COUNT, 3)
    rotation = _turn(crops[:, 3])
    flat = (landmarks[..., :2] / CROP_PIXELS - 0.5) * crops[:, None, 2:3]
    pixels = flat @ rotation.transpose(0, 2, 1) + crops[:, None, :2]
    shape = np.concatenate([world[..., :2] @ rotation.transpose(0, 2, 1), world[..., 2:]], axis=-1)
    return Readings(raw[:, 0], raw[:, 1], pixels, shape)


def _turn(angle: np.ndarray) -> np.ndarray:
    """(..., 2, 2) rotations of the picture plane (x right, y down) by ``angle`` radians, clockwise as seen."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
