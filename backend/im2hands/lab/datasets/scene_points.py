"""Labelled points and meshes of the hands of a scene (:mod:`.scenes`)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE, bones_from_keypoints
from im2hands.geometry.hand_model import HandModel, HandShape

from .part_occupancy import sample_points, signed_distance, vertex_parts
from .scene import Scene


class LabelledPoints(NamedTuple):
    """Points of one hand as a scene holds them; see the table of :mod:`.scenes`.

    Args:
        points: (P, 3) float16. distance: (P,) float16. part: (P,) int8. other: (P,) float16.
    """

    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray


@cache
def _model() -> tuple[HandModel, np.ndarray, np.ndarray]:
    """The hand model, its faces and the bone that moves each face."""
    model = HandModel()
    faces = model.faces.numpy()
    return model, faces, vertex_parts(model)[faces].max(axis=1)


def label_points(
    vertices: np.ndarray, keypoints: np.ndarray, side: Side, count: int, rng: np.random.Generator,
    other_vertices: np.ndarray | None = None,
) -> LabelledPoints:  # fmt: skip
    """Points around one hand with their signed distances, those of :func:`.part_occupancy.sample_points`.

    Args:
        vertices: (1843, 3) of the posed hand model. keypoints: (21, 3). Both camera frame, metres. count: P.
        other_vertices: the same of the other side's hand, if there is one.

    Raises:
        SetupError: libigl is not installed.
    """
    _, faces, face_parts = _model()
    bones = bones_from_keypoints(torch.from_numpy(keypoints.astype(np.float64))[None], [side])

    def canonical(points: np.ndarray) -> np.ndarray:
        moved = bones.to_query_space(torch.from_numpy(np.asarray(points, np.float64))[None]) * QUERY_SCALE
        return np.ascontiguousarray(moved[0].numpy())

    own = canonical(vertices)
    points = sample_points(own, faces, canonical(keypoints), count, rng).astype(np.float16)
    exact = points.astype(np.float64)
    distance, face = signed_distance(exact, own, faces)
    other = np.full(count, np.nan, np.float16)
    if other_vertices is not None:
        seen = bones.from_query_space(torch.from_numpy(exact)[None] / QUERY_SCALE)[0].numpy()
        # The faces are those of a right hand; a left one is looked at in the mirror.
        mirror = np.array([1.0, 1.0, 1.0] if side == "left" else [-1.0, 1.0, 1.0])
        mesh = np.ascontiguousarray(np.asarray(other_vertices, np.float64) * mirror)
        other = signed_distance(seen * mirror, mesh, faces)[0].astype(np.float16)
    return LabelledPoints(points, distance.astype(np.float16), face_parts[face], other)


def scene_hands(scene: Scene) -> dict[Side, tuple[np.ndarray, np.ndarray]]:
    """Meshes and keypoints of a scene's hands, made from the hand model's parameters.

    Returns:
        Per hand that is there: vertices (1843, 3) and keypoints (21, 3), float64, camera frame, metres. Faces are
        ``HandModel().faces``, turned round for a left hand.
    """
    model, _, _ = _model()
    hands: dict[Side, tuple[np.ndarray, np.ndarray]] = {}
    for index, side in enumerate(SIDES):
        if not scene.present[index]:
            continue
        arrays = (scene.components, scene.length, scene.thickness, scene.rotations)
        components, length, thickness, rotations = (torch.from_numpy(a[index]).double()[None] for a in arrays)
        posed = model.pose(*model.rest(HandShape(components, length, thickness)), rotations)
        mirror = np.array([-1.0, 1.0, 1.0] if side == "left" else [1.0, 1.0, 1.0])
        turn, shift = scene.turn[index].astype(np.float64), scene.shift[index].astype(np.float64)
        vertices, keypoints = (x[0].numpy() * mirror @ turn.T + shift for x in posed)
        hands[side] = (vertices, keypoints)
    return hands
