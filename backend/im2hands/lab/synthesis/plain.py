"""Pictures without a graphics driver: flat-shaded hands on grey, painted from back to front, with labels and depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .scene import Scene

_NEAREST = 0.02
"""Least depth of a drawn triangle, metres."""
_GREY = 110.0
"""Value of the background, 0 to 255."""
_FRACTION = 4  # fractional bits of pixel positions


@dataclass(frozen=True)
class Drawn:
    """A drawn scene.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        RGB picture.
    labels : (H, W) uint8
        Labels as in a scene set; see ``datasets.scene``.
    depth : (H, W) float32
        Depth of the surface, metres; 0 or infinite where there is none.
    """

    picture: np.ndarray
    labels: np.ndarray
    depth: np.ndarray


def paint(scene: Scene, faces: tuple[np.ndarray, np.ndarray]) -> Drawn:
    """Paint a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    faces : pair of (F, 3) int64
        Faces of the left and the right hand.

    Returns
    -------
    Drawn
        Picture, labels and depth.
    """
    camera = scene.camera
    canvas = np.empty((camera.height, camera.width, 3), dtype=np.float32)  # shade, label, depth
    canvas[:] = (_GREY, 0.0, np.inf)
    corners, colours = [], []
    for hand in np.flatnonzero(scene.present):
        triangle = scene.vertices[hand][faces[hand]]
        normal = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        middle = triangle.mean(axis=1)
        seen = ((normal * middle).sum(axis=1) < 0) & (triangle[..., 2].min(axis=1) > _NEAREST)
        shade = np.clip(90 - 110 * normal[:, 2] - 40 * normal[:, 1], 20, 250)
        corners.append(camera.project(triangle[seen]))
        colours.append(np.stack([shade, np.full(len(shade), hand + 1.0), middle[:, 2]], axis=1)[seen])
    if corners:
        corner, colour = np.concatenate(corners), np.concatenate(colours)
        near = (np.abs(corner) < 4 * max(camera.width, camera.height)).all(axis=(1, 2))
        corner, colour = corner[near], colour[near]
        fixed = np.round(corner * (1 << _FRACTION)).astype(np.int32)
        for k in np.argsort(-colour[:, 2]):
            cv2.fillConvexPoly(canvas, fixed[k], colour[k].tolist(), lineType=cv2.LINE_8, shift=_FRACTION)
    picture = np.repeat(canvas[..., :1], 3, axis=2).astype(np.uint8)
    return Drawn(picture, canvas[..., 1].astype(np.uint8), np.ascontiguousarray(canvas[..., 2]))
