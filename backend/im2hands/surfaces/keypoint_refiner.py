"""Keypoint refinement of a frame: corrects the 3-D keypoints of both hands with the picture."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import (
    KEYPOINT_NAMES,
    KEYPOINT_PARENTS,
    SIDES,
    HandKeypoints,
    RefinedHands,
    TwoHands,
    check_keypoints,
)
from im2hands.media.source import Frame
from im2hands.networks.keypoint_refinement import place_keypoints, prepare_keypoints
from im2hands.weights.folder import weights_folder
from im2hands.weights.layouts import KEYPOINT_REFINEMENT
from im2hands.weights.published import load_network

from .hand_crop import crop_hands

LARGEST_MOVE_M = 0.04
"""Largest correction of a keypoint, metres. A larger one is taken for a failure of the network."""

BONE_LIMITS_M = (0.004, 0.16)
"""Shortest and longest bone of a hand, metres: from a child's fingertip to a large palm."""

_log = logging.getLogger(__name__)


class KeypointRefiner:
    """Corrects the keypoints of two hands with the keypoint refinement network. One instance serves many frames.

    The network predicts the shape of each hand, not its position. Each hand keeps the mean of its keypoints; only the
    positions of the keypoints around it change. The observed pixels and the confidences are kept. A hand whose new
    keypoints are implausible keeps its old ones.

    Parameters
    ----------
    network : torch.nn.Module
        As ``networks.keypoint_refinement.KeypointRefinement``: maps the picture (1, 3, 256, 256) and keypoints (1, 2,
        21, 3), halo order, millimetres, to keypoints.
    device : torch.device
        Where the network runs.
    provenance : dict, optional
        Names and sha256 of the weights, recorded in the take.
    """

    def __init__(self, network: nn.Module, *, device: torch.device, provenance: dict[str, Any] | None = None) -> None:
        self.device = device
        self.provenance = provenance or {}
        self._network = network.to(device).eval()

    @torch.no_grad()
    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """Correct the keypoints of a frame if both hands are present.

        Parameters
        ----------
        frame : Frame
            The picture.
        camera : Camera
            Its camera.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        RefinedHands
            The hands, the sides that were corrected, and why others were not.
        """
        present = hands.present()
        if len(present) < len(SIDES):
            if present:
                _log.info("%s: only the %s hand is there; its keypoints are not refined", frame.name, present[0].side)
            return RefinedHands(hands)
        try:
            crop = crop_hands(frame, camera, hands)
        except FrameError as error:
            return RefinedHands(hands, message=f"The keypoints are not refined: {error.message}")
        image = torch.from_numpy(crop.network_input())[None].to(self.device)
        placed = self._placed(image, torch.from_numpy(np.stack([hand.positions for hand in present]))[None])
        result, refined, messages = {}, [], []
        for hand, positions in zip(present, placed[0].numpy(), strict=True):
            trouble = impossible(hand, positions)
            if trouble:
                messages.append(f"The keypoints of the {hand.side} hand are not refined: {trouble}.")
                _log.warning("%s: %s", frame.name, messages[-1])
            else:
                refined.append(hand.side)
            result[hand.side] = hand if trouble else replace(hand, positions=positions)
        return RefinedHands(TwoHands(**result), tuple(refined), " ".join(messages))

    def _placed(self, image: Tensor, keypoints: Tensor) -> Tensor:
        """Refined keypoints for keypoints (1, 2, 21, 3), camera frame, metres; the geometry is float64 on the CPU."""
        # The keypoints are in the camera frame already, so the network's camera has no rotation and no translation.
        rotation, translation = torch.eye(3)[None], torch.zeros(1, 3)
        prepared = prepare_keypoints(keypoints, keypoints[:, :, 0], rotation, translation)
        output = self._network(image, prepared.relative.float().to(self.device)).cpu()
        return place_keypoints(output, prepared, rotation, translation)


def impossible(hand: HandKeypoints, positions: np.ndarray) -> str:
    """Check whether refined keypoints are plausible.

    Parameters
    ----------
    hand : HandKeypoints
        The hand before refinement.
    positions : (21, 3) float
        Its refined keypoints, camera frame, metres.

    Returns
    -------
    str
        Why they cannot be right, as the end of a sentence; empty if they can.
    """
    if not np.isfinite(positions).all():
        return "the network's output is not finite"
    moved = np.linalg.norm(positions - hand.positions, axis=1)
    if moved.max() > LARGEST_MOVE_M:
        name = KEYPOINT_NAMES[int(moved.argmax())].replace("_", " ")
        return f"the {name} would move by {moved.max() * 1000:.0f} mm"
    lengths = np.linalg.norm(positions[1:] - positions[list(KEYPOINT_PARENTS[1:])], axis=1)
    low, high = BONE_LIMITS_M
    for number, length in enumerate(lengths, start=1):
        if not low <= length <= high:
            return f"the bone to the {KEYPOINT_NAMES[number].replace('_', ' ')} would be {length * 1000:.0f} mm long"
    try:
        check_keypoints(positions, f"{hand.side} hand")
    except InputError:
        return "the palm would have no plane"
    return "" if positions[:, 2].min() > 0 else "it would lie behind the camera"


def load_keypoint_refiner(weights: str | Path, *, device: torch.device) -> KeypointRefiner | None:
    """Load a refiner from a weights folder.

    Parameters
    ----------
    weights : str or Path
        "bundled" or a folder.
    device : torch.device
        Where the network runs.

    Returns
    -------
    KeypointRefiner or None
        None if the folder has no keypoint refinement network.

    Raises
    ------
    WeightsError
        The folder is missing, or the weights are damaged or belong to another network.
    """
    folder = weights_folder(weights)
    if not (folder / f"{KEYPOINT_REFINEMENT}.safetensors").exists():
        return None
    network = load_network(KEYPOINT_REFINEMENT, folder)  # checks the file against the sha256 of its card
    sha256 = json.loads((folder / f"{KEYPOINT_REFINEMENT}.json").read_text(encoding="utf-8"))["sha256"]
    return KeypointRefiner(network, device=device, provenance={"weights": {KEYPOINT_REFINEMENT: sha256}})
