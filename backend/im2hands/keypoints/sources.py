"""Where keypoints come from: MediaPipe, the crop search, a file; lifted to metric camera space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.core.errors import InputError
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, lift
from im2hands.keypoints.proposing.box_file import HandBoxes

from . import PROVIDERS
from .file import KeypointFile
from .hypothesis import HandDetection, KeypointProvider

if TYPE_CHECKING:
    from im2hands.keypoints.placing.lift import HandLifter
    from im2hands.networks.two_hand_network import TwoHandNetwork

__all__ = ["DEFAULT_PALM_M", "HandBoxes", "HandDetection", "KeypointFile", "KeypointProvider", "lift", "make_provider"]


def make_provider(
    name: str = "auto",
    *,
    video: bool,
    crop_search: bool = True,
    hand_boxes: HandBoxes | None = None,
    cache_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    palm_weights: Path | None = None,
) -> KeypointProvider:
    """The provider of that name.

    Args:
        name: "auto" (MediaPipe and the two-hand network together), "mediapipe" or "network" (the two-hand network's
            palms, fingers by the landmark network).
        video: frames come in order from one clip and hands are followed; False: every frame is a photo of its own.
        crop_search: where MediaPipe finds fewer than two hands, search crops of the picture for the other.
        hand_boxes: a person's boxes or points; they replace the search in the frames they name.
        cache_folder: where finished searches are kept by picture content; None keeps them in memory only.
        progress: called with crops done and crops in all while a search runs.
        cancelled: asked between crops; True ends ``detect`` with ``Cancelled``.
        palm_weights: the two-hand network's weights elsewhere; None for those that ship.

    Raises:
        InputError: no provider of that name.
        SetupError: mediapipe, ai-edge-litert or the hand bundle is missing or damaged.
    """
    if name not in PROVIDERS:
        raise InputError(f"There is no keypoint provider {name!r}.", "Use auto, mediapipe, network or a keypoint file.")
    from im2hands.keypoints.choosing.judge import PairJudge
    from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
    from im2hands.keypoints.proposing.palms import PalmDetector
    from im2hands.keypoints.proposing.two_hand_network import PalmReader
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.weights.pair_judge import load_pair_judge

    from .finder import TwoHandProvider

    palms = None if name == "mediapipe" else _palm_network(palm_weights, needed=name == "network")
    return TwoHandProvider(
        None if name == "network" else MediaPipeProvider(video=video),
        LandmarkNetwork() if name == "mediapipe" else LandmarkNetwork.bundled(beside=palm_weights),
        video=video,
        palms=PalmReader(palms) if palms is not None else None,
        judge=PairJudge(load_pair_judge(palm_weights)) if palms is not None else None,
        lifter=_lifter(palms, palm_weights) if palms is not None else None,
        detector=PalmDetector() if palms is not None else None,
        crop_search=crop_search,
        hand_boxes=hand_boxes,
        cache_folder=cache_folder,
        progress=progress,
        cancelled=cancelled,
    )


def _lifter(palms: TwoHandNetwork, beside: Path | None) -> HandLifter | None:
    """With the lifting network beside the two-hand network's weights, else with the one that ships, if it does."""
    from im2hands.keypoints.placing.lift import HandLifter
    from im2hands.weights.lifting_network import BUNDLED_FILE, FILE, load_lifting_network
    from im2hands.weights.reading_network import beside_or_bundled, load_reading_network

    path = beside.parent / FILE if beside is not None and (beside.parent / FILE).is_file() else BUNDLED_FILE
    reader = beside_or_bundled(beside)
    if not (path.is_file() and reader.is_file()):
        return None
    return HandLifter(load_lifting_network(path), palms, load_reading_network(reader))


def _palm_network(weights: Path | None, needed: bool) -> TwoHandNetwork | None:
    """The two-hand network; None where its weights do not ship, unless they are ``needed``."""
    from im2hands.weights.two_hand_network import BUNDLED_FILE, load_two_hand_network

    path = weights or BUNDLED_FILE
    if not needed and weights is None and not path.is_file():
        return None
    return load_two_hand_network(path)
