"""Hands from MediaPipe's tasks API, stills or video."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.errors import FrameError, SetupError
from im2hands.core.hands import KEYPOINT_COUNT, Side
from im2hands.core.native_log import quiet_start
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Frame
from im2hands.weights.mediapipe_bundle import read_bundle

MINIMUM_CONFIDENCE = 0.5
# In a photo hands of several people are told apart afterwards; in a clip every further one costs MediaPipe a search of
# the whole frame.
_HANDS_IN_PHOTO, _HANDS_IN_CLIP = 4, 2


class MediaPipeProvider:
    """Finds up to four hands in a photo, two in a clip, with MediaPipe's HandLandmarker; sides as MediaPipe names them.

    Two hands may come out with the same side; :func:`im2hands.keypoints.choosing.sides.resolve_sides` settles that.

    Args:
        video: follow hands from frame to frame (frames must come in order); False treats every frame on its own.
        bundle: a hand bundle elsewhere; None for the one that ships with the package.

    Raises:
        SetupError: mediapipe is not installed or broken, or the bundle is missing or damaged.
    """

    name = "mediapipe"

    def __init__(self, *, video: bool, bundle: Path | None = None) -> None:
        task = read_bundle(bundle).task
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise SetupError(
                f"MediaPipe cannot be loaded: {error}.", "Install the backend's requirements again (mediapipe >= 1.2)."
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
                f"MediaPipe cannot be started: {error}.", "Run `im2hands check` and install mediapipe again."
            ) from error

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        """The hands MediaPipe sees; ``previous`` is not needed, video mode remembers by itself.

        Raises:
            FrameError: MediaPipe refused the picture.
        """
        height, width = frame.image.shape[:2]
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame.image)
        )
        try:
            with contextlib.nullcontext() if self._started else quiet_start():
                if self._video:
                    # MediaPipe wants time stamps that grow, whatever the clip's own are.
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
            # Normalised coordinates count from the picture's corner; ours from the centre of its first pixel.
            pixels = np.array([(p.x * width - 0.5, p.y * height - 0.5) for p in landmarks], dtype=np.float64)
            shape = np.array([(p.x, p.y, p.z) for p in world], dtype=np.float64)
            if not (np.isfinite(pixels).all() and np.isfinite(shape).all()):
                continue
            side: Side = "left" if handedness[0].category_name == "Left" else "right"
            score = float(handedness[0].score)
            detections.append(HandDetection(side, pixels, shape, np.full(KEYPOINT_COUNT, score), score, self.name))
        return detections

    def close(self) -> None:
        """Release MediaPipe's graph and threads; may be called twice. Left open, MediaPipe complains at exit."""
        self._landmarker.close()
