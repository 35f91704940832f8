"""Held-out scenes of a synthetic set with their true meshes, and the choice of the scenes that count.

A scene counts if it shows both hands, nine tenths of the keypoints lie inside the picture, and the hands extend over
at least a fifth of the picture's longer side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST, Side
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.media.source import Frame

from .measures import Mesh, TrueHand

LEAST_INSIDE, LEAST_EXTENT = 0.9, 0.2
"""Conditions for a scene to count: share of keypoints inside the picture, and extent over its longer side."""

CLIP_FPS = 30.0
"""Frame rate of the clips of a set, frames a second."""


@dataclass(frozen=True)
class TrueScene:
    """A held-out scene: its picture and its ground truth.

    Parameters
    ----------
    number : int
        Index of the scene in its set.
    frame : Frame
        The picture.
    camera : Camera
        Camera of the picture.
    meshes : Mapping of Side to Mesh
        True meshes of the hands that are present, camera frame, metres.
    keypoints : Mapping of Side to (21, 3) float64
        True keypoints of the hands that are present, camera frame, metres.
    mode : str
        Interaction mode: how the two hands were posed relative to each other.
    """

    number: int
    frame: Frame
    camera: Camera
    meshes: Mapping[Side, Mesh]
    keypoints: Mapping[Side, np.ndarray]
    mode: str

    @property
    def palm_m(self) -> float:
        """Palm length (wrist to middle knuckle), metres, mean over the hands."""
        return float(np.mean([np.linalg.norm(k[MIDDLE_MCP] - k[WRIST]) for k in self.keypoints.values()]))

    @cached_property
    def hands(self) -> Mapping[Side, TrueHand]:
        """The true hands that reconstructions are compared with; cached, because every row of the table uses them."""
        return {side: TrueHand(side, mesh, self.keypoints[side], self.number) for side, mesh in self.meshes.items()}


def true_scenes(folder: Path, numbers: Iterable[int]) -> Iterator[TrueScene]:
    """Read scenes of a set and rebuild their meshes from the stored hand parameters.

    Parameters
    ----------
    folder : Path
        Scene set.
    numbers : iterable of int
        Indices of the scenes.

    Yields
    ------
    TrueScene

    Raises
    ------
    InputError
        The folder holds no scene set, or the set is damaged.
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
    """Choose the scenes of a set that count: two hands, large enough, inside the picture.

    Parameters
    ----------
    scenes : SceneSet
        The set.

    Returns
    -------
    list of int
        Indices of the scenes, in order.

    Raises
    ------
    InputError
        The set is damaged.
    """
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
