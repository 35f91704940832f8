"""Training samples of the reading network: crops along the hands of rendered scenes, with their targets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, SIDES, WRIST
from im2hands.keypoints.hypothesis import READING
from im2hands.keypoints.placing.joint_definitions import from_own_definition
from im2hands.keypoints.placing.lifting_features import turn_to_ray
from im2hands.keypoints.reading.crops import CROP_PIXELS, crops_around, pyramid, to_crop, turn_matrix, warp_crop
from im2hands.lab.datasets.scene import RIGHT, Scene
from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

from .two_hand_samples import spoil

PALM_M = 0.09
"""Palm length (wrist to middle knuckle) of all target shapes, metres."""

_NEAR = 0.82  # share of the crops that lie near a hand
# Errors of near and of far crops, standard deviations: shift (crop sizes), logarithm of the size, turn (radians).
_SHIFT, _SIZE, _TURN = 0.07, 0.16, 0.3
_FAR_SHIFT, _FAR_SIZE, _FAR_TURN = 0.35, 0.4, 1.3
# Distance between a crop and that of a hand: the norm of shift x, shift y, logarithm of size and turn in these units.
_UNITS = np.array([0.2, 0.2, 0.5, 0.9])
# A crop below the first distance shows the hand, one above the second does not; between them it counts neither way.
_IS, _IS_NOT = 1.0, 1.5
# Share of the samples for which the network is given a side; share of these with the wrong side for the nearest hand.
_SIDED, _OTHER_SIDE = 0.5, 0.25
# Share of the crops whose resolution is reduced, and the range of the reduced side, pixels.
_COARSE, _COARSE_PIXELS = 0.25, (48, 160)


@dataclass(frozen=True)
class HandsInPicture:
    """The K hands of a scene as targets of the network; keypoints have the reading network's joint definitions.

    Parameters
    ----------
    pixels : (K, 21, 2) float64
        Keypoints, pixels of the picture.
    shape : (K, 21, 3) float64
        Keypoints in space from their mean, metres; the third axis is the viewing ray of the hand; the palm length is
        :data:`PALM_M`.
    right : (K,) bool
        Whether each is a right hand.
    palm : (K,) float64
        Palm length in the picture, pixels.
    crops : (K, 4) float64
        Crops along the hands, as ``keypoints.reading.network.LandmarkNetwork.read`` takes them.
    """

    pixels: np.ndarray
    shape: np.ndarray
    right: np.ndarray
    palm: np.ndarray
    crops: np.ndarray


@dataclass(frozen=True)
class ReadingBatch:
    """N crops with their targets; ``right``, ``pixels``, ``shape`` and ``palm`` are valid only where ``hand`` is 1.

    Parameters
    ----------
    image : (N, 3, 224, 224) uint8
        The crops, RGB.
    side : (N,) float32
        Side that the network is given: 1 right, -1 left, 0 none.
    hand : (N,) float32
        1 where a hand (of the given side) lies along the crop, 0 where none does, NaN where it is neither near nor far.
    right : (N,) bool
        Whether it is a right hand.
    pixels : (N, 21, 2) float32
        Keypoints, pixels of the crop.
    shape : (N, 21, 3) float32
        Keypoints in space from their mean, axes of the crop, metres; see :class:`HandsInPicture`.
    palm : (N,) float32
        Palm length, pixels of the crop.
    """

    image: Tensor
    side: Tensor
    hand: Tensor
    right: Tensor
    pixels: Tensor
    shape: Tensor
    palm: Tensor

    def to(self, device: torch.device) -> ReadingBatch:
        """Copy the batch to a device."""
        return ReadingBatch(*(value.to(device) for value in vars(self).values()))


def hands_in_picture(scene: Scene) -> HandsInPicture:
    """Make the targets of a scene's hands; a scene without hands gives arrays of length 0."""
    camera = camera_of(scene)
    present = np.flatnonzero(scene.present)
    pixels, shapes, palms = [], [], []
    for k in present:
        points = scene.keypoints[k].astype(np.float64)
        seen = camera.project(points)
        turn = turn_to_ray(camera.unproject(seen, 1.0).mean(axis=0))
        length = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
        at, shape = from_own_definition(seen, (points - points[WRIST]) @ turn * (PALM_M / length), SIDES[k], READING)
        pixels.append(at)
        shapes.append(shape - shape.mean(axis=0))
        palms.append(palm_pixels(points, camera))
    seen = np.array(pixels).reshape(-1, KEYPOINT_COUNT, 2)
    return HandsInPicture(
        seen, np.array(shapes).reshape(-1, KEYPOINT_COUNT, 3), present + 1 == RIGHT, np.array(palms), crops_around(seen)
    )  # fmt: skip


def hand_of_crop(hands: HandsInPicture, crop: np.ndarray, side: int) -> tuple[int, float]:
    """Find the hand that a crop shows.

    Parameters
    ----------
    hands : HandsInPicture
        The hands of the scene.
    crop : (4,) float64
        The crop, as ``keypoints.reading.network.LandmarkNetwork.read`` takes it.
    side : int
        1 for right hands only, -1 for left hands only, 0 for any.

    Returns
    -------
    index : int
        Index of the nearest hand; -1 if there are no hands.
    there : float
        1 if the crop lies along that hand, 0 if it does not, NaN if it is neither near nor far.
    """
    if not len(hands.crops):
        return -1, 0.0
    away = crop - hands.crops
    away[:, :2] /= hands.crops[:, 2:3]
    away[:, 2] = np.log(crop[2] / hands.crops[:, 2])
    away[:, 3] = np.angle(np.exp(1j * away[:, 3]))
    far = np.linalg.norm(away / _UNITS, axis=1)
    if side:
        far = np.where(hands.right == (side > 0), far, np.inf)
    best = int(np.argmin(far))
    return best, 1.0 if far[best] < _IS else 0.0 if far[best] > _IS_NOT else np.nan


def draw_crop(hands: HandsInPicture, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Draw a random crop of a scene.

    Parameters
    ----------
    hands : HandsInPicture
        The hands of the scene. The crop lies near one of them or far off; without hands, anywhere.
    size : (int, int)
        Width and height of the picture, pixels.
    rng : numpy.random.Generator
        Source of all random numbers.

    Returns
    -------
    crop : (4,) float64
        The crop, as ``keypoints.reading.network.LandmarkNetwork.read`` takes it.
    side : int
        Side that the network is given: 1 right, -1 left, 0 none.
    """
    near, sided = rng.random() < _NEAR, rng.random() < _SIDED
    if not len(hands.crops):
        width = float(rng.uniform(0.3, 1.0)) * max(size)
        crop = np.array([*rng.uniform((0, 0), size), width, rng.uniform(-np.pi, np.pi)])
        return crop, int(rng.choice((-1, 1))) if sided else 0
    k = int(rng.integers(len(hands.crops)))
    crop = hands.crops[k].copy()
    shift, grow, turn = (_SHIFT, _SIZE, _TURN) if near else (_FAR_SHIFT, _FAR_SIZE, _FAR_TURN)
    crop[:2] += rng.normal(0, shift, 2) * crop[2]
    crop[2] *= np.exp(rng.normal(0, grow))
    crop[3] += rng.normal(0, turn)
    own = 1 if hands.right[k] else -1
    return crop, (own if rng.random() >= _OTHER_SIDE else -own) if sided else 0


def make_sample(scene: Scene, rng: np.random.Generator, plain: bool = False) -> tuple[np.ndarray, ...]:
    """Make one training sample of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    rng : numpy.random.Generator
        Source of all random numbers.
    plain : bool
        Whether to leave out augmentation and mirroring, for validation.

    Returns
    -------
    tuple of ndarray
        The fields of :class:`ReadingBatch` in order, without their first axis; the picture is (224, 224, 3) uint8.
    """
    hands, image = hands_in_picture(scene), scene.image()
    crop, side = draw_crop(hands, (image.shape[1], image.shape[0]), rng)
    picture = warp_crop(pyramid(image, float(crop[2])), crop)
    k, there = hand_of_crop(hands, crop, side)
    pixels, shape = np.zeros((KEYPOINT_COUNT, 2)), np.zeros((KEYPOINT_COUNT, 3))
    palm, right = 1.0, False
    if there == 1:
        pixels, shape = to_crop(hands.pixels[k], crop), hands.shape[k].copy()
        shape[:, :2] = shape[:, :2] @ turn_matrix(crop[3])
        palm, right = float(hands.palm[k] * CROP_PIXELS / crop[2]), bool(hands.right[k])
    if not plain:
        picture = spoil(coarse(picture, rng), rng)
        if rng.random() < 0.5:
            picture, pixels, shape = picture[:, ::-1], pixels * (-1, 1) + (CROP_PIXELS, 0), shape * (-1, 1, 1)
            right, side = not right, -side
    labels = (np.asarray(value) for value in (np.float32(side), np.float32(there), np.bool_(right)))
    return picture, *labels, pixels, shape, np.asarray(np.float32(palm))


def make_batch(samples: list[tuple[np.ndarray, ...]]) -> ReadingBatch:
    """Stack samples of :func:`make_sample` into a batch, on the CPU."""
    parts = [np.stack(values) for values in zip(*samples, strict=True)]
    image = torch.from_numpy(np.ascontiguousarray(parts[0])).permute(0, 3, 1, 2)
    side, there, right, pixels, shape, palm = (torch.from_numpy(part) for part in parts[1:])
    return ReadingBatch(image, side, there, right, pixels.float(), shape.float(), palm)


def coarse(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce the resolution of some crops (224, 224, 3) uint8; the others are returned as they are."""
    if rng.random() >= _COARSE:
        return picture
    side = int(np.exp(rng.uniform(*np.log(_COARSE_PIXELS))))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (CROP_PIXELS, CROP_PIXELS), interpolation=cv2.INTER_LINEAR)
