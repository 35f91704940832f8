"""Detects hands with MediaPipe's tasks API, in photos or clips."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.errors import FrameError, SetupError
from im2hands.core.hands import KEYPOINT_COUNT, Side
from im2hands.core.mediapipe_import import import_mediapipe
from im2hands.core.native_log import quiet_start
from im2hands.core.system_libraries import hint_for
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Frame
from im2hands.weights.mediapipe_bundle import read_bundle

MINIMUM_CONFIDENCE = 0.5
# In a photo hands of several people are separated afterwards. In a clip MediaPipe searches the whole frame again as
# long as it tracks fewer hands than it may, which is slow.
_HANDS_IN_PHOTO, _HANDS_IN_CLIP = 4, 2


class MediaPipeProvider:
    """Detects up to four hands in a photo and two in a clip with MediaPipe's HandLandmarker.

    The sides are MediaPipe's. Two hands may have the same side; ``choosing.sides.resolve_sides`` corrects that.

    Parameters
    ----------
    video : bool
        True: follow hands from frame to frame; frames must come in order. False: every frame is a separate photo.
    bundle : Path or None
        Another MediaPipe hand bundle. None for the one that ships.

    Raises
    ------
    SetupError
        If mediapipe is not installed or broken, or the bundle is missing or damaged.
    """

    name = "mediapipe"

    def __init__(self, *, video: bool, bundle: Path | None = None) -> None:
        task = read_bundle(bundle).task
        try:
            mediapipe = import_mediapipe()
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise SetupError(
                f"MediaPipe cannot be loaded: {error}.",
                hint_for(error, "Install the backend's requirements again (mediapipe >= 1.2)."),
            ) from error
        self._mediapipe = mediapipe
        self._video = video
        self._last_milliseconds = -1
        self._started = False
        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=task),
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
            num_hands=_HANDS_IN_CLIP if video else _HANDS_IN_PHOTO,
            min_hand_detection_confidence=MINIMUM_CONFIDENCE,
            min_hand_presence_confidence=MINIMUM_CONFIDENCE,
            min_tracking_confidence=MINIMUM_CONFIDENCE,
        )
        try:
            with quiet_start():
                self._landmarker = vision.HandLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise SetupError(
                f"MediaPipe cannot be started: {error}.",
                hint_for(error, "Run `im2hands check` and install mediapipe again."),
            ) from error

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        """Detect the hands of a frame.

        Parameters
        ----------
        frame : Frame
            The frame.
        previous : Sequence[HandDetection]
            Not used: in video mode MediaPipe keeps its own state.

        Returns
        -------
        list[HandDetection]
            The hands, with MediaPipe's joint definitions.

        Raises
        ------
        FrameError
            If MediaPipe cannot process the picture.
        """
        height, width = frame.image.shape[:2]
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image)
        )
        try:
            with contextlib.nullcontext() if self._started else quiet_start():
                if self._video:
                    # MediaPipe needs strictly increasing time stamps; those of a clip may not be.
                    self._last_milliseconds = max(self._last_milliseconds + 1, round(frame.time * 1000))
                    result = self._landmarker.detect_for_video(picture, self._last_milliseconds)
                else:
                    result = self._landmarker.detect(picture)
        except (RuntimeError, ValueError) as error:
            raise FrameError(f"MediaPipe failed on {frame.name}: {error}.", "Leave this frame out.") from error
        self._started = True
        detections = []
        hands = zip(result.handedness, result.hand_landmarks, result.hand_world_landmarks, strict=True)
        for handedness, landmarks, world in hands:
            # MediaPipe's normalised coordinates start at the picture's corner; ours start at the first pixel's centre.
            pixels = np.array([(p.x * width - 0.5, p.y * height - 0.5) for p in landmarks], dtype=np.float64)
            shape = np.array([(p.x, p.y, p.z) for p in world], dtype=np.float64)
            if not (np.isfinite(pixels).all() and np.isfinite(shape).all()):
                continue
            side: Side = "left" if handedness[0].category_name == "Left" else "right"
            score = float(handedness[0].score)
            detections.append(HandDetection(side, pixels, shape, np.full(KEYPOINT_COUNT, score), score, self.name))
        return detections

    def close(self) -> None:
        """Release MediaPipe's graph and threads; may be called twice. Without it MediaPipe logs an error at exit."""
        self._landmarker.close()
