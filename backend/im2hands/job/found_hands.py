"""The hands of one frame, as the keypoint phase hands them on."""

from __future__ import annotations

from dataclasses import dataclass

from im2hands.core.camera import Camera
from im2hands.core.hands import Side, TwoHands
from im2hands.media.source import Entry


@dataclass(frozen=True)
class FoundHands:
    """The hands of one frame, as the keypoint phase found them.

    Parameters
    ----------
    entry : Entry
        The frame.
    camera : Camera
        Camera of its picture.
    hands : TwoHands
        Keypoints in the frame of that camera.
    picture : str
        Hash of the picture, or of the clip and the frame's index.
    note : str
        How the hands were chosen, for a person; may be empty.
    corrected : set of Side, optional
        Hands whose keypoints a person corrected; None if no edit holds for the frame.
    """

    entry: Entry
    camera: Camera
    hands: TwoHands
    picture: str
    note: str = ""
    corrected: frozenset[Side] | None = None
