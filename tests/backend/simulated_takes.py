"""Takes with known ground truth: surfaces are meshes of the bundled hand, keypoints are its joints with noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side
from im2hands.lab.bench.simulated_clips import Clip, simulate
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take

STUMP = 0.02
"""Length of the surface behind the wrist, metres."""


def header(camera: Camera, kind: str = "video", files: Sequence[str] = ("clip.mp4",)) -> dict[str, object]:
    """Make the header of a take."""
    return {
        "source": {"kind": kind, "inputs": list(files), "files": list(files), "first": 1, "step": 1},
        "fps": 25.0, "image_size": [camera.width, camera.height], "camera": camera.to_dict(),
        "settings": {}, "provenance": {},
    }  # fmt: skip


def hand_surface(vertices: np.ndarray, faces: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut a hand mesh 20 mm behind the wrist, where implicit surfaces end too; the cut stays open.

    Parameters
    ----------
    vertices : (V, 3) array
        Vertices, metres.
    faces : (F, 3) array
        Triangles.
    keypoints : (21, 3) array
        Keypoints, in the frame of the vertices.

    Returns
    -------
    vertices : (W, 3) float32
        Vertices of the kept part.
    faces : (G, 3) int32
        Its triangles.
    """
    along = keypoints[9] - keypoints[0]
    behind = -(vertices - keypoints[0]) @ along / np.linalg.norm(along)
    kept = faces[(behind[faces] < STUMP).all(axis=1)]
    used, faces = np.unique(kept, return_inverse=True)
    return vertices[used].astype(np.float32), faces.reshape(-1, 3).astype(np.int32)


def write_take(
    folder: Path, clip: Clip, sides: Sequence[Side] = SIDES, indices: Sequence[int] | None = None, **source: object
) -> Take:
    """Write a take of a simulated clip.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    clip : Clip
        The clip.
    sides : sequence of Side
        Hands to write.
    indices : sequence of int, optional
        Frames to write, counted from 1; None for all.
    **source : object
        ``kind`` and ``files`` of the take's source.

    Returns
    -------
    Take
        The take.
    """
    take = Take.create(folder, header(clip.camera, **source))  # type: ignore[arg-type]
    count = len(clip.truth["left"])
    for index in indices or range(1, count + 1):
        arrays, hands = {}, {}
        for side in sides:
            points = clip.seen[side][index - 1]
            if not np.isfinite(points).all():
                continue
            true = clip.truth[side][index - 1]
            vertices, faces = hand_surface(clip.vertices[side][index - 1], clip.faces[side], true)
            arrays |= {
                f"{side}_vertices": vertices,
                f"{side}_faces": faces,
                f"{side}_keypoints": points.astype(np.float32),
                f"{side}_keypoints_2d": clip.camera.project(points).astype(np.float32),
                f"{side}_confidence": np.ones(21, np.float32),
                f"{side}_bone_lengths": np.full(16, 0.03, np.float32),
            }
            hands[side] = {"confidence": 0.9, "source": "simulated"}
        status = "ok" if len(hands) == 2 else "partial" if hands else "empty"
        take.write_frame(FrameRecord(index, status, "", hands, "", f"key{index}"), arrays or None)  # type: ignore[arg-type]
    return take


__all__ = ["hand_surface", "header", "simulate", "write_take"]
