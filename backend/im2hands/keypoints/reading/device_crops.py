"""Reads crops of hands on a graphics card, many at once, with the reading network or MediaPipe's.

The readings are those of the interpreters on the processor, up to rounding: MediaPipe's network and ours have the same
layers, and PyTorch has both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from im2hands.core.errors import Cancelled
from im2hands.networks.chunks import Chunks

from .crops import warp_crop

if TYPE_CHECKING:
    from im2hands.networks.reading_network import CropReadings, ReadingNetwork

CROPS = 64
"""Crops read at once: about 0.7 GB of memory. Where that is too much, fewer."""


class DeviceCrops:
    """Runs a network on crops.

    Parameters
    ----------
    model : ReadingNetwork
        The network; it is moved to the device.
    device : torch.device
        The device.
    sided : bool
        Whether the network can be told which side to read.
    """

    def __init__(self, model: ReadingNetwork, device: torch.device, *, sided: bool = True) -> None:
        self.device, self._sided = device, sided
        self._model = model.to(device).eval().channels_last()
        self._chunks = Chunks(smallest=1)

    @classmethod
    def mediapipe(cls, device: torch.device) -> DeviceCrops:
        """MediaPipe's landmark network.

        Parameters
        ----------
        device : torch.device
            The device.
        """
        from im2hands.weights.mediapipe_landmarks import mediapipe_start

        return cls(mediapipe_start(), device, sided=False)

    def read(
        self,
        parts: Sequence[Any],
        crops: Sequence[np.ndarray],
        levels: list[np.ndarray],
        raw: Sequence[np.ndarray],
        pool: ThreadPoolExecutor,
        done: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Read crops of a picture; see ``LandmarkNetwork.read_parts``.

        Parameters
        ----------
        parts : sequence of Part
            The crops, and how they are read.
        crops : sequence of (N, 4) float64
            The crops of each.
        levels : list of (H, W, 3) uint8
            The picture's pyramid, from ``crops.pyramid``.
        raw : sequence of (N, 128) float32
            Written: for each crop presence, probability of a right hand, keypoints in the crop and in metres.
        pool : ThreadPoolExecutor
            Cuts the crops out.
        done : callable, optional
            Called now and then with the number of crops finished so far.
        cancelled : callable, optional
            Called now and then. If it returns True, the reading ends.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True.
        """
        rows = [(part, row) for part, some in enumerate(crops) for row in range(len(some))]
        for first in range(0, len(rows), CROPS):
            if cancelled is not None and cancelled():
                raise Cancelled("The search for hands was stopped.")
            batch = rows[first : first + CROPS]
            pictures = np.stack(
                list(pool.map(lambda at: parts[at[0]].seen(warp_crop(levels, crops[at[0]][at[1]])), batch))
            )
            sides = np.array([parts[part].told for part, _ in batch], np.float32)
            told = self._over(pictures, partial(self._told, sides))
            for (part, row), values in zip(batch, told, strict=True):
                raw[part][row] = values
            if done is not None:
                done(first + len(batch))

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Compute the vectors from which the network reads crops of right hands.

        Parameters
        ----------
        pictures : (N, 224, 224, 3) uint8
            The crops.

        Returns
        -------
        (N, 1152) float32
            The vectors.
        """
        ones = np.ones(len(pictures), np.float32)
        return self._over(pictures, lambda images, rows: self._model.see(images, self._side(ones[rows])))

    def _told(self, sides: np.ndarray, images: Tensor, rows: slice) -> Tensor:
        return _outputs(self._model(images, self._side(sides[rows])))

    def _side(self, sides: np.ndarray) -> Tensor | None:
        """The sides (N,) on the device; None where the network cannot be told, or all are to be read."""
        return torch.from_numpy(sides).to(self.device) if self._sided and sides.any() else None

    def _over(self, pictures: np.ndarray, evaluate: Callable[[Tensor, slice], Tensor]) -> np.ndarray:
        """Call ``evaluate`` with crops (N, 3, 224, 224), as many at once as the memory allows, and download."""

        def some(rows: slice) -> Tensor:
            images = torch.from_numpy(np.ascontiguousarray(pictures[rows])).to(self.device)
            images = images.permute(0, 3, 1, 2).float() / 255.0
            return evaluate(images, rows)

        with torch.inference_mode():
            found: np.ndarray = self._chunks.over(len(pictures), CROPS, some).float().cpu().numpy()
        return found


def _outputs(made: CropReadings) -> Tensor:
    """Readings of N crops as (N, 128), in the order of MediaPipe's outputs."""
    landmarks = torch.cat([made.pixels, made.spread.log()[..., None]], dim=-1).flatten(1)
    sure = torch.sigmoid(torch.stack([made.hand, made.right], dim=1))
    return torch.cat([sure, landmarks, made.shape.flatten(1)], dim=1)
