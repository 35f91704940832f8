"""Makes the three two-hand demo photos: each hand of the fingerpose photos beside the mirror image of another pose.

Run with the backend's Python: `.venv/backend/bin/python demo/compose_photos.py [folder]`. The originals show a left
hand; the mirrored copy, a right hand, stands at the left, as on a photo of a person who faces the camera.
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
"""Output name -> (pose shown mirrored at the left, pose shown as photographed at the right)."""

OVERLAP_PX = 84
"""Width of the strip in the middle where both photos show bare wall and one fades into the other."""
JPEG_QUALITY = 95


def load_photo(pose: str) -> np.ndarray:
    """The photo of one pose as (H, W, 3) float32, in OpenCV's channel order."""
    path = SOURCES / f"{pose}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f"{path} is missing or not a picture")
    return image.astype(np.float32)


def match_wall(image: np.ndarray, strip: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`image` scaled per row and channel so that its `strip` gets the brightness of `reference` (both (H, W, 3))."""
    ratio = reference.mean(axis=1) / np.maximum(strip.mean(axis=1), 1.0)
    smooth = cv2.GaussianBlur(ratio[:, None, :], (1, 0), sigmaX=1, sigmaY=40, borderType=cv2.BORDER_REPLICATE)
    return image * smooth.reshape(-1, 1, 3)


def side_by_side(left: np.ndarray, right: np.ndarray, overlap: int = OVERLAP_PX) -> np.ndarray:
    """Both (H, W, 3) pictures beside each other, faded into each other over `overlap` columns."""
    mean = (left[:, -overlap:] + right[:, :overlap]) / 2
    left = match_wall(left, left[:, -overlap:], mean)
    right = match_wall(right, right[:, :overlap], mean)
    fade = (0.5 - 0.5 * np.cos(np.pi * (np.arange(overlap) + 0.5) / overlap)).astype(np.float32)[None, :, None]
    middle = left[:, -overlap:] * (1 - fade) + right[:, :overlap] * fade
    return np.concatenate([left[:, :-overlap], middle, right[:, overlap:]], axis=1)


def compose(mirrored_pose: str, pose: str) -> np.ndarray:
    """One two-hand picture, (H, W, 3) uint8, in OpenCV's channel order."""
    picture = side_by_side(load_photo(mirrored_pose)[:, ::-1], load_photo(pose))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write_photos(folder: Path = PHOTOS) -> list[Path]:
    """Writes the three photos into `folder` and returns their paths."""
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
    for path in write_photos(Path(arguments[0]) if arguments else PHOTOS):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
