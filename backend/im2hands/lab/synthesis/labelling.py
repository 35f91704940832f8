"""What a scene set holds of each scene besides the picture: labelled points, and which keypoints are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from im2hands.core.hands import SIDES, Camera
from im2hands.geometry.bones import QUERY_SCALE, Bones, bones_from_keypoints
from im2hands.geometry.hand_model import HandModel
from im2hands.geometry.signed_distance import ClosedMesh
from im2hands.lab.datasets.part_occupancy import sample_points, vertex_parts

_SURFACE = 1.6
"""The surface before a keypoint is at most this many times further than the nearest surface."""
_TOLERANCE = 0.006


@dataclass(frozen=True)
class PointLabels:
    """Of the two hands of a scene, as :mod:`im2hands.lab.datasets.scenes` stores them; P points a hand.

    Args:
        points: (2, P, 3) float16. distance: (2, P) float16. part: (2, P) int8. other: (2, P) float16.
    """

    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray


class PointLabeller:
    """Labels points as :func:`im2hands.lab.datasets.scene_points.label_points` does, with one search tree a mesh."""

    def __init__(self, model: HandModel) -> None:
        self.faces = model.faces.numpy()
        self.face_parts = vertex_parts(model)[self.faces].max(axis=1)

    def label(
        self, meshes: Sequence[ClosedMesh | None], keypoints: np.ndarray, count: int, rng: np.random.Generator
    ) -> PointLabels:
        """Label a scene.

        Args:
            meshes: of the left and the right hand, None for one that is not there. keypoints: (2, 21, 3), the meshes'
                frame, metres. count: P, may be 0.
        """
        labels = PointLabels(
            np.full((2, count, 3), np.nan, np.float16),
            np.full((2, count), np.nan, np.float16),
            np.zeros((2, count), np.int8),
            np.full((2, count), np.nan, np.float16),
        )
        if not count:
            return labels
        there = [k for k, mesh in enumerate(meshes) if mesh is not None]
        if not there:
            return labels
        bones = bones_from_keypoints(torch.from_numpy(keypoints[there]), [SIDES[k] for k in there])
        vertices = np.stack([mesh.vertices for mesh in meshes if mesh is not None])
        own, joints = _canonical(bones, vertices), _canonical(bones, keypoints[there])
        for row, hand in enumerate(there):
            sample = sample_points(own[row], self.faces, joints[row], count, rng)
            labels.points[hand] = sample.astype(np.float16)  # the labels are those of the rounded points
        exact = torch.from_numpy(labels.points[there].astype(np.float64)) / QUERY_SCALE
        for hand, points in zip(there, bones.from_query_space(exact).numpy(), strict=True):
            mesh, other = meshes[hand], meshes[1 - hand]
            assert mesh is not None
            labels.distance[hand], face = mesh.distance_and_face(points)
            labels.part[hand] = self.face_parts[face]
            if other is not None:
                labels.other[hand] = other.signed_distance(points)
        return labels


def _canonical(bones: Bones, points: np.ndarray) -> np.ndarray:
    """(H, N, 3) of H hands, to their canonical frames, metres."""
    moved: np.ndarray = (bones.to_query_space(torch.from_numpy(points)) * QUERY_SCALE).numpy()
    return moved


def skin_depth(mesh: ClosedMesh, keypoints: np.ndarray) -> np.ndarray:
    """(21,) metres: how far the surface before a keypoint (21, 3) may be from it."""
    result: np.ndarray = _SURFACE * np.abs(mesh.signed_distance(keypoints)) + _TOLERANCE
    return result


def visible_keypoints(keypoints: np.ndarray, skin: np.ndarray, camera: Camera, depth: np.ndarray) -> np.ndarray:
    """(2, 21) uint8: 1 for keypoints inside the picture with nothing before them but the skin around them.

    Args:
        keypoints: (2, 21, 3) camera frame, metres, NaN for an absent hand. skin: (2, 21), see :func:`skin_depth`.
        depth: (H, W) metres of the surface in each pixel, 0 or infinite where there is none.
    """
    seen = np.zeros(keypoints.shape[:2], np.uint8)
    for hand, points in enumerate(keypoints):
        if not np.isfinite(points).all():
            continue
        before = points[:, 2] > 0
        pixel = np.round(camera.project(np.where(before[:, None], points, 1.0))).astype(np.int64)
        inside = before & (pixel >= 0).all(axis=1) & (pixel < (camera.width, camera.height)).all(axis=1)
        x, y = np.where(inside[:, None], pixel, 0).T
        surface = depth[y, x]
        seen[hand] = inside & ((surface <= 0) | (surface > points[:, 2] - skin[hand]))
    return seen
