"""A contact sheet: photos above, the same frames with the hands over them in rows below. Runs in Blender's Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from im2hands_addon.scene.picture import save_picture

GAP = 12
PAPER = 0.96


def load_scaled(path: Path, width: int) -> np.ndarray:
    """A picture scaled to `width` columns, (H, W, 3) float32 sRGB values 0 to 1, top row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        columns, rows = image.size
        if not columns:
            raise FileNotFoundError(f"{path} cannot be read")
        image.scale(width, max(1, round(rows * width / columns)))
        pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
        image.pixels.foreach_get(pixels)
        return pixels.reshape(image.size[1], image.size[0], 4)[::-1, :, :3]
    finally:
        bpy.data.images.remove(image)


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of pictures (h, w, 3) of equal width on paper, (H, W, 3)."""
    width = rows[0][0].shape[1]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    size = sum(heights) + (len(rows) + 1) * GAP, len(rows[0]) * (width + GAP) + GAP, 3
    paper = np.full(size, PAPER, np.float32)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            left = GAP + column * (width + GAP)
            paper[top : top + picture.shape[0], left : left + width] = picture
        top += height + GAP
    return paper


def write_contact_sheet(path: Path, *rows: Sequence[Path], width: int = 520) -> None:
    """The sheet of these rows of pictures, each picture `width` columns wide, as a PNG."""
    save_picture(path, sheet([[load_scaled(one, width) for one in row] for row in rows]))
