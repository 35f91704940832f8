"""Helpers: pictures with hands, synthetic hands, and real photos outside the repository."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.hands import Side
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.media.source import Frame

DEMO_PHOTOS = ("hands_a.jpg", "hands_b.jpg", "hands_c.jpg")
OUTSIDE = Path(__file__).resolve().parents[4] / "shared" / "assets" / "photos"


def read_rgb(path: Path) -> np.ndarray:
    """Read a picture file as (H, W, 3) uint8 RGB."""
    image = cv2.imread(str(path))
    assert image is not None, path
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def demo_photo(name: str) -> np.ndarray:
    """Read a photo that ships with the package: a right hand on the left, a left hand on the right."""
    return read_rgb(Path(str(resources.files("im2hands") / "assets" / "photos" / name)))


def frame_of(image: np.ndarray, index: int = 1, time: float = 0.0) -> Frame:
    """Wrap an array in a frame."""
    return Frame(index, time, image, f"picture {index}")


def hand_shape(side: Side = "right", curl: float = 0.4, scale: float = 0.088) -> np.ndarray:
    """A hand (21, 3) in metres: palm to the camera, fingers up, each bone bent by ``curl`` radians."""
    points = [np.zeros(3)]
    thumb = np.array([(0.28, -0.20, -0.05), (0.50, -0.42, -0.12), (0.66, -0.66, -0.18), (0.76, -0.92, -0.22)])
    points.extend(thumb)
    for x, y in ((0.30, -0.96), (0.02, -1.0), (-0.24, -0.94), (-0.46, -0.80)):
        base = np.array([x, y, 0.0])
        points.append(base)
        direction = 0.0
        for length in (0.40, 0.27, 0.25):
            direction += curl
            base = base + length * np.array([0.0, -np.cos(direction), -np.sin(direction)])
            points.append(base)
    shape = np.array(points) * scale
    shape *= scale / np.linalg.norm(shape[9] - shape[0])
    return shape if side == "right" else shape * (-1, 1, 1)


def seen_hand(
    side: Side, centre: tuple[float, float] = (320, 240), palm_px: float = 80.0, score: float = 0.95
) -> HandDetection:
    """A detection of the synthetic hand, the mean of its keypoints at ``centre``."""
    shape = hand_shape(side)
    pixels = (shape[:, :2] - shape[:, :2].mean(axis=0)) / 0.088 * palm_px + centre
    return HandDetection(side, pixels, shape, np.full(21, 0.9), score, "mediapipe")
