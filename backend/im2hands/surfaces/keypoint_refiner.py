"""Keypoint refinement in a job: the keypoints of a frame's two hands, corrected by what the picture shows."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import (
    KEYPOINT_NAMES,
    KEYPOINT_PARENTS,
    SIDES,
    Camera,
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
"""A keypoint that the network moves farther than this (metres) was not corrected but lost."""

BONE_LIMITS_M = (0.004, 0.16)
"""Shortest and longest bone of a hand, from a child's fingertip to a large palm, metres."""

_log = logging.getLogger(__name__)


class KeypointRefiner:
    """Corrects the keypoints of two hands with the keypoint refinement network; made once, used for many frames.

    The network gives the shape of each hand, not its place: a hand stays where its keypoints were on average, and only
    its positions change. Where the keypoints were seen (pixels) and their confidence remain what was observed. A hand
    whose new keypoints cannot be right keeps the old ones.

    Args:
        network: as :class:`~im2hands.networks.keypoint_refinement.KeypointRefinement`: the picture (1, 3, 256, 256) and
            keypoints (1, 2, 21, 3), halo order, millimetres, to keypoints. device: where it runs. provenance: names and
            sha256 of the weights, for the take.
    """

    def __init__(self, network: nn.Module, *, device: torch.device, provenance: dict[str, Any] | None = None) -> None:
        self.device = device
        self.provenance = provenance or {}
        self._network = network.to(device).eval()

    @torch.no_grad()
    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """The keypoints of a frame, corrected if both hands are there.

        Args:
            frame, camera: the picture and its camera. hands: camera frame, metres.
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
        """Keypoints (1, 2, 21, 3), camera frame, metres, to refined ones; geometry in float64 on the processor."""
        # The keypoints are in the camera frame already, so the camera of the network stands at the origin.
        rotation, translation = torch.eye(3)[None], torch.zeros(1, 3)
        prepared = prepare_keypoints(keypoints, keypoints[:, :, 0], rotation, translation)
        output = self._network(image, prepared.relative.float().to(self.device)).cpu()
        return place_keypoints(output, prepared, rotation, translation)


def impossible(hand: HandKeypoints, positions: np.ndarray) -> str:
    """Why refined keypoints cannot be right, as the end of a sentence; empty if they can.

    Args:
        hand: as it was. positions: (21, 3) refined, camera frame, metres.
    """
    if not np.isfinite(positions).all():
        return "the network gives no numbers"
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
    """A refiner from a weights folder; None if the folder has no keypoint refinement network.

    Args:
        weights: "bundled" or a folder. device: where to run.

    Raises:
        WeightsError: no such folder; weights that are damaged or of another network.
    """
    folder = weights_folder(weights)
    if not (folder / f"{KEYPOINT_REFINEMENT}.safetensors").exists():
        return None
    network = load_network(KEYPOINT_REFINEMENT, folder)  # verified: the card has the file's sha256
    sha256 = json.loads((folder / f"{KEYPOINT_REFINEMENT}.json").read_text(encoding="utf-8"))["sha256"]
    return KeypointRefiner(network, device=device, provenance={"weights": {KEYPOINT_REFINEMENT: sha256}})
