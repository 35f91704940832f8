"""Detects hands with MediaPipe's tasks API."""

from __future__ import annotations

import contextlib
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
_MOST_HANDS = 4


class MediaPipeProvider:
    """Detects up to four hands in a picture with MediaPipe's HandLandmarker.

    The sides are MediaPipe's. Two hands may have the same side.

    Parameters
    ----------
    bundle : Path or None
        Another MediaPipe hand bundle. None for the one that ships.

    Raises
    ------
    SetupError
        If mediapipe is not installed or broken, or the bundle is missing or damaged.
    """

    name = "mediapipe"

    def __init__(self, *, bundle: Path | None = None) -> None:
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
        self._started = False
        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=task),
            running_mode=vision.RunningMode.IMAGE,
            num_hands=_MOST_HANDS,
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

    def detect(self, frame: Frame) -> list[HandDetection]:
        """Detect the hands of a frame.

        Parameters
        ----------
        frame : Frame
            The frame.

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
