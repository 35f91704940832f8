"""Pairs for keypoint refinement, from scene sets: what a detector says of two hands and what is true, with the crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import exact_dtype
from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import KEYPOINT_COUNT, SIDES, Camera, HandKeypoints, TwoHands
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.media.source import Frame
from im2hands.networks.keypoint_refinement import prepare_keypoints
from im2hands.surfaces.hand_crop import crop_hands, normalised

from .scene_batches import aligned

Detector = Callable[[Tensor, Tensor], Tensor]
"""Keypoints (B, 21, 3) of B hands and (B, 21), 1 where they are seen, to keypoints with errors, as
:func:`.keypoint_errors.simulate_errors` makes them."""

PictureChange = Callable[[np.ndarray], np.ndarray]
"""A picture (H, W, 3) uint8 to one of other colours, as :func:`.augmentation.augment` makes it."""


@dataclass(frozen=True)
class KeypointPairs:
    """B pictures with the keypoints of both hands, ready for the network.

    Args:
        image: (B, 3, 256, 256) float32, the crops, ImageNet-normalised. relative: (B, 2, 21, 3) float64, what was
            detected, see :class:`~im2hands.networks.keypoint_refinement.PreparedKeypoints`. target: the same of the
            true keypoints, relative to their own left middle MCP (specification 8).
    """

    image: Tensor
    relative: Tensor
    target: Tensor

    def to(self, device: torch.device) -> KeypointPairs:
        """On that device; keypoints in its most exact type."""
        exact = exact_dtype(device)
        return KeypointPairs(
            self.image.to(device), self.relative.to(exact).to(device), self.target.to(exact).to(device)
        )


def scenes_with_two_hands(scenes: SceneSet) -> np.ndarray:
    """(K,) int64 indices of the scenes that have both hands.

    Raises:
        InputError: there are none, or a shard is missing or damaged.
    """
    found = [index for index in range(len(scenes)) if scenes.scene(index).present.all()]
    if not found:
        raise InputError(f"No scene of {scenes.folder} has two hands.", "Make a set whose modes have two hands.")
    return np.array(found, np.int64)


def make_pairs(
    scenes: Sequence[Scene], detector: Detector, *, take_detected: np.ndarray | None = None,
    change: PictureChange = lambda picture: picture,
) -> KeypointPairs:  # fmt: skip
    """Detected and true keypoints of scenes that have both hands.

    What a detector really found (``detected`` of the set) is taken where it is there, at the place and of the size of
    the true hand: a picture tells neither, and a take keeps one size of hand. Else errors are drawn. The crop lies
    around the detected keypoints, as it does in a reconstruction.

    Args:
        detector: draws the errors; called once, for all hands. take_detected: (B, 2) bool, whether to take what was
            found; None: always. change: of the crops.
    """
    truth = np.stack([scene.keypoints for scene in scenes]).astype(np.float64)
    visible = np.stack([scene.visible for scene in scenes]).astype(np.float64)
    rows = (-1, KEYPOINT_COUNT, 3)
    drawn = detector(torch.from_numpy(truth.reshape(rows)), torch.from_numpy(visible.reshape(rows[:2])))
    given = drawn.numpy().reshape(truth.shape)
    for row, scene in enumerate(scenes):
        for hand in range(len(SIDES)):
            found = None if scene.detected is None else scene.detected[hand].astype(np.float64)
            if found is not None and np.isfinite(found).all() and (take_detected is None or take_detected[row, hand]):
                given[row, hand] = aligned(found, truth[row, hand])
    image = np.stack([normalised(change(_crop(*pair))) for pair in zip(scenes, given, truth, strict=True)])
    relative, target = (_prepared(torch.from_numpy(keypoints)) for keypoints in (given, truth))
    return KeypointPairs(torch.from_numpy(image), relative, target)


def _crop(scene: Scene, given: np.ndarray, truth: np.ndarray) -> np.ndarray:
    fx, fy, cx, cy = (float(value) for value in scene.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]])
    width, height = (int(value) for value in scene.size)
    camera, frame = Camera(fx, fy, cx, cy, width, height), Frame(1, 0.0, scene.image(), "scene")
    try:
        return crop_hands(frame, camera, _hands(given)).image
    except FrameError:  # detected so wrong that it lies outside the picture: a frame that would fail
        return crop_hands(frame, camera, _hands(truth)).image


def _hands(keypoints: np.ndarray) -> TwoHands:
    pixels, sure = np.zeros((KEYPOINT_COUNT, 2)), np.ones(KEYPOINT_COUNT)
    left, right = (HandKeypoints(side, keypoints[k], pixels, sure, 1.0, "scene") for k, side in enumerate(SIDES))
    return TwoHands(left, right)


def _prepared(keypoints: Tensor) -> Tensor:
    still = torch.eye(3)[None], torch.zeros(1, 3)
    return prepare_keypoints(keypoints, keypoints[:, :, 0], *still).relative
