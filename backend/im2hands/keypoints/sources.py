"""The keypoint sources by name: builds the provider of a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.core.errors import InputError
from im2hands.keypoints.proposing.box_file import HandBoxes

from . import PROVIDERS

if TYPE_CHECKING:
    import torch

    from im2hands.keypoints.placing.lift import HandLifter
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.networks.reading_network import ReadingNetwork
    from im2hands.networks.two_hand_network import TwoHandNetwork

    from .finder import HandFinder


def make_provider(
    name: str = "auto",
    *,
    hands: str = "auto",
    hand_boxes: HandBoxes | None = None,
    cancelled: Callable[[], bool] | None = None,
    two_hand_weights: Path | None = None,
    reading: ReadingNetwork | None = None,
    device: str = "cpu",
) -> HandFinder:
    """Build the keypoint provider of a given name.

    Parameters
    ----------
    name : str
        "auto" (MediaPipe and the two-hand network together), "mediapipe", or "network" (the two-hand network finds the
        palms, the reading network reads the fingers).
    hands : str
        What a person knows of the hands: "auto", "both", "left" or "right".
    hand_boxes : HandBoxes or None
        A person's boxes or points.
    cancelled : callable or None
        Called between crops. If it returns True, ``Cancelled`` is raised.
    two_hand_weights : Path or None
        Weights file of another two-hand network. None for the one that ships.
    reading : ReadingNetwork or None
        Another reading network, except for "mediapipe". None for the one beside ``two_hand_weights``, else the one that
        ships.
    device : str
        The device of the networks. MediaPipe's tasks and its palm detector run on the processor.

    Returns
    -------
    HandFinder
        The provider. The caller closes it.

    Raises
    ------
    InputError
        If there is no provider of that name.
    SetupError
        If mediapipe, ai-edge-litert or the hand bundle is missing or damaged.
    """
    if name not in PROVIDERS:
        raise InputError(f"There is no keypoint provider {name!r}.", "Use auto, mediapipe, network or a keypoint file.")
    from im2hands.keypoints.choosing.judge import PairJudge
    from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
    from im2hands.keypoints.proposing.palms import PalmDetector
    from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.weights.keypoint_networks import PAIR_JUDGE

    from .finder import HandFinder
    from .looking import Readers

    there = _torch_device(device)
    palms = None if name == "mediapipe" else _palm_network(two_hand_weights, name == "network", there)
    if name == "mediapipe":
        network = LandmarkNetwork(device=there)
    elif reading is not None:
        network = LandmarkNetwork(reading=reading, device=there)
    else:
        network = LandmarkNetwork.bundled(beside=two_hand_weights, device=there)
    readers = Readers(
        network,
        PairJudge(PAIR_JUDGE.load(PAIR_JUDGE.beside(two_hand_weights), there)),
        tasks=None if name == "network" else MediaPipeProvider(),
        palms=TwoHandReader(palms) if palms is not None else None,
        detector=PalmDetector(),
    )
    lifter = _lifter(palms, network, two_hand_weights, there) if palms is not None else None
    return HandFinder(readers, hands=hands, lifter=lifter, boxes=hand_boxes, name=name, cancelled=cancelled)


def _torch_device(name: str) -> torch.device | None:
    """The device; None for the processor."""
    if name == "cpu":
        return None
    import torch

    return torch.device(name)


def _lifter(
    palms: TwoHandNetwork, reader: LandmarkNetwork, beside: Path | None, device: torch.device | None
) -> HandLifter | None:
    """Load the lifting network beside the two-hand network's weights, else the one that ships; None without either."""
    from im2hands.keypoints.placing.lift import HandLifter
    from im2hands.weights.compact import load_encoder
    from im2hands.weights.folder import BUNDLED, IMAGE_ENCODER
    from im2hands.weights.keypoint_networks import LIFTING

    path = LIFTING.beside(beside)
    if not path.is_file() or not reader.takes_sides:
        return None
    shipped = (BUNDLED / f"{IMAGE_ENCODER}.safetensors").is_file()
    encoder = load_encoder(BUNDLED).to(device or "cpu").for_masks() if shipped else None
    return HandLifter(LIFTING.load(path, device), palms, reader, encoder)


def _palm_network(weights: Path | None, needed: bool, device: torch.device | None) -> TwoHandNetwork | None:
    """Load the two-hand network. Returns None if its weights do not ship, unless they are ``needed``."""
    from im2hands.weights.keypoint_networks import TWO_HAND

    path = weights or TWO_HAND.bundled
    if not needed and weights is None and not path.is_file():
        return None
    return TWO_HAND.load(path, device).folded()
