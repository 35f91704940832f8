"""Labels of a scene besides the picture: labelled points, and the visibility of keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import QUERY_SCALE, Bones, bones_from_keypoints
from im2hands.geometry.hand_model import HandModel
from im2hands.geometry.signed_distance import ClosedMesh
from im2hands.lab.datasets.part_occupancy import sample_points, vertex_parts

_SURFACE = 1.6
"""Factor on a keypoint's distance to the nearest skin, which gives how far the surface before it may be."""
_TOLERANCE = 0.006
"""Metres added to it."""


@dataclass(frozen=True)
class PointLabels:
    """Labelled points of the two hands of a scene, as ``datasets.scenes`` stores them; P points a hand.

    Parameters
    ----------
    points : (2, P, 3) float16
        Points in the canonical frame of their hand, metres; NaN for an absent hand.
    distance : (2, P) float16
        Signed distance to the own hand's mesh, metres, negative inside; NaN for an absent hand.
    part : (2, P) int8
        Bone (0 to 15) of the nearest surface of the own hand; 0 for an absent hand.
    other : (2, P) float16
        Signed distance to the other hand's mesh, metres; NaN if either hand is absent.
    """

    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray


class PointLabeller:
    """Labels points like ``datasets.scene_points.label_points``, but with one search tree for each mesh.

    Parameters
    ----------
    model : HandModel
        The hand model.
    """

    def __init__(self, model: HandModel) -> None:
        self.faces = model.faces.numpy()
        self.face_parts = vertex_parts(model)[self.faces].max(axis=1)

    def label(
        self, meshes: Sequence[ClosedMesh | None], keypoints: np.ndarray, count: int, rng: np.random.Generator
    ) -> PointLabels:
        """Sample and label the points of a scene.

        Parameters
        ----------
        meshes : sequence of ClosedMesh or None
            Meshes of the left and the right hand, None for an absent hand.
        keypoints : (2, 21, 3) float64
            Keypoints in the meshes' frame, metres.
        count : int
            P, the number of points a hand; may be 0.
        rng : numpy.random.Generator
            Source of the random numbers.

        Returns
        -------
        PointLabels
            The points and their labels.
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
            labels.points[hand] = sample.astype(np.float16)  # label the rounded points
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
    """Transform points (H, N, 3) of H hands to the canonical frames of the hands, metres."""
    moved: np.ndarray = (bones.to_query_space(torch.from_numpy(points)) * QUERY_SCALE).numpy()
    return moved


def skin_depth(mesh: ClosedMesh, keypoints: np.ndarray) -> np.ndarray:
    """Compute how far the surface before each keypoint may be from it for the keypoint to be visible.

    Parameters
    ----------
    mesh : ClosedMesh
        Mesh of the hand.
    keypoints : (21, 3) float64
        Keypoints in the mesh's frame, metres.

    Returns
    -------
    (21,) float64
        Distances, metres.
    """
    result: np.ndarray = _SURFACE * np.abs(mesh.signed_distance(keypoints)) + _TOLERANCE
    return result


def visible_keypoints(keypoints: np.ndarray, skin: np.ndarray, camera: Camera, depth: np.ndarray) -> np.ndarray:
    """Find the keypoints inside the picture that nothing hides but the skin around them.

    Parameters
    ----------
    keypoints : (2, 21, 3) float64
        Keypoints, camera frame, metres; NaN for an absent hand.
    skin : (2, 21) float64
        Distances from ``skin_depth``, metres.
    camera : Camera
        Camera of the picture.
    depth : (H, W) float32
        Depth of the surface in each pixel, metres; 0 or infinite where there is none.

    Returns
    -------
    (2, 21) uint8
        1 for visible keypoints, 0 for others.
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
