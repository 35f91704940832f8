"""What the keypoint phase tells: how far it is, and the hands that it has found, while it finds more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import Side
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.media.source import Entry

from .events import HandsFound
from .progress import JobProgress, Part

_DIGITS = 5  # of a metre


class KeypointReport:
    """Reports progress and found hands of the keypoint phase.

    Parameters
    ----------
    progress : JobProgress
        Progress of the job.
    send : callable
        Called with the hands of a frame.
    palm_m : float
        Length from wrist to middle knuckle, metres.
    total : int
        Number of frames whose hands are wanted.
    passes : int
        How often each frame comes by: twice for the frames of a clip.
    are_pictures : bool
        Whether each frame has a picture file of its own.
    """

    def __init__(
        self,
        progress: JobProgress,
        send: Callable[[HandsFound], None],
        palm_m: float,
        total: int,
        passes: int,
        are_pictures: bool,
    ) -> None:
        self._are_pictures = are_pictures
        self._progress, self._send, self._palm_m = progress, send, palm_m
        self._total, self._passes = total, passes
        self._passed, self._done = 0, 0

    def begin(self, part: Part, steps: int, done: int = 0, passed: int = 0) -> None:
        """Begin a part of the phase.

        Parameters
        ----------
        part : Part
            The part.
        steps : int
            Number of its steps.
        done : int
            Number of those that were done before.
        passed : int
            How many frames came by in them.
        """
        self._done = done
        self._passed += passed
        self._progress.begin(part, steps, done)
        self._tell()

    def step(self, passed: int = 1) -> None:
        """Report that a step is done in which ``passed`` frames came by."""
        self._done += 1
        self._passed += passed
        self._tell()

    def _tell(self) -> None:
        self._progress.at(self._done, (min(self._passed // self._passes, self._total), self._total))

    def seen(self, entry: Entry, camera: Camera, hands: Mapping[Side, np.ndarray]) -> None:
        """Show hands that are not placed yet, as if all of a hand were at one distance.

        Parameters
        ----------
        entry : Entry
            The frame.
        camera : Camera
            Its camera.
        hands : mapping of Side to (21, 2) float
            Keypoints, pixels.
        """
        depth = {side: camera.fx * self._palm_m / palm_length(pixels) for side, pixels in hands.items()}
        self.placed(entry, {side: camera.unproject(pixels, depth[side]) for side, pixels in hands.items()})

    def placed(self, entry: Entry, hands: Mapping[Side, np.ndarray]) -> None:
        """Show hands that are placed.

        Parameters
        ----------
        entry : Entry
            The frame.
        hands : mapping of Side to (21, 3) float
            Keypoints, camera frame, metres.
        """
        finite = {side: points for side, points in hands.items() if np.isfinite(points).all()}
        rounded = {str(side): points.round(_DIGITS).tolist() for side, points in finite.items()}
        self._send(HandsFound(entry.index, rounded, str(entry.path) if self._are_pictures else ""))
