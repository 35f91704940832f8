"""Training samples of the reading network: crops along the hands of rendered scenes, and what is to be read in them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, WRIST
from im2hands.keypoints.placing.joint_definitions import from_own_definition
from im2hands.keypoints.placing.lifting_features import turn_to_ray
from im2hands.keypoints.reading.network import CROP_PIXELS, crops_around, pyramid, to_crop, turn_matrix, warp_crop
from im2hands.lab.datasets.scene import RIGHT, Scene
from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

from .two_hand_samples import spoil

PALM_M = 0.09
"""Metres from the wrist to the middle knuckle of all shapes that are taught."""

# Share of the crops that lie near a hand, and how far off: shift (crop sizes), logarithm of the size, turn (radians).
_NEAR = 0.82
_SHIFT, _SIZE, _TURN = 0.07, 0.16, 0.3
_FAR_SHIFT, _FAR_SIZE, _FAR_TURN = 0.35, 0.4, 1.3
# Of what is too far off to be the hand of the crop: units, and from how many of them on; less than the first it is.
_UNITS = np.array([0.2, 0.2, 0.5, 0.9])
_IS, _IS_NOT = 1.0, 1.5
# How often a side is looked for, and of these how often the other one than that of the hand the crop was laid along.
_SIDED, _OTHER_SIDE = 0.5, 0.25
# How often a crop has less detail than it could, and how little (pixels a side).
_COARSE, _COARSE_PIXELS = 0.25, (48, 160)


@dataclass(frozen=True)
class HandsInPicture:
    """The hands of a scene as the network is to read them.

    Args:
        pixels: (K, 21, 2) pixels. shape: (K, 21, 3) metres, from their mean, as seen along each hand's own ray, palms
            of :data:`PALM_M`. Both as MediaPipe defines its keypoints. right: (K,) bool. palm: (K,) pixels of a palm
            length. crops: (K, 4), the crops laid along them.
    """

    pixels: np.ndarray
    shape: np.ndarray
    right: np.ndarray
    palm: np.ndarray
    crops: np.ndarray


@dataclass(frozen=True)
class ReadingBatch:
    """N crops.

    Args:
        image: (N, 3, 224, 224) uint8. side: (N,) -1, 0, 1. hand: (N,) 1 where there is one along the crop, 0 where not,
            NaN where it is a matter of taste. right: (N,) bool. pixels: (N, 21, 2) of the crop. shape: (N, 21, 3).
            palm: (N,) pixels of the crop. All but ``image``, ``side`` and ``hand`` count where ``hand`` is 1.
    """

    image: Tensor
    side: Tensor
    hand: Tensor
    right: Tensor
    pixels: Tensor
    shape: Tensor
    palm: Tensor

    def to(self, device: torch.device) -> ReadingBatch:
        """The batch on another device."""
        return ReadingBatch(*(value.to(device) for value in vars(self).values()))


def hands_in_picture(scene: Scene) -> HandsInPicture:
    """The hands of a scene; none makes arrays of length 0."""
    camera = camera_of(scene)
    present = np.flatnonzero(scene.present)
    pixels, shapes, palms = [], [], []
    for k in present:
        points = scene.keypoints[k].astype(np.float64)
        seen = camera.project(points)
        turn = turn_to_ray(camera.unproject(seen, 1.0).mean(axis=0))
        length = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
        at, shape = from_own_definition(seen, (points - points[WRIST]) @ turn * (PALM_M / length))
        pixels.append(at)
        shapes.append(shape - shape.mean(axis=0))
        palms.append(palm_pixels(points, camera))
    seen = np.array(pixels).reshape(-1, KEYPOINT_COUNT, 2)
    return HandsInPicture(
        seen, np.array(shapes).reshape(-1, KEYPOINT_COUNT, 3), present + 1 == RIGHT, np.array(palms), crops_around(seen)
    )  # fmt: skip


def hand_of_crop(hands: HandsInPicture, crop: np.ndarray, side: int) -> tuple[int, float]:
    """The hand along which a crop lies, and whether that is so: 1, 0, or NaN where it is neither near nor far.

    Args:
        crop: (4,) as :meth:`~im2hands.keypoints.reading.network.LandmarkNetwork.read` takes it. side: 1 for a right
            hand only, -1 for a left one, 0 for any.
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
    """A crop (4,), and the side that is looked for in it; ``size``: width and height of the picture."""
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
    """One sample, as the entries of :class:`ReadingBatch` without their first axes; a picture (224, 224, 3).

    Args:
        plain: neither spoilt nor mirrored, for validation.
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
        picture = spoil(_coarse(picture, rng), rng)
        if rng.random() < 0.5:
            picture, pixels, shape = picture[:, ::-1], pixels * (-1, 1) + (CROP_PIXELS, 0), shape * (-1, 1, 1)
            right, side = not right, -side
    told = (np.asarray(value) for value in (np.float32(side), np.float32(there), np.bool_(right)))
    return picture, *told, pixels, shape, np.asarray(np.float32(palm))


def make_batch(samples: list[tuple[np.ndarray, ...]]) -> ReadingBatch:
    """Samples together."""
    parts = [np.stack(values) for values in zip(*samples, strict=True)]
    image = torch.from_numpy(np.ascontiguousarray(parts[0])).permute(0, 3, 1, 2)
    side, there, right, pixels, shape, palm = (torch.from_numpy(part) for part in parts[1:])
    return ReadingBatch(image, side, there, right, pixels.float(), shape.float(), palm)


def _coarse(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= _COARSE:
        return picture
    side = int(np.exp(rng.uniform(*np.log(_COARSE_PIXELS))))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (CROP_PIXELS, CROP_PIXELS), interpolation=cv2.INTER_LINEAR)
