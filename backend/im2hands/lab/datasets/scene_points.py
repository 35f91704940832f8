"""Labelled points and meshes of the hands of a scene."""

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
    """Labelled points of one hand, as in a ``Scene``.

    Parameters
    ----------
    points : (P, 3) float16
        Points, canonical frame of the hand's true keypoints, metres.
    distance : (P,) float16
        Signed distance of the rounded points to the hand's uncut mesh, metres, negative inside.
    part : (P,) int8
        Bone (0 to 15) of the nearest surface.
    other : (P,) float16
        Signed distance to the other hand, metres; NaN without one.
    """

    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray


@cache
def _model() -> tuple[HandModel, np.ndarray, np.ndarray]:
    """The hand model, its faces (F, 3) and the bone of each face (F,)."""
    model = HandModel()
    faces = model.faces.numpy()
    return model, faces, vertex_parts(model)[faces].max(axis=1)


def label_points(
    vertices: np.ndarray, keypoints: np.ndarray, side: Side, count: int, rng: np.random.Generator,
    other_vertices: np.ndarray | None = None,
) -> LabelledPoints:  # fmt: skip
    """Draw points around one hand (``part_occupancy.sample_points``) and label them.

    Parameters
    ----------
    vertices : (1843, 3) float
        Vertices of the posed hand model, camera frame, metres.
    keypoints : (21, 3) float
        True keypoints of the hand, camera frame, metres.
    side : Side
        The person's own left or right hand.
    count : int
        Number of points P.
    rng : numpy.random.Generator
        Source of all random numbers.
    other_vertices : (1843, 3) float, optional
        Vertices of the hand of the other side, camera frame, metres. None without one.

    Returns
    -------
    LabelledPoints
        The points with their labels.

    Raises
    ------
    SetupError
        libigl is not installed.
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
        # The faces are oriented for a right hand, so mirror a left hand and its points.
        mirror = np.array([1.0, 1.0, 1.0] if side == "left" else [-1.0, 1.0, 1.0])
        mesh = np.ascontiguousarray(np.asarray(other_vertices, np.float64) * mirror)
        other = signed_distance(seen * mirror, mesh, faces)[0].astype(np.float16)
    return LabelledPoints(points, distance.astype(np.float16), face_parts[face], other)


def scene_hands(scene: Scene) -> dict[Side, tuple[np.ndarray, np.ndarray]]:
    """Rebuild the meshes and keypoints of a scene's hands from the parameters of the hand model.

    Parameters
    ----------
    scene : Scene
        The scene.

    Returns
    -------
    dict of Side to (ndarray, ndarray)
        For each present hand whose parameters are known, vertices (1843, 3) and keypoints (21, 3), float64, camera
        frame, metres. The faces are ``HandModel().faces``, with reversed orientation for a left hand.
    """
    model, _, _ = _model()
    hands: dict[Side, tuple[np.ndarray, np.ndarray]] = {}
    for index, side in enumerate(SIDES):
        if not scene.present[index] or not np.isfinite(scene.components[index]).all():  # prepared crops have none
            continue
        arrays = (scene.components, scene.length, scene.thickness, scene.rotations)
        components, length, thickness, rotations = (torch.from_numpy(a[index]).double()[None] for a in arrays)
        posed = model.pose(*model.rest(HandShape(components, length, thickness)), rotations)
        mirror = np.array([-1.0, 1.0, 1.0] if side == "left" else [1.0, 1.0, 1.0])
        turn, shift = scene.turn[index].astype(np.float64), scene.shift[index].astype(np.float64)
        vertices, keypoints = (x[0].numpy() * mirror @ turn.T + shift for x in posed)
        hands[side] = (vertices, keypoints)
    return hands
