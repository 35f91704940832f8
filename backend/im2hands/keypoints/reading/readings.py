"""What a network reads in crops: the ways of reading, and the outputs in pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT

from .crops import CROP_PIXELS, turn_matrix

_LOG_SPREAD = (-4.5, 1.0)  # networks.reading_network.LOG_SPREAD, repeated because that module imports torch


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
    """Crops that are read in one way.

    Parameters
    ----------
    crops : (N, 4) float64
        Crops as in ``LandmarkNetwork.read``.
    side : int
        Side of the hands to read, as in ``LandmarkNetwork.read``.
    mirrored : bool
        Whether the network is given the mirror images of the crops. The readings are those of the picture as it is.
    """

    crops: np.ndarray
    side: int = 0
    mirrored: bool = False

    @property
    def told(self) -> int:
        """The side that the network is told."""
        return -self.side if self.mirrored else self.side

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture of a crop as the network is given it."""
        return np.asarray(cv2.flip(picture, 1)) if self.mirrored else picture


def readings_of(raw: np.ndarray, crops: np.ndarray, spreads: bool, mirrored: bool) -> Readings:
    """Convert network outputs from crop coordinates to pixels of the frame.

    Parameters
    ----------
    raw : (N, 128) float32
        For each crop presence, probability of a right hand, keypoints in the crop and in metres.
    crops : (N, 4) float64
        The crops, as in ``LandmarkNetwork.read``.
    spreads : bool
        Whether the keypoints' third coordinates are logarithms of spreads (reading network) instead of depths
        (MediaPipe).
    mirrored : bool
        Whether the outputs are those of the crops' mirror images.

    Returns
    -------
    Readings
        The readings, of the picture as it is.
    """
    raw = raw.astype(np.float64)
    if mirrored:
        raw[:, 1] = 1 - raw[:, 1]
        raw[:, 2 : 2 + 3 * KEYPOINT_COUNT : 3] = CROP_PIXELS - raw[:, 2 : 2 + 3 * KEYPOINT_COUNT : 3]
        raw[:, 2 + 3 * KEYPOINT_COUNT :: 3] *= -1
    landmarks = raw[:, 2 : 2 + 3 * KEYPOINT_COUNT].reshape(-1, KEYPOINT_COUNT, 3)
    world = raw[:, 2 + 3 * KEYPOINT_COUNT :].reshape(-1, KEYPOINT_COUNT, 3)
    rotation = turn_matrix(crops[:, 3])
    flat = (landmarks[..., :2] / CROP_PIXELS - 0.5) * crops[:, None, 2:3]
    pixels = flat @ rotation.transpose(0, 2, 1) + crops[:, None, :2]
    shape = np.concatenate([world[..., :2] @ rotation.transpose(0, 2, 1), world[..., 2:]], axis=-1)
    told = np.exp(np.clip(landmarks[..., 2], *_LOG_SPREAD)) if spreads else np.zeros(landmarks.shape[:2])
    return Readings(raw[:, 0], raw[:, 1], pixels, shape, told)
