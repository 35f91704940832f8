"""Reads the keypoints of one hand in a crop, with MediaPipe's hand landmark network or ours.

Our reading network has the architecture of MediaPipe's and was trained further from its weights on hands that are
partly hidden by other hands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from im2hands.core.devices import granted_cores
from im2hands.core.errors import Cancelled
from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.hypothesis import READ, READING
from im2hands.weights.mediapipe_bundle import read_bundle

from .crops import contiguous, pyramid, warp_crop
from .litert import Interpreters
from .memory import ReadingMemory
from .readings import Part, Readings, readings_of

if TYPE_CHECKING:
    import torch

    from im2hands.networks.reading_network import ReadingNetwork, SkinHead

    from .device_crops import DeviceCrops

_OUTPUTS = ("Identity_1", "Identity_2", "Identity", "Identity_3")  # presence, right, landmarks, world


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
        self._memory: ReadingMemory | None = None
        self._seeing: Interpreters | None = None
        self._making = threading.Lock()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="hand-crops")
        self._on_device = _on_device(reading, device)
        if self._on_device is not None:
            return
        if reading is not None:
            from im2hands.weights.mediapipe_landmarks import as_tflite

            model = as_tflite(reading)
        self._file = model
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

    def remembering(self) -> LandmarkNetwork:
        """Return the network on the same threads; of the picture that it reads it reads no crop twice in one way.

        Use it for one picture and drop it. MediaPipe's network of it remembers, too.
        """
        if self._memory is not None:
            return self
        made = copy(self)
        made._memory = ReadingMemory()
        if self._reading is not None:
            made._plain = self.mediapipe().remembering()
        return made

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
        return self.read_parts(image, [Part(crops, side)], done=done, cancelled=cancelled)[0]

    def read_parts(
        self,
        image: np.ndarray,
        parts: Sequence[Part],
        *,
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Readings]:
        """Run the network on crops of a picture, in several ways at once: few crops fill all cores.

        A crop of several parts is cut out once.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB picture.
        parts : Sequence[Part]
            The crops.
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
        parts = [replace(part, crops=np.asarray(part.crops, np.float64).reshape(-1, 4)) for part in parts]
        raw = [np.empty((len(part.crops), 2 + 6 * KEYPOINT_COUNT), dtype=np.float32) for part in parts]
        if self._memory is None:
            self._run(image, parts, raw, done, cancelled)
        else:
            fresh = self._memory.recall(image, parts, raw)
            asked = [replace(part, crops=part.crops[new]) for part, new in zip(parts, fresh, strict=True)]
            told = [outputs[new] for outputs, new in zip(raw, fresh, strict=True)]
            self._run(image, asked, told, done, cancelled)
            self._memory.keep(asked, told)
            for outputs, new, values in zip(raw, fresh, told, strict=True):
                outputs[new] = values
        given = zip(raw, parts, strict=True)
        return [readings_of(told, part.crops, self._reading is not None, part.mirrored) for told, part in given]

    def _run(
        self, image: np.ndarray, parts: Sequence[Part], raw: Sequence[np.ndarray],
        done: Callable[[int], None] | None, cancelled: Callable[[], bool] | None,
    ) -> None:  # fmt: skip
        """Run the network on crops of a picture and write its outputs (N, 128) for each part into ``raw``."""
        crops = [part.crops for part in parts]
        largest = max((float(some[:, 2].max(initial=1.0)) for some in crops), default=1.0)
        levels = pyramid(contiguous(image), largest)
        if self._on_device is not None:
            self._on_device.read(parts, crops, levels, raw, self._pool, done, cancelled)
            return
        own = [self._looking_for(part.told) for part in parts]
        alike: dict[bytes, list[tuple[int, int]]] = {}
        for part, some in enumerate(crops):
            for row, crop in enumerate(some):
                alike.setdefault(crop.tobytes(), []).append((part, row))

        def run(rows: Sequence[tuple[int, int]]) -> None:
            part, row = rows[0]
            picture = warp_crop(levels, crops[part][row])
            for part, row in rows:
                raw[part][row] = _told(own[part], parts[part].seen(picture), self._outputs)

        self._on_all_cores(run, list(alike.values()), done, cancelled)

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
                from im2hands.weights.mediapipe_landmarks import showing_features

                self._seeing = Interpreters(showing_features(self._file_for(1)), self._workers)
        (output,) = (detail["index"] for detail in self._seeing.outputs if detail["name"] not in _OUTPUTS)
        return np.stack([_told(self._seeing, picture, [output]) for picture in pictures])

    def _looking_for(self, side: int) -> Interpreters:
        """Return the interpreters for a side (1 right, -1 left, 0 any)."""
        if self._reading is None:
            return self._by_side[0]
        if side not in self._by_side:
            self._by_side[side] = Interpreters(self._file_for(side), self._workers)
        return self._by_side[side]

    def _file_for(self, side: int) -> bytes:
        """Return the TFLite file for a side."""
        if self._reading is None:
            return self._mediapipe
        from im2hands.weights.mediapipe_landmarks import reading_side

        return reading_side(self._file, self._reading, side)

    def _on_all_cores(
        self,
        run: Callable[[Sequence[Any]], None],
        groups: Sequence[Sequence[Any]],
        done: Callable[[int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Call ``run`` with each of the groups of crops; see ``read_parts``."""

        def work(some: Sequence[Sequence[Any]]) -> None:
            for group in some:
                run(group)

        step, finished = self._workers * 8, 0
        for first in range(0, len(groups), step):
            if cancelled is not None and cancelled():
                raise Cancelled("The search for hands was stopped.")
            batch = groups[first : first + step]
            workers = min(self._workers, len(batch))
            jobs = [self._pool.submit(work, batch[w :: self._workers]) for w in range(workers)]
            for job in jobs:
                job.result()
            finished += sum(len(group) for group in batch)
            if done is not None:
                done(finished)

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
    """Run a network on a crop and return its outputs one after the other."""
    return np.concatenate([value.ravel() for value in network.run(picture.astype(np.float32) / 255.0, outputs)])
