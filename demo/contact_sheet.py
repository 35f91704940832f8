"""Contact sheets: rows of pictures of equal width, e.g. photos above and overlays below. For Blender's Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from im2hands_addon.scene.picture import save_picture

GAP = 12
"""Space between pictures, pixels."""

PAPER = 0.96
"""Grey value of the background, 0 to 1."""


def load_scaled(path: Path, width: int) -> np.ndarray:
    """Load a picture and scale it.

    Parameters
    ----------
    path : Path
        Picture file.
    width : int
        Width of the result, pixels.

    Returns
    -------
    (H, width, 3) float32
        sRGB, 0 to 1, top row first.

    Raises
    ------
    FileNotFoundError
        The file cannot be read.
    """
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
    """Arrange pictures in rows.

    Parameters
    ----------
    rows : sequence of sequences of (h, w, 3) float32
        Pictures of equal width, 0 to 1.

    Returns
    -------
    (H, W, 3) float32
        The sheet.
    """
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
    """Write a contact sheet of picture files.

    Parameters
    ----------
    path : Path
        PNG file to write.
    *rows : sequence of Path
        Picture files of each row.
    width : int
        Width of each picture, pixels.
    """
    save_picture(path, sheet([[load_scaled(one, width) for one in row] for row in rows]))
