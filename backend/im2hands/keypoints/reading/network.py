"""Reads the keypoints of one hand in a crop, on all CPU cores, with MediaPipe's hand landmark network or ours.

Our reading network has the architecture of MediaPipe's and was trained further from its weights on hands that are
partly hidden by other hands.
"""

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
# MediaPipe's tracking rule: the keypoints that span the next crop, its shift towards the fingers, its growth.
_BOX_KEYPOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_BOX_SHIFT = -0.1
_BOX_SCALE = 2.0
_LOG_SPREAD = (-4.5, 1.0)  # networks.reading_network.LOG_SPREAD, repeated because that module imports torch
_PRESENCE, _RIGHT, _LANDMARKS, _WORLD = "Identity_1", "Identity_2", "Identity", "Identity_3"


@dataclass(frozen=True)
class Readings:
    """Network outputs for N crops.

    Parameters
    ----------
    presence : (N,) float64
        Probability that the crop shows a hand, in [0, 1].
    right : (N,) float64
        Probability that it is the person's right hand (picture not mirrored), in [0, 1].
    pixels : (N, 21, 2) float64
        Keypoints in pixels of the frame.
    shape : (N, 21, 3) float64
        Keypoints in metres, axes parallel to the camera frame.
    spread : (N, 21) float64
        Predicted mean error of a coordinate of ``pixels``, palm lengths. 0 for MediaPipe's network, which predicts
        none.
    """

    presence: np.ndarray
    right: np.ndarray
    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.presence)

    def take(self, rows: np.ndarray) -> Readings:
        """Return some of the readings.

        Parameters
        ----------
        rows : (K,) int or (N,) bool
            Row numbers, or a mask.

        Returns
        -------
        Readings
            The selected rows.
        """
        return Readings(*(value[rows] for value in vars(self).values()))


class LandmarkNetwork:
    """Reads 21 keypoints, presence and side in square crops.

    It keeps one single-threaded interpreter per granted core. On CPUs the network gains nothing from a batch axis
    (measured: 2.0 ms per crop on two cores either way), and without one any number of crops runs without a new
    allocation.

    Parameters
    ----------
    bundle : Path or None
        Another MediaPipe hand bundle. None for the one that ships.
    workers : int or None
        Number of interpreters. None for one per granted core.
    reading : ReadingNetwork or None
        The reading network, which replaces MediaPipe's network. None to run MediaPipe's.

    Raises
    ------
    SetupError
        If ai-edge-litert is not installed, or the bundle is missing or damaged.
    """

    def __init__(
        self, bundle: Path | None = None, workers: int | None = None, reading: ReadingNetwork | None = None
    ) -> None:
        model = read_bundle(bundle).landmark_network
        self._workers = workers or granted_cores()
        self._reading, self._mediapipe = reading, model
        if reading is not None:
            from im2hands.weights.mediapipe_landmarks import as_tflite

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
        """Load the reading network if it is installed, else MediaPipe's.

        The reading network's weights beside ``beside`` take precedence over those that ship.

        Parameters
        ----------
        workers : int or None
            Number of interpreters. None for one per granted core.
        beside : Path or None
            A weights file of another network, for example of the two-hand network.

        Returns
        -------
        LandmarkNetwork
            The network.
        """
        from im2hands.weights.keypoint_networks import READING

        path = READING.beside(beside)
        return cls(workers=workers, reading=READING.load(path) if path.is_file() else None)

    def mediapipe(self) -> LandmarkNetwork:
        """Return MediaPipe's network on the same threads.

        It was trained on photographs and distinguishes hands from other objects there better than the reading network.
        """
        if self._reading is None:
            return self
        if self._plain is None:
            self._plain = copy(self)
            self._plain._reading = None
            self._plain._by_side = {0: _interpreters(self._mediapipe, self._workers)}
        return self._plain

    @property
    def takes_sides(self) -> bool:
        """Whether ``read`` can be restricted to left or right hands."""
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

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        crops : (N, 4) float64
            Square crops: centre x, centre y, side length (pixels) and turn (radians). Turn 0 is upright; at a turn of
            +90 degrees the crop's upper edge points towards +x.
        side : int
            1 to read right hands only, -1 to read left hands only, 0 to read any hand. MediaPipe's network ignores it.
        done : callable or None
            Called now and then with the number of crops finished so far.
        cancelled : callable or None
            Called now and then. If it returns True, the reading ends.

        Returns
        -------
        Readings
            The readings, in the order of the crops.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
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
        """Return the interpreters for a side (1 right, -1 left, 0 any)."""
        if self._reading is None:
            return self._by_side[0]
        if side not in self._by_side:
            from im2hands.weights.mediapipe_landmarks import as_tflite

            self._by_side[side] = _interpreters(as_tflite(self._reading, side), self._workers)
        return self._by_side[side]

    def _read_rows(
        self, interpreter: Any, levels: list[np.ndarray], crops: np.ndarray, rows: range, raw: np.ndarray
    ) -> None:
        """Run one interpreter on some rows of ``crops`` and write its outputs into ``raw``."""
        for row in rows:
            crop = warp_crop(levels, crops[row]).astype(np.float32) / 255.0
            interpreter.set_tensor(self._input, crop[None])
            interpreter.invoke()
            raw[row] = np.concatenate([interpreter.get_tensor(index).ravel() for index in self._outputs])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _interpreters(model: bytes, count: int) -> list[Any]:
    """Make interpreters of a TFLite model, one thread each, ready to run."""
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
    """Cut a square crop out of a picture and scale it to the network's input size.

    Parameters
    ----------
    levels : list of (H, W, 3) uint8
        The picture and its halvings, see ``pyramid``. Large crops are taken from the smaller levels, so that fine
        texture does not alias.
    crop : (4,) float64
        The crop as in ``LandmarkNetwork.read``, in pixels of the first level.

    Returns
    -------
    (224, 224, 3) uint8
        The crop. Beyond the picture its edge pixels are repeated.
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
    """Return the crops that show the hands with these keypoints: MediaPipe's tracking rule.

    Parameters
    ----------
    pixels : (N, 21, 2) float64
        Keypoints, pixels.

    Returns
    -------
    (N, 4) float64
        Crops as in ``LandmarkNetwork.read``.
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
    """Return a picture and its halvings.

    Parameters
    ----------
    image : (H, W, 3) uint8
        The picture.
    largest : float
        Side length of the largest crop, pixels. It decides the number of levels.

    Returns
    -------
    list of (H, W, 3) uint8
        The levels, the full picture first.
    """
    levels = [image]
    while largest >= CROP_PIXELS * 2 ** len(levels) and min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA))
    return levels


def to_crop(pixels: np.ndarray, crop: np.ndarray) -> np.ndarray:
    """Map pixels of the frame to the coordinates of a crop.

    Parameters
    ----------
    pixels : (..., 2) float64
        Pixels of the frame.
    crop : (4,) float64
        The crop as in ``LandmarkNetwork.read``.

    Returns
    -------
    (..., 2) float64
        Pixels of the crop as the network outputs them: (0, 0) is its upper left corner.
    """
    return (pixels - crop[:2]) @ turn_matrix(crop[3]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2


def _readings(raw: np.ndarray, crops: np.ndarray, spreads: bool) -> Readings:
    """Convert network outputs (N, 128) from crop coordinates to pixels of the frame.

    ``spreads``: the keypoints' third coordinates are logarithms of spreads (reading network) instead of depths
    (MediaPipe).
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
    """Return rotations of the picture plane (x right, y down).

    Parameters
    ----------
    angle : (...) float64
        Radians, clockwise as seen.

    Returns
    -------
    (..., 2, 2) float64
        The rotation matrices.
    """
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
