"""EXR pictures of luminance and chroma. No library here writes them, so the file is built byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from im2hands.media.images import read_picture

SIDE = 32
LIGHT = (0.5, 0.25, 0.1)  # red, green, blue


def exr(y: np.ndarray, ry: np.ndarray, by: np.ndarray) -> bytes:
    """An uncompressed EXR file with floats; chroma has half the size of the luminance."""

    def entry(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<I", len(value)) + value

    def channel(name: str, step: int) -> bytes:
        return name.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, step, step)

    box = struct.pack("<4i", 0, 0, SIDE - 1, SIDE - 1)
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2)
    head += entry("channels", "chlist", channel("BY", 2) + channel("RY", 2) + channel("Y", 1) + b"\0")
    head += entry("compression", "compression", b"\0") + entry("dataWindow", "box2i", box)
    head += entry("displayWindow", "box2i", box) + entry("lineOrder", "lineOrder", b"\0")
    head += entry("pixelAspectRatio", "float", struct.pack("<f", 1.0))
    head += entry("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0))
    head += entry("screenWindowWidth", "float", struct.pack("<f", 1.0)) + b"\0"
    lines = []
    for row in range(SIDE):
        parts = [by[row // 2], ry[row // 2]] if row % 2 == 0 else []
        values = b"".join(part.astype("<f4").tobytes() for part in (*parts, y[row]))
        lines.append(struct.pack("<iI", row, len(values)) + values)
    start = len(head) + 8 * SIDE
    offsets = [start + sum(len(line) for line in lines[:row]) for row in range(SIDE)]
    return head + struct.pack(f"<{SIDE}Q", *offsets) + b"".join(lines)


def test_luminance_and_chroma_become_colours(tmp_path: Path) -> None:
    red, green, blue = LIGHT
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    half = np.ones((SIDE // 2, SIDE // 2))
    ry, by = half * (red - luminance) / luminance, half * (blue - luminance) / luminance
    path = tmp_path / "film.exr"
    path.write_bytes(exr(np.full((SIDE, SIDE), luminance), ry, by))
    picture = read_picture(path)
    expected = [round(255 * (1.055 * value ** (1 / 2.4) - 0.055)) for value in LIGHT]
    assert np.abs(picture.reshape(-1, 3).astype(int) - expected).max() <= 1
