"""The network that reads one hand in a crop, on crops of our own choosing, over all cores: MediaPipe's hand landmark
network, or the reading network, which began as that one and was taught hands that others hide."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.core.errors import Cancelled, SetupError
from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.core.native_log import quiet_start
from im2hands.weights.mediapipe_bundle import read_bundle

if TYPE_CHECKING:
    from im2hands.networks.reading_network import ReadingNetwork

CROP_PIXELS = 224
# MediaPipe's tracking rule: the keypoints that span the next crop, how far it moves towards the fingers, how it grows.
_BOX_KEYPOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_BOX_SHIFT = -0.1
_BOX_SCALE = 2.0
_LOG_SPREAD = (-4.5, 1.0)  # as in networks.reading_network, which needs torch
_PRESENCE, _RIGHT, _LANDMARKS, _WORLD = "Identity_1", "Identity_2", "Identity", "Identity_3"


@dataclass(frozen=True)
class Readings:
    """What the network reads in N crops.

    Args:
        presence: (N,) in [0, 1], whether the crop shows a hand.
        right: (N,) in [0, 1], above 0.5 where it is the person's right hand (picture not mirrored).
        pixels: (N, 21, 2) pixels of the frame.
        shape: (N, 21, 3) metres, axes parallel to the camera frame.
        spread: (N, 21) how far off the network thinks a coordinate of ``pixels`` is on average, palm lengths; 0 where
            it does not say.
    """

    presence: np.ndarray
    right: np.ndarray
    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        return len(self.presence)

    def take(self, rows: np.ndarray) -> Readings:
        """Some of the readings, by index or mask."""
        return Readings(*(value[rows] for value in vars(self).values()))


class LandmarkNetwork:
    """Reads 21 keypoints, presence and side in square crops.

    One single-threaded interpreter per granted core: on CPUs the network gains nothing from a batch axis (measured:
    2.0 ms a crop on two cores either way), and crops of any number need no second allocation.

    Args:
        bundle: a hand bundle elsewhere; None for the one that ships with the package.
        workers: interpreters to keep; None for one per granted core.
        reading: the reading network, which takes the place of MediaPipe's; None for that one.

    Raises:
        SetupError: ai-edge-litert is not installed, or the bundle is missing or damaged.
    """

    def __init__(
        self, bundle: Path | None = None, workers: int | None = None, reading: ReadingNetwork | None = None
    ) -> None:
        model = read_bundle(bundle).landmark_network
        self._workers = workers or granted_cores()
        self._reading, self._mediapipe = reading, model
        if reading is not None:
            from im2hands.weights.reading_network import as_tflite

            model = as_tflite(reading)
        self._plain: LandmarkNetwork | None = None
        self._by_side = {0: _interpreters(model, self._workers)}
        first = self._by_side[0][0]
        self._input = first.get_input_details()[0]["index"]
        outputs = {detail["name"]: detail["index"] for detail in first.get_output_details()}
        self._outputs = [outputs[name] for name in (_PRESENCE, _RIGHT, _LANDMARKS, _WORLD)]
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="hand-crops")

    @classmethod
    def bundled(cls, workers: int | None = None, beside: Path | None = None) -> LandmarkNetwork:
        """The reading network beside another network's weights, else the one that ships, else MediaPipe's.

        Args:
            workers: interpreters to keep; None for one per granted core. beside: a weights file.
        """
        from im2hands.weights.reading_network import beside_or_bundled, load_reading_network

        path = beside_or_bundled(beside)
        return cls(workers=workers, reading=load_reading_network(path) if path.is_file() else None)

    def mediapipe(self) -> LandmarkNetwork:
        """MediaPipe's network, on the same threads: it was taught on photographs what is no hand."""
        if self._reading is None:
            return self
        if self._plain is None:
            self._plain = copy(self)
            self._plain._reading = None
            self._plain._by_side = {0: _interpreters(self._mediapipe, self._workers)}
        return self._plain

    @property
    def takes_sides(self) -> bool:
        """Whether it can be told which side to look for."""
        return self._reading is not None

    def read(
        self,
        image: np.ndarray,
        crops: np.ndarray,
        *,
        side: int = 0,
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Readings:
        """Run the network on crops of one picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            crops: (N, 4) centre x, centre y, side length (pixels) and turn (radians) of square crops; a crop without
                turn stands upright, a turn of +90 degrees has its upper edge towards +x.
            side: 1 to look for a right hand only, -1 for a left one, 0 for any; MediaPipe's network always takes any.
            done: called now and then with the number of crops finished so far.
            cancelled: asked now and then.

        Returns:
            Readings of the crops, in their order.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        crops = np.asarray(crops, dtype=np.float64).reshape(-1, 4)
        levels = pyramid(np.ascontiguousarray(image), float(crops[:, 2].max(initial=1.0)))
        interpreters, workers = self._looking_for(side), self._workers
        raw = np.empty((len(crops), 2 + 6 * KEYPOINT_COUNT), dtype=np.float32)
        step = workers * 16
        for first in range(0, len(crops), step):
            if cancelled is not None and cancelled():
                raise Cancelled("The search for hands was stopped.")
            rows = range(first, min(first + step, len(crops)))
            jobs = [
                self._pool.submit(self._read_rows, interpreters[w], levels, crops, rows[w::workers], raw)
                for w in range(min(workers, len(rows)))
            ]
            for job in jobs:
                job.result()
            if done is not None:
                done(rows.stop)
        return _readings(raw, crops, self._reading is not None)

    def _looking_for(self, side: int) -> list[Any]:
        if self._reading is None:
            return self._by_side[0]
        if side not in self._by_side:
            from im2hands.weights.reading_network import as_tflite

            self._by_side[side] = _interpreters(as_tflite(self._reading, side), self._workers)
        return self._by_side[side]

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


def _interpreters(model: bytes, count: int) -> list[Any]:
    """Interpreters of a TFLite model, one thread each, ready to be run."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise SetupError(
            f"ai-edge-litert cannot be loaded: {error}.", "Install the backend's requirements again."
        ) from error
    try:
        made = [Interpreter(model_content=model, num_threads=1) for _ in range(count)]
        with quiet_start():
            for interpreter in made:
                interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise SetupError(f"The hand landmark network cannot be started: {error}.", "Install im2hands again.") from error
    return made


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
    linear = turn_matrix(np.array(turn)) * (size / CROP_PIXELS)
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
    rotation = turn_matrix(turn)
    upright = pixels[:, _BOX_KEYPOINTS] @ rotation
    low, high = upright.min(axis=1), upright.max(axis=1)
    extent = high - low
    centre = 0.5 * (low + high)
    centre[:, 1] += _BOX_SHIFT * extent[:, 1]
    centre = np.einsum("nij,nj->ni", rotation, centre)
    size = _BOX_SCALE * extent.max(axis=1)
    return np.column_stack([centre, np.maximum(size, 1.0), turn])


def pyramid(image: np.ndarray, largest: float) -> list[np.ndarray]:
    """The picture and its halvings, as many as crops of side ``largest`` need."""
    levels = [image]
    while largest >= CROP_PIXELS * 2 ** len(levels) and min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))
    return levels


def to_crop(pixels: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of the frame as the network tells them in a crop (4,): from its upper left corner, (0, 0)."""
    return (pixels - crop[:2]) @ turn_matrix(crop[3]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2


def _readings(raw: np.ndarray, crops: np.ndarray, spreads: bool) -> Readings:
    """Network outputs in crop coordinates, brought back to the frame.

    ``spreads``: third coordinates are the logarithms of spreads.
    """
    raw = raw.astype(np.float64)
    landmarks = raw[:, 2 : 2 + 3 * KEYPOINT_COUNT].reshape(-1, KEYPOINT_COUNT, 3)
    world = raw[:, 2 + 3 * KEYPOINT_COUNT :].reshape(-1, KEYPOINT_COUNT, 3)
    rotation = turn_matrix(crops[:, 3])
    flat = (landmarks[..., :2] / CROP_PIXELS - 0.5) * crops[:, None, 2:3]
    pixels = flat @ rotation.transpose(0, 2, 1) + crops[:, None, :2]
    shape = np.concatenate([world[..., :2] @ rotation.transpose(0, 2, 1), world[..., 2:]], axis=-1)
    told = np.exp(np.clip(landmarks[..., 2], *_LOG_SPREAD)) if spreads else np.zeros(landmarks.shape[:2])
    return Readings(raw[:, 0], raw[:, 1], pixels, shape, told)


def turn_matrix(angle: np.ndarray) -> np.ndarray:
    """(..., 2, 2) rotations of the picture plane (x right, y down) by ``angle`` radians, clockwise as seen."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
