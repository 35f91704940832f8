"""Where keypoints come from: MediaPipe, the crop search, a file; lifted to metric camera space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from .file_provider import KeypointFile
from .hand_boxes import HandBoxes
from .lifting import DEFAULT_PALM_M, lift
from .provider import HandDetection, KeypointProvider

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
) -> KeypointProvider:
    """The provider of that name.

    Args:
        name: "auto" or "mediapipe".
        video: frames come in order from one clip and hands are followed; False: every frame is a photo of its own.
        crop_search: where MediaPipe finds fewer than two hands, search crops of the picture for the other.
        hand_boxes: a person's boxes or points; they replace the search in the frames they name.
        cache_folder: where finished searches are kept by picture content; None keeps them in memory only.
        progress: called with crops done and crops in all while a search runs.
        cancelled: asked between crops; True ends ``detect`` with ``Cancelled``.

    Raises:
        InputError: no provider of that name.
        EnvironmentError_: mediapipe, ai-edge-litert or the hand bundle is missing or damaged.
    """
    if name not in ("auto", "mediapipe"):
        raise InputError(f"There is no keypoint provider {name!r}.", "Use auto, mediapipe or a keypoint file.")
    from .landmark_network import LandmarkNetwork
    from .mediapipe_provider import MediaPipeProvider
    from .two_hand_provider import TwoHandProvider

    return TwoHandProvider(
        MediaPipeProvider(video=video),
        LandmarkNetwork(),
        video=video,
        crop_search=crop_search,
        hand_boxes=hand_boxes,
        cache_folder=cache_folder,
        progress=progress,
        cancelled=cancelled,
    )
