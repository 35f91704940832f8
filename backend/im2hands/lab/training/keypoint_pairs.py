"""Training data of keypoint refinement, from scene sets: a crop with detected and true keypoints of two hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.core.camera import Camera
from im2hands.core.devices import to_device
from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import KEYPOINT_COUNT, SIDES, HandKeypoints, TwoHands
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.media.source import Frame
from im2hands.networks.keypoint_refinement import prepare_keypoints
from im2hands.surfaces.hand_crop import crop_hands, normalised

Detector = Callable[[Tensor, Tensor], Tensor]
"""A function from true keypoints (B, 21, 3) and visibility (B, 21) to keypoints with errors (B, 21, 3), such as
``keypoint_errors.simulate_errors``."""

PictureChange = Callable[[np.ndarray], np.ndarray]
"""A function from a picture (H, W, 3) uint8 to an augmented one, such as ``augmentation.augment``."""


@dataclass(frozen=True)
class KeypointPairs:
    """B crops with the keypoints of both hands, ready for the network.

    Parameters
    ----------
    image : (B, 3, 256, 256) float32
        The crops, ImageNet-normalised.
    relative : (B, 2, 21, 3) float64
        Detected keypoints as ``networks.keypoint_refinement.PreparedKeypoints.relative``: halo order, millimetres,
        relative to the detected middle MCP of the left hand.
    target : (B, 2, 21, 3) float64
        True keypoints in the same form, relative to the true middle MCP of the left hand.
    """

    image: Tensor
    relative: Tensor
    target: Tensor

    def to(self, device: torch.device) -> KeypointPairs:
        """Copy the pairs to a device; see ``core.devices.to_device``."""
        return KeypointPairs(*(to_device(value, device) for value in (self.image, self.relative, self.target)))


def aligned(detected: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Move and scale detected keypoints to the place and size of the true hand.

    A single picture shows neither, so a network cannot learn them. Shape and orientation stay as detected.

    Parameters
    ----------
    detected : (21, 3) float64
        Detected keypoints, metres.
    exact : (21, 3) float
        True keypoints, same frame, metres.

    Returns
    -------
    (21, 3) float64
        The detected keypoints with the mean and size of the true ones.
    """
    middle, wanted = detected.mean(0), exact.mean(0)
    scale = np.linalg.norm(exact - wanted) / max(float(np.linalg.norm(detected - middle)), 1e-9)
    return (detected - middle) * scale + wanted


def scenes_with_two_hands(scenes: SceneSet) -> np.ndarray:
    """Find the scenes that have both hands.

    Parameters
    ----------
    scenes : SceneSet
        The scene set.

    Returns
    -------
    (K,) int64
        Indices of the scenes, ascending.

    Raises
    ------
    InputError
        No scene has both hands, or a shard is missing or damaged.
    """
    found = [index for index in range(len(scenes)) if scenes.scene(index).present.all()]
    if not found:
        raise InputError(f"No scene of {scenes.folder} has two hands.", "Make a set whose modes have two hands.")
    return np.array(found, np.int64)


def make_pairs(
    scenes: Sequence[Scene], detector: Detector, *, take_detected: np.ndarray | None = None,
    change: PictureChange = lambda picture: picture,
) -> KeypointPairs:  # fmt: skip
    """Make the pairs of scenes that have both hands.

    Where the set has detected keypoints of a hand, the pair uses them, moved and scaled to the place and size of the
    true hand: a picture shows neither, and a take keeps one hand size. Otherwise the true keypoints get simulated
    errors. The crop lies around the detected keypoints, as in a reconstruction.

    Parameters
    ----------
    scenes : sequence of Scene
        B scenes with both hands.
    detector : Detector
        Simulates the errors; called once, for all 2 B hands.
    take_detected : (B, 2) bool, optional
        Which hands may use the detected keypoints of the set. None means all.
    change : PictureChange
        Applied to each crop.

    Returns
    -------
    KeypointPairs
        The B pairs, on the CPU.
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
    except FrameError:  # the detected hands lie outside the picture, where a reconstruction would fail
        return crop_hands(frame, camera, _hands(truth)).image


def _hands(keypoints: np.ndarray) -> TwoHands:
    pixels, sure = np.zeros((KEYPOINT_COUNT, 2)), np.ones(KEYPOINT_COUNT)
    left, right = (HandKeypoints(side, keypoints[k], pixels, sure, 1.0, "scene") for k, side in enumerate(SIDES))
    return TwoHands(left, right)


def _prepared(keypoints: Tensor) -> Tensor:
    still = torch.eye(3)[None], torch.zeros(1, 3)
    return prepare_keypoints(keypoints, keypoints[:, :, 0], *still).relative
