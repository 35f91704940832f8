"""The held-out world: scenes of a set with their true meshes, and which of them count.

Scenes count that show both hands, nine tenths of the keypoints inside the picture, over a fifth of the picture's longer
side at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST, Camera, Side
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.media.source import Frame

from .measures import Mesh, TrueHand

LEAST_INSIDE, LEAST_EXTENT = 0.9, 0.2
"""Share of keypoints inside the picture, and of its longer side that the hands take, for a scene to count."""

CLIP_FPS = 30.0
"""Frames a second of a set of clips."""


@dataclass(frozen=True)
class TrueScene:
    """A scene of the held-out world with what is known of it.

    Args:
        number: in the world. frame, camera: the picture and its camera. meshes, keypoints: per side that is there,
            camera frame, metres. mode: how the hands stand to each other.
    """

    number: int
    frame: Frame
    camera: Camera
    meshes: Mapping[Side, Mesh]
    keypoints: Mapping[Side, np.ndarray]
    mode: str

    @property
    def palm_m(self) -> float:
        """Mean length from wrist to middle knuckle, metres."""
        return float(np.mean([np.linalg.norm(k[MIDDLE_MCP] - k[WRIST]) for k in self.keypoints.values()]))

    @cached_property
    def hands(self) -> Mapping[Side, TrueHand]:
        """What reconstructed hands are compared with; kept, for every row of the table needs it."""
        return {side: TrueHand(side, mesh, self.keypoints[side], self.number) for side, mesh in self.meshes.items()}


def true_scenes(folder: Path, numbers: Iterable[int]) -> Iterator[TrueScene]:
    """Scenes of a set with their meshes, made again from their parameters.

    Raises:
        InputError: no set, a damaged one.
    """
    import torch

    from im2hands.geometry.hand_model import HandModel, HandShape
    from im2hands.lab.synthesis.scene import build_hands, hand_faces

    scenes, model = SceneSet(folder), HandModel()
    for number in numbers:
        scene = scenes.scene(number)
        matrix = scene.intrinsics.astype(np.float64)
        width, height = (int(v) for v in scene.size)
        camera = Camera(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], width, height, "file")
        tensors = [
            torch.from_numpy(np.nan_to_num(getattr(scene, name)).astype(np.float64))
            for name in ("components", "length", "thickness", "rotations", "turn", "shift")
        ]
        shape = HandShape(tensors[0], tensors[1], tensors[2])
        vertices, _ = build_hands(model, shape, tensors[3], tensors[4], tensors[5], torch.tensor([0, 1]))
        there = {side: k for k, side in enumerate(SIDES) if scene.present[k]}
        meshes = {side: Mesh(vertices[k].numpy(), hand_faces(model, k)) for side, k in there.items()}
        keypoints = {side: scene.keypoints[k].astype(np.float64) for side, k in there.items()}
        name = f"scene {number}"
        frame = Frame(number, number / CLIP_FPS, scene.image(), name)
        yield TrueScene(number, frame, camera, meshes, keypoints, scenes.info.modes[int(scene.mode)])


def two_hand_scenes(scenes: SceneSet) -> list[int]:
    """The scenes of a set that count, see the module."""
    numbers = []
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        if not scene.present.all():
            continue
        seen = scene.keypoints.reshape(-1, 3).astype(np.float64) @ scene.intrinsics.T.astype(np.float64)
        pixels = seen[:, :2] / seen[:, 2:]
        inside = ((pixels >= 0) & (pixels < scene.size)).all(axis=1).mean()
        extent = float(np.ptp(pixels, axis=0).max() / scene.size.max())
        if inside >= LEAST_INSIDE and extent >= LEAST_EXTENT:
            numbers.append(number)
    return numbers
