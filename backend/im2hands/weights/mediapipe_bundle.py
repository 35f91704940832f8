"""The MediaPipe hand bundle that ships with the package: MediaPipe's palm detector and hand landmark network."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from im2hands.core.errors import SetupError
from im2hands.core.files import read_regular

BUNDLE_NAME = "hand_landmarker.task"
LANDMARK_NETWORK = "hand_landmarks_detector.tflite"
PALM_DETECTOR = "hand_detector.tflite"

_HINT = f"Install im2hands again, or put MediaPipe's {BUNDLE_NAME} back in its place."


@dataclass(frozen=True)
class HandBundle:
    """Contents of the hand bundle, verified.

    Parameters
    ----------
    task : bytes
        The whole bundle, in the format of MediaPipe's tasks API.
    landmark_network : bytes
        The TFLite model that detects 21 keypoints in a crop of one hand.
    palm_detector : bytes
        The TFLite model that detects palms in a picture.
    """

    task: bytes
    landmark_network: bytes
    palm_detector: bytes


def read_bundle(path: Path | None = None) -> HandBundle:
    """Read and verify the hand bundle.

    Parameters
    ----------
    path : Path or None
        A bundle file; None for the one that ships with the package.

    Returns
    -------
    HandBundle
        The contents.

    Raises
    ------
    SetupError
        The file is missing, is no hand bundle, or its contents fail their checksums.
    """
    where = Path(str(resources.files("im2hands") / "assets" / BUNDLE_NAME)) if path is None else path
    try:
        task = read_regular(where)
    except OSError as error:
        raise SetupError(f"The hand bundle {where} cannot be read: {error.strerror}.", _HINT) from error
    try:
        with zipfile.ZipFile(io.BytesIO(task)) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("checksum")
            return HandBundle(task, archive.read(LANDMARK_NETWORK), archive.read(PALM_DETECTOR))
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        raise SetupError(f"The hand bundle {where} is damaged or of another kind.", _HINT) from error
