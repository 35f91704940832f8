"""What every source of keypoints gives: hands seen in one picture, before they are lifted to metric camera space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from im2hands.core.hands import Side
from im2hands.media.source import Frame


@dataclass(frozen=True)
class WristOffset:
    """The wrist_offset from a hand's wrist to the person's other wrist.

    Args:
        vector: (3,) palm lengths, camera's axes. spread: (3,) expected error of each number.
    """

    vector: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class LiftedHand:
    """A hand as the lifting network sees it in space; its joints are those of the bundled hand.

    Args:
        shape: (21, 3) palm lengths, from the wrist, as seen along the ray of the hand's middle: axes parallel to the
            camera frame where the hand lies on the optical axis. spread: (21,) expected error of each coordinate.
        pixels: (21, 2). pixel_spread: (21,) expected error of each coordinate, pixels.
        depth: from this wrist to the person's other one along the optical axis, palm lengths, and its expected error;
            None without another hand.
    """

    shape: np.ndarray
    spread: np.ndarray
    pixels: np.ndarray
    pixel_spread: np.ndarray
    depth: float | None
    depth_spread: float | None


@dataclass(frozen=True)
class HandDetection:
    """One hand as seen in one picture.

    Args:
        side: the person's own left or right, in a picture that is not mirrored.
        pixels: (21, 2) float64, pixels of the frame, file order.
        shape: (21, 3) float64, the hand's shape in metres, axes parallel to the camera frame, any origin, any scale.
        confidence: (21,) float64 in [0, 1].
        score: confidence in the hand as a whole and in its side, [0, 1].
        source: "mediapipe", "crop_search", "tracking", "boxes", "palm_seed", "network", ...
        wrist_offset: to the other hand, where that was seen. note: for the person, about the picture this hand was
        chosen in.
        lifted: the hand in space, where the lifting network was asked.
    """

    side: Side
    pixels: np.ndarray
    shape: np.ndarray
    confidence: np.ndarray
    score: float
    source: str
    wrist_offset: WristOffset | None = None
    note: str = ""
    lifted: LiftedHand | None = None


class KeypointProvider(Protocol):
    """Finds at most one left and one right hand per frame. Not thread-safe; frames come in order."""

    name: str

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        """The hands in ``frame``; ``previous`` are those of the frame before it (empty for photos).

        Raises:
            FrameError: this frame cannot be used; the next one may.
        """
        ...

    def close(self) -> None:
        """Release what the provider holds."""
        ...
