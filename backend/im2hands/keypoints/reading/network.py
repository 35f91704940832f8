"""Reads the keypoints of one hand in a crop, with MediaPipe's hand landmark network or ours.

Our reading network has the architecture of MediaPipe's and was trained further from its weights on hands that are
partly hidden by other hands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.core.errors import Cancelled
from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.hypothesis import READ, READING
from im2hands.weights.mediapipe_bundle import read_bundle

from .crops import CROP_PIXELS, contiguous, pyramid, turn_matrix, warp_crop
from .litert import Interpreters

if TYPE_CHECKING:
    import torch

    from im2hands.networks.reading_network import ReadingNetwork, SkinHead

    from .device_crops import DeviceCrops

_LOG_SPREAD = (-4.5, 1.0)  # networks.reading_network.LOG_SPREAD, repeated because that module imports torch
_OUTPUTS = ("Identity_1", "Identity_2", "Identity", "Identity_3")  # presence, right, landmarks, world


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


@dataclass(frozen=True)
class Part:
    """Crops of one picture.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB picture.
    crops : (N, 4) float64
        Crops as in ``LandmarkNetwork.read``.
    side : int
        Side of the hands to read, as in ``LandmarkNetwork.read``.
    """

    image: np.ndarray
    crops: np.ndarray
    side: int = 0


class LandmarkNetwork:
    """Reads 21 keypoints, presence and side in square crops.

    On the processor it keeps one single-threaded interpreter per granted core. There the network gains nothing from a
    batch axis (measured: 2.0 ms per crop on two cores either way), and without one any number of crops runs without a
    new allocation. On another device ``DeviceCrops`` reads many crops at once.

    Parameters
    ----------
    bundle : Path or None
        Another MediaPipe hand bundle. None for the one that ships.
    workers : int or None
        Number of interpreters. None for one per granted core.
    reading : ReadingNetwork or None
        The reading network, which replaces MediaPipe's network. None to run MediaPipe's.
    device : torch.device or None
        Where the network runs. None for the processor.

    Raises
    ------
    SetupError
        If ai-edge-litert is not installed, or the bundle is missing or damaged.
    """

    def __init__(
        self, bundle: Path | None = None, workers: int | None = None, reading: ReadingNetwork | None = None,
        device: torch.device | None = None,
    ) -> None:  # fmt: skip
        model = read_bundle(bundle).landmark_network
        self._workers = workers or granted_cores()
        self._reading, self._mediapipe = reading, model
        self._plain: LandmarkNetwork | None = None
        self._seeing: Interpreters | None = None
        self._making = threading.Lock()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="hand-crops")
        self._on_device = _on_device(reading, device)
        if self._on_device is not None:
            return
        if reading is not None:
            from im2hands.weights.mediapipe_landmarks import as_tflite

            model = as_tflite(reading)
        self._by_side = {0: Interpreters(model, self._workers)}
        outputs = {detail["name"]: detail["index"] for detail in self._by_side[0].outputs}
        self._outputs = [outputs[name] for name in _OUTPUTS]

    @classmethod
    def bundled(
        cls, workers: int | None = None, beside: Path | None = None, device: torch.device | None = None
    ) -> LandmarkNetwork:
        """Load the reading network if it is installed, else MediaPipe's.

        The reading network's weights beside ``beside`` take precedence over those that ship.

        Parameters
        ----------
        workers : int or None
            Number of interpreters. None for one per granted core.
        beside : Path or None
            A weights file of another network, for example of the two-hand network.
        device : torch.device or None
            Where the network runs. None for the processor.

        Returns
        -------
        LandmarkNetwork
            The network.
        """
        from im2hands.weights.keypoint_networks import READING

        path = READING.beside(beside)
        return cls(workers=workers, reading=READING.load(path, device) if path.is_file() else None, device=device)

    def mediapipe(self) -> LandmarkNetwork:
        """Return MediaPipe's network on the same threads.

        It was trained on photographs and distinguishes hands from other objects there better than the reading network.
        """
        if self._reading is None:
            return self
        if self._plain is None:
            self._plain = copy(self)
            self._plain._reading, self._plain._seeing = None, None
            if self._on_device is not None:
                self._plain._on_device = _on_device(None, self._on_device.device)
            else:
                self._plain._by_side = {0: Interpreters(self._mediapipe, self._workers)}
        return self._plain

    @property
    def source(self) -> str:
        """Source of hands with this network's keypoints; it says which definition of the joints they follow."""
        return READ if self._reading is None else READING

    @property
    def takes_sides(self) -> bool:
        """Whether ``read`` can be restricted to left or right hands."""
        return self._reading is not None

    @property
    def skin_head(self) -> SkinHead | None:
        """The head for points on the skin, see ``skin.read_skin``. None if the network was not taught them."""
        return self._reading.skin if self._reading is not None else None

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
        return self.read_parts([Part(image, crops, side)], done=done, cancelled=cancelled)[0]

    def read_parts(
        self,
        parts: Sequence[Part],
        *,
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Readings]:
        """Run the network on crops of several pictures, or for several sides, at once: few crops fill all cores.

        Parameters
        ----------
        parts : Sequence[Part]
            The pictures and their crops.
        done : callable or None
            Called now and then with the number of crops finished so far, of all parts together.
        cancelled : callable or None
            Called now and then. If it returns True, the reading ends.

        Returns
        -------
        list[Readings]
            The readings of each part, in the order of its crops.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """
        crops = [np.asarray(part.crops, dtype=np.float64).reshape(-1, 4) for part in parts]
        raw = [np.empty((len(some), 2 + 6 * KEYPOINT_COUNT), dtype=np.float32) for some in crops]
        levels = [
            pyramid(contiguous(part.image), float(some[:, 2].max(initial=1.0)))
            for part, some in zip(parts, crops, strict=True)
        ]
        if self._on_device is not None:
            self._on_device.read(parts, crops, levels, raw, self._pool, done, cancelled)
            return [_readings(told, some, self._reading is not None) for told, some in zip(raw, crops, strict=True)]
        own = [self._looking_for(part.side) for part in parts]

        def run(which: tuple[int, int]) -> None:
            part, row = which
            raw[part][row] = _told(own[part], warp_crop(levels[part], crops[part][row]), self._outputs)

        rows = [(part, row) for part, some in enumerate(crops) for row in range(len(some))]
        self._on_all_cores(run, rows, done, cancelled)
        return [_readings(told, some, self._reading is not None) for told, some in zip(raw, crops, strict=True)]

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Compute the vectors from which the network reads crops of right hands.

        Unlike the readings they are computed on the calling thread, and several threads may ask for them at a time.

        Parameters
        ----------
        pictures : (N, 224, 224, 3) uint8
            The crops, from ``warp_crop``.

        Returns
        -------
        (N, 1152) float32
            The vectors; ``networks.reading_network.ReadingNetwork.see`` computes the same.
        """
        if self._on_device is not None:
            return self._on_device.features(pictures)
        with self._making:
            if self._seeing is None:
                from im2hands.weights.mediapipe_landmarks import as_tflite, showing_features

                model = self._mediapipe if self._reading is None else as_tflite(self._reading, 1)
                self._seeing = Interpreters(showing_features(model), self._workers)
        (output,) = (detail["index"] for detail in self._seeing.outputs if detail["name"] not in _OUTPUTS)
        return np.stack([_told(self._seeing, picture, [output]) for picture in pictures])

    def _looking_for(self, side: int) -> Interpreters:
        """Return the interpreters for a side (1 right, -1 left, 0 any)."""
        if self._reading is None:
            return self._by_side[0]
        if side not in self._by_side:
            from im2hands.weights.mediapipe_landmarks import as_tflite

            self._by_side[side] = Interpreters(as_tflite(self._reading, side), self._workers)
        return self._by_side[side]

    def _on_all_cores(
        self,
        run: Callable[[Any], None],
        rows: Sequence[Any],
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Call ``run`` with each of the rows; see ``read_parts``."""

        def work(some: Sequence[Any]) -> None:
            for row in some:
                run(row)

        step = self._workers * 16
        for first in range(0, len(rows), step):
            if cancelled is not None and cancelled():
                raise Cancelled("The search for hands was stopped.")
            batch = rows[first : first + step]
            workers = min(self._workers, len(batch))
            jobs = [self._pool.submit(work, batch[w :: self._workers]) for w in range(workers)]
            for job in jobs:
                job.result()
            if done is not None:
                done(first + len(batch))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _on_device(reading: ReadingNetwork | None, device: torch.device | None) -> DeviceCrops | None:
    """The networks for another device than the processor, MediaPipe's without ``reading``."""
    if device is None or device.type == "cpu":
        return None
    from .device_crops import DeviceCrops

    return DeviceCrops.mediapipe(device) if reading is None else DeviceCrops(reading, device)


def _told(network: Interpreters, picture: np.ndarray, outputs: Sequence[int]) -> np.ndarray:
    """Run one of the interpreters on a crop and return its outputs one after the other."""
    with network.one() as interpreter:
        interpreter.set_tensor(network.input, (picture.astype(np.float32) / 255.0)[None])
        interpreter.invoke()
        return np.concatenate([interpreter.get_tensor(index).ravel() for index in outputs])


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
