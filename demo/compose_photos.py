"""Compose the three two-hand demo photos from the one-hand photos in demo/fingerpose.

Run with the backend's Python: `.venv/backend/bin/python demo/compose_photos.py [folder]`. The original photos show a
left hand. Each composed photo has a mirrored original (a right hand) at the left and another original at the right, as
in a photo of a person who faces the camera.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "demo" / "fingerpose"
PHOTOS = ROOT / "backend" / "im2hands" / "assets" / "photos"

PAIRS = {
    "hands_a.jpg": ("fullcurl", "nocurl"),
    "hands_b.jpg": ("nocurl", "halfcurl"),
    "hands_c.jpg": ("halfcurl", "fullcurl"),
}
"""File name to the pose at the left (mirrored) and the pose at the right."""

OVERLAP_PX = 84
"""Width of the strip in the middle, pixels: both photos show bare wall there and are blended."""

JPEG_QUALITY = 95


def load_photo(pose: str) -> np.ndarray:
    """Read the photo of one pose.

    Parameters
    ----------
    pose : str
        File name without suffix.

    Returns
    -------
    (H, W, 3) float32
        BGR, 0 to 255.

    Raises
    ------
    FileNotFoundError
        The file is missing or not a picture.
    """
    path = SOURCES / f"{pose}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or not a picture")
    return image.astype(np.float32)


def match_wall(image: np.ndarray, strip: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scale the brightness of each row and channel of a photo, so that a strip of it matches a reference.

    Parameters
    ----------
    image : (H, W, 3) float32
        The photo.
    strip : (H, S, 3) float32
        Strip of the photo.
    reference : (H, S, 3) float32
        Strip to match.

    Returns
    -------
    (H, W, 3) float32
    """
    ratio = reference.mean(axis=1) / np.maximum(strip.mean(axis=1), 1.0)
    smooth = cv2.GaussianBlur(ratio[:, None, :], (1, 0), sigmaX=1, sigmaY=40, borderType=cv2.BORDER_REPLICATE)
    return image * smooth.reshape(-1, 1, 3)


def side_by_side(left: np.ndarray, right: np.ndarray, overlap: int = OVERLAP_PX) -> np.ndarray:
    """Join two photos, blended over a strip in the middle.

    Parameters
    ----------
    left : (H, W, 3) float32
        Photo at the left.
    right : (H, W, 3) float32
        Photo at the right.
    overlap : int
        Width of the strip, pixels.

    Returns
    -------
    (H, 2 * W - overlap, 3) float32
    """
    mean = (left[:, -overlap:] + right[:, :overlap]) / 2
    left = match_wall(left, left[:, -overlap:], mean)
    right = match_wall(right, right[:, :overlap], mean)
    fade = (0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / overlap)).astype(np.float32)[None, :, None]
    middle = left[:, -overlap:] * (1 - fade) + right[:, :overlap] * fade
    return np.concatenate([left[:, :-overlap], middle, right[:, overlap:]], axis=1)


def compose(mirrored_pose: str, pose: str) -> np.ndarray:
    """Compose one two-hand photo.

    Parameters
    ----------
    mirrored_pose : str
        Pose at the left, mirrored.
    pose : str
        Pose at the right.

    Returns
    -------
    (H, W, 3) uint8
        BGR.
    """
    picture = side_by_side(load_photo(mirrored_pose)[:, ::-1], load_photo(pose))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write_photos(folder: Path = PHOTOS) -> list[Path]:
    """Write the three photos into a folder.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    FileNotFoundError
        An original photo is missing.
    RuntimeError
        OpenCV cannot encode a photo.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (mirrored_pose, pose) in PAIRS.items():
        ok, encoded = cv2.imencode(".jpg", compose(mirrored_pose, pose), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            raise RuntimeError(f"OpenCV could not encode {name}")
        path = folder / name
        path.write_bytes(encoded.tobytes())
        paths.append(path)
    return paths


def main(arguments: list[str]) -> int:
    """Write the photos, print their paths and return the exit code."""
    for path in write_photos(Path(arguments[0]) if arguments else PHOTOS):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
