"""Generated scenes with two hands: the hand model in random poses, drawn with the painter's algorithm."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from im2hands.core.hands import SIDES
from im2hands.geometry.hand_model import HandModel
from im2hands.geometry.rotations import rodrigues
from im2hands.lab.datasets.scene import BACKGROUND, LEFT, RIGHT, Scene, SetInfo, encode_labels, encode_picture
from im2hands.lab.datasets.scene_points import label_points
from im2hands.lab.datasets.scenes import SceneWriter
from im2hands.lab.synthesis.poses import random_rotations, random_shape
from im2hands.surfaces.hand_crop import CROP_SIZE, crop_affine

FOCAL = 600.0
SKIN = np.array([214.0, 170.0, 140.0])


@cache
def _model() -> HandModel:
    return HandModel()


def make_scene(seed: int, points: int = 64, present: tuple[bool, bool] = (True, True)) -> Scene:
    """Make a scene with two hands side by side, about half a metre from the camera.

    Parameters
    ----------
    seed : int
        Seed of shape and pose; equal seeds give equal scenes.
    points : int
        Labelled points per hand; 0 for none.
    present : (bool, bool)
        Whether the left and the right hand are in the scene.

    Returns
    -------
    Scene
        The scene.
    """
    model = _model()
    generator = torch.Generator().manual_seed(seed)
    shape = random_shape(2, generator)
    rest, heads = model.rest(shape)
    rotations = random_rotations(model, heads, generator).float()
    posed, joints = model.pose(rest, heads, rotations.double())
    turn, shift = np.full((2, 3, 3), np.nan, np.float32), np.full((2, 3), np.nan, np.float32)
    arrays = {
        "components": shape.components, "length": shape.length, "thickness": shape.thickness, "rotations": rotations,
    }  # fmt: skip
    parameters = {name: value.float().numpy().copy() for name, value in arrays.items()}
    vertices, keypoints = {}, np.full((2, 21, 3), np.nan, np.float32)
    for k, side in enumerate(SIDES):
        if not present[k]:
            for value in parameters.values():
                value[k] = np.nan
            continue
        mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
        angles = torch.rand(3, generator=generator, dtype=torch.float64) * 1.4 - 0.7
        rotation = torch.eye(3, dtype=torch.float64)
        for axis in range(3):
            rotation = rotation @ rodrigues(angles[axis], torch.eye(3, dtype=torch.float64)[axis])
        turn[k] = rotation.numpy()
        middle = joints[k, 9].numpy() * mirror @ turn[k].T.astype(np.float64)
        shift[k] = np.array([-0.05 if side == "left" else 0.05, 0.0, 0.55]) - middle
        t, s = turn[k].astype(np.float64), shift[k].astype(np.float64)
        vertices[side] = posed[k].numpy() * mirror @ t.T + s
        keypoints[k] = joints[k].numpy() * mirror @ t.T + s
    image, labels, intrinsics = _paint(vertices, keypoints, seed)
    labelled = {
        "points": np.full((2, points, 3), np.nan, np.float16), "distance": np.full((2, points), np.nan, np.float16),
        "part": np.zeros((2, points), np.int8), "other": np.full((2, points), np.nan, np.float16),
    }  # fmt: skip
    for k, side in enumerate(SIDES):
        if present[k] and points:
            rng = np.random.default_rng((seed, k))
            rival = vertices.get(SIDES[1 - k])
            found = label_points(vertices[side], keypoints[k].astype(np.float64), side, points, rng, rival)
            for name, value in found._asdict().items():
                labelled[name][k] = value
    return Scene(
        encode_picture(image), encode_labels(labels), keypoints, np.ones((2, 21), np.uint8),
        intrinsics.astype(np.float32), np.array([CROP_SIZE, CROP_SIZE], np.int32), np.int8(0),  # type: ignore[arg-type]
        **parameters, turn=turn, shift=shift, **labelled,
    )  # fmt: skip


def _paint(vertices: dict, keypoints: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw picture, labels and intrinsics, with the farthest triangles first."""
    base = np.array([[FOCAL, 0, 320.0], [0, FOCAL, 320.0], [0, 0, 1.0]])
    joints = keypoints[np.isfinite(keypoints[:, 0, 0])].reshape(-1, 3)
    seen = (joints / joints[:, 2:]) @ base.T
    affine = crop_affine(seen[:, :2].min(0) - 12, seen[:, :2].max(0) + 12)
    intrinsics = np.vstack([affine, [0, 0, 1]]) @ base
    image = np.full((CROP_SIZE, CROP_SIZE, 3), 60 + seed % 7 * 12, np.uint8)
    labels = np.full((CROP_SIZE, CROP_SIZE), BACKGROUND, np.uint8)
    faces = _model().faces.numpy()
    corners = np.concatenate([mesh[faces] for mesh in vertices.values()])
    values = np.repeat([LEFT if side == "left" else RIGHT for side in vertices], len(faces))
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shade = np.abs(normal[:, 2]) / (np.linalg.norm(normal, axis=1) + 1e-12)
    colour = SKIN * (0.35 + 0.65 * shade[:, None]) * np.where(values == LEFT, 0.9, 1.0)[:, None]
    pixels = (corners / corners[..., 2:]) @ intrinsics.T
    for k in np.argsort(-corners[..., 2].mean(1), kind="stable"):
        polygon = np.rint(pixels[k, :, :2]).astype(np.int32)
        cv2.fillConvexPoly(image, polygon, colour[k].tolist())
        cv2.fillConvexPoly(labels, polygon, int(values[k]))
    return image, labels, intrinsics


def make_set(
    folder: Path, count: int, points: int = 64, *, seed: int = 1, shard_size: int = 4, single: bool = False,
    clip: int = 0,
) -> Path:  # fmt: skip
    """Write a set of scenes.

    Parameters
    ----------
    folder : Path
        Folder of the set.
    count : int
        Number of scenes.
    points : int
        Labelled points per hand.
    seed : int
        Seed of the set.
    shard_size : int
        Scenes per shard.
    single : bool
        Whether every second scene has only one hand.
    clip : int
        Frames per clip; 0 for single pictures.

    Returns
    -------
    Path
        The folder.
    """
    about = {"made_by": "tests"} | ({"frames": clip} if clip else {})
    info = SetInfo(seed, shard_size, CROP_SIZE, points, ("beside",), about)
    with SceneWriter(folder, info) as writer:
        for k in range(writer.count, count):
            present = ((True, False), (False, True))[k // 2 % 2] if single and k % 2 else (True, True)
            writer.append(make_scene(seed * 1000 + k, points, present))
    return folder
