"""A contact sheet: photos above, the same frames with the hands over them below. Runs in Blender's Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

GAP = 12
PAPER = 0.96


def load(path: Path, width: int) -> np.ndarray:
    """A picture scaled to `width` columns, (H, W, 4) float32 in display colours, first row at the top."""
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        image.alpha_mode = "NONE"
        columns, rows = image.size
        if not columns:
            raise FileNotFoundError(f"{path} cannot be read")
        image.scale(width, max(1, round(rows * width / columns)))
        pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
        image.pixels.foreach_get(pixels)
        return pixels.reshape(image.size[1], image.size[0], 4)[::-1]
    finally:
        bpy.data.images.remove(image)


def save(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 4) display colours, first row at the top, as PNG."""
    rows, columns = picture.shape[:2]
    image = bpy.data.images.new(path.stem, columns, rows, alpha=False)
    try:
        image.pixels.foreach_set(np.ascontiguousarray(picture[::-1], np.float32).ravel())
        image.filepath_raw = str(path)
        image.file_format = "PNG"
        image.save()
    finally:
        bpy.data.images.remove(image)


def sheet(upper: Sequence[np.ndarray], lower: Sequence[np.ndarray]) -> np.ndarray:
    """Two rows of pictures of equal width on paper, each column as high as its higher picture."""
    width = max(picture.shape[1] for picture in (*upper, *lower))
    heights = [max(picture.shape[0] for picture in row) for row in (upper, lower)]
    paper = np.full((sum(heights) + 3 * GAP, len(upper) * (width + GAP) + GAP, 4), PAPER, np.float32)
    paper[..., 3] = 1
    top = GAP
    for row, height in zip((upper, lower), heights, strict=True):
        for column, picture in enumerate(row):
            left = GAP + column * (width + GAP)
            paper[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += height + GAP
    return paper


def write_contact_sheet(path: Path, photos: Sequence[Path], overlays: Sequence[Path], width: int = 520) -> None:
    """The sheet of `photos` above `overlays`, each `width` columns wide, as a PNG."""
    save(path, sheet([load(photo, width) for photo in photos], [load(overlay, width) for overlay in overlays]))
