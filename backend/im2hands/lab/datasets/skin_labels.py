"""Where the points of ``geometry.skin_points`` lie in a scene, and which of them the picture shows.

A scene stores the parameters of its hands, so places need no further array. A point is visible if it lies in the
picture, the label image has its own hand there (so no object and no other hand is in front), and no other skin of its
own hand is in front of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SKIN_POINT_COUNT
from im2hands.geometry.hand_model import HandModel, HandShape
from im2hands.geometry.skin_points import SkinPoints, skin_points
from im2hands.lab.synthesis.scene import build_hands, hand_faces

from .scene import LEFT, RIGHT, Scene

# Skin that lies less than this in front of a point does not hide it, metres: the point's own faces, seen from the side.
_IN_FRONT_M = 0.0025
_FLAT = 1e-9  # twice the area of a face seen from its edge, square pixels
_NEAREST_M = 0.01  # nearest point that a picture shows
# Pixels around a point in which its hand must be seen; at an outline rounding leaves the hand.
_AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class SkinLabels:
    """Points on the skin of the two hands of a scene, left and right; NaN and False for an absent hand.

    Parameters
    ----------
    places : (2, 128, 3) float64
        Points in the camera frame, metres.
    pixels : (2, 128, 2) float64
        Their projections, pixels; NaN for a point behind the camera.
    visible : (2, 128) bool
        Whether the picture shows them.
    """

    places: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray


class SkinLabeller:
    """Labels the points on the skin of the hands of scenes.

    Parameters
    ----------
    model : HandModel, optional
        The hand model. None loads the bundled one.
    """

    def __init__(self, model: HandModel | None = None) -> None:
        self._model = model or HandModel()
        self.points: SkinPoints = skin_points(self._model)
        self._faces = [hand_faces(self._model, side) for side in range(2)]

    def label(self, scene: Scene, camera: Camera) -> SkinLabels:
        """Label a scene.

        Parameters
        ----------
        scene : Scene
            The scene.
        camera : Camera
            Camera of its picture.

        Returns
        -------
        SkinLabels
            The labels.

        Raises
        ------
        InputError
            The scene has hands without parameters, as those of a prepared split.
        """
        places, pixels = np.full((2, SKIN_POINT_COUNT, 3), np.nan), np.full((2, SKIN_POINT_COUNT, 2), np.nan)
        visible = np.zeros((2, SKIN_POINT_COUNT), dtype=bool)
        rows = np.flatnonzero(scene.present)
        if not len(rows):
            return SkinLabels(places, pixels, visible)
        if not np.isfinite(scene.components[rows]).all():
            raise InputError(
                "The scene has no parameters of its hands, so their points on the skin are unknown.",
                "Give sets of im2hands synthesize.",
            )
        given = (scene.components, scene.length, scene.thickness, scene.rotations, scene.turn, scene.shift)
        components, length, thickness, rotations, turn, shift = (torch.from_numpy(value[rows]) for value in given)
        shape = HandShape(components, length, thickness)
        meshes = build_hands(self._model, shape, rotations, turn, shift, torch.from_numpy(rows))[0].numpy()
        labels = scene.label_image()
        for k, mesh in zip(rows, meshes, strict=True):
            places[k] = mesh[self.points.vertices]
            before = mesh[:, 2] > _NEAREST_M  # forearms reach behind the camera
            seen = camera.project(np.where(before[:, None], mesh, 1.0))
            pixels[k] = np.where(before[:, None], seen, np.nan)[self.points.vertices]
            own = cv2.dilate((labels == (LEFT, RIGHT)[k]).astype(np.uint8), _AROUND)
            faces = self._faces[k][before[self._faces[k]].all(axis=1)]
            on = np.flatnonzero(_lies_on(own, pixels[k]))
            if len(on):
                visible[k, on] = _unhidden(mesh, seen, faces, self.points.vertices[on])
        return SkinLabels(places, pixels, visible)


def _lies_on(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Which pixels (P, 2) lie in the picture and on a mask (H, W)."""
    known = np.isfinite(pixels).all(axis=1)
    column, row = np.round(np.where(known[:, None], pixels, 0)).astype(np.int64).T
    inside = known & (column >= 0) & (row >= 0) & (column < mask.shape[1]) & (row < mask.shape[0])
    return inside & (mask[np.where(inside, row, 0), np.where(inside, column, 0)] > 0)


def _unhidden(mesh: np.ndarray, seen: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which vertices (P,) of a mesh (V, 3) with projections (V, 2) no face (F, 3) of it hides.

    A corner's share of a point inside a face and the inverse of the face's depth are linear in the pixels.
    """
    placed = np.concatenate([seen - seen[points].mean(axis=0), np.ones((len(seen), 1))], axis=1)
    at, corners = placed[points], placed[faces]
    a, b, c = (corners[:, k, :2] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    front = area < -_FLAT  # outward faces turn clockwise as seen, y points down
    shares = np.linalg.inv(corners[front])  # (F, 3 of the pixel, 3 corners)
    nearness = (shares @ (1 / mesh[faces[front], 2])[..., None])[..., 0]
    hides = at @ nearness.T > 1 / (mesh[points, 2][:, None] - _IN_FRONT_M)
    for corner in range(3):
        hides &= at @ shares[:, :, corner].T >= 0
    result: np.ndarray = ~hides.any(axis=1)
    return result
