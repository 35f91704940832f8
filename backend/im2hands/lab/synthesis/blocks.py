"""Blocks of synthetic scenes: poses, cameras, pictures and labels of the scenes that are posed in one batch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from im2hands.core.camera import Camera
from im2hands.lab.datasets.scene import Scene as StoredScene
from im2hands.lab.datasets.scene import encode_labels, encode_picture

from .cameras import LONGEST, Jitter, View, aim, crop_camera
from .clips import ClipMaker
from .labelling import PointLabeller, skin_depth, visible_keypoints
from .painters import make_painter
from .pairs import Pair, PairMaker, Tally
from .scene import Scene
from .settings import MODES, Settings

_SINGLES = {"crop": 0.15, "whole": 0.25, "clip": 0.0}
"""Share of scenes with one hand, by kind of set."""
_EMPTY = {"crop": 0.04, "whole": 0.12, "clip": 0.0}
"""Share of scenes without hands, by kind of set."""
_VIEW, _LOOK, _POINTS = 10, 11, 12  # numbers of random streams; pairs.py and clips.py use others
_VIEW_TRIES = 6
_ALONG_ARM = 0.8
"""Cosine between a forearm and the direction from its wrist to the camera. Above it, the forearm hides the hand."""


@dataclass
class Report:
    """What was made, and the time it took.

    Parameters
    ----------
    scenes : int
        Scenes made.
    seconds : dict of str to float
        Time of each stage in seconds, summed over the workers.
    wall : float
        Elapsed time, seconds.
    tally : Tally
        Tried and accepted poses by mode.
    """

    scenes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    tally: Tally = field(default_factory=Tally)

    def add(self, other: Report) -> None:
        """Add the numbers of another report; elapsed time is left as it is."""
        self.scenes += other.scenes
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.tally.add(other.tally)


class BlockMaker:
    """Makes the scenes of a set block by block. Holds the hand model, the pose solver and the renderer.

    Parameters
    ----------
    settings : Settings
        Settings of the set.

    Raises
    ------
    InputError
        Folders that cannot be used.
    SetupError
        There is no graphics driver or no Blender, or a package is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pairs = PairMaker()
        self.clips = ClipMaker(self.pairs)
        self.labeller = PointLabeller(self.pairs.model)
        self.painter = make_painter(
            settings.renderer, self.pairs.model, settings.skins, settings.environments, settings.backgrounds,
            settings.blender, settings.threads,
        )  # fmt: skip

    def close(self) -> None:
        """Release the renderer."""
        self.painter.close()

    def block(self, number: int, count: int) -> tuple[list[StoredScene], Report]:
        """Make scenes of one block.

        Parameters
        ----------
        number : int
            Number of the block in the set.
        count : int
            Number of scenes to make, from the block's first one.

        Returns
        -------
        list of datasets.scene.Scene
            The scenes.
        Report
            Counts and times.
        """
        settings, report = self.settings, Report()
        seconds = report.seconds
        before = time.perf_counter()

        def lap(stage: str) -> None:
            nonlocal before
            now = time.perf_counter()
            seconds[stage] = seconds.get(stage, 0.0) + now - before
            before = now

        if settings.kind == "clip":
            posed, report.tally = self.clips.clip(settings.seed, number)
            viewed = self._clip_views(number, posed)
        else:
            posed, report.tally = self.pairs.block(
                settings.seed, number, _SINGLES[settings.kind], _EMPTY[settings.kind], settings.block
            )
            viewed = [self._view(number * settings.block + k, pair) for k, pair in enumerate(posed[:count])]
        pairs: list[Pair | None] = [*posed]
        del posed
        lap("poses")
        made = []
        for k, scene in enumerate(viewed[:count]):
            # Search trees take megabytes: free each pair when its scene is made.
            pair, pairs[k] = pairs[k], None
            assert pair is not None
            index = number * settings.block + k
            look = number if settings.kind == "clip" else index
            drawn = self.painter.draw(scene, np.random.default_rng((settings.seed, look, _LOOK)))
            lap("pictures")
            picture, labels = encode_picture(drawn.picture), encode_labels(drawn.labels)
            lap("encoding")
            made.append(self._stored(index, pair, scene, picture, labels, drawn.depth))
            lap("labels")
        report.scenes = len(made)
        return made, report

    def _view(self, index: int, pair: Pair) -> Scene:
        """The scene of one pair from a random camera."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index, _VIEW))
        kind: Literal["crop", "whole"] = "crop" if settings.kind == "crop" else "whole"
        longest = LONGEST if kind == "crop" else settings.size
        view = self._good_view([pair], rng, kind, longest)
        camera = view.camera
        if kind == "crop" and not pair.present.any():
            focal, middle = camera.fx * settings.size / camera.width, (settings.size - 1) / 2
            camera = Camera(focal, focal, middle, middle, settings.size, settings.size)
        elif kind == "crop":
            points = pair.keypoints[pair.present].reshape(-1, 3)
            seen = points @ view.rotation.T + view.translation
            camera = crop_camera(camera, seen, Jitter.draw(rng), settings.size)
        return in_camera(pair, view.rotation, view.translation, replace(camera, origin="file"))

    def _clip_views(self, number: int, pairs: list[Pair]) -> list[Scene]:
        """The scenes of a clip, from one camera that drifts a little."""
        rng = np.random.default_rng((self.settings.seed, number, _VIEW))
        view = self._good_view(pairs, rng, "crop", self.settings.size)
        drift = 0.004 * rng.standard_normal(3)
        steps = np.linspace(-1, 1, len(pairs))
        return [
            in_camera(pair, view.rotation, view.translation + step * drift, replace(view.camera, origin="file"))
            for pair, step in zip(pairs, steps, strict=True)
        ]

    @staticmethod
    def _good_view(pairs: list[Pair], rng: np.random.Generator, kind: Literal["crop", "whole"], longest: int) -> View:
        """Draw a camera that does not look along a forearm onto the hand behind it, in a limited number of tries."""
        points = np.concatenate([pair.keypoints[pair.present].reshape(-1, 3) for pair in pairs])
        for _ in range(_VIEW_TRIES):
            view = aim(points, rng, kind, pairs[0].view, longest)
            hidden = False
            for pair in (pairs[0], pairs[len(pairs) // 2], pairs[-1]):
                wrist = pair.keypoints[pair.present, 0]
                arm = pair.vertices[pair.present, -1] - wrist
                towards = -(wrist + view.rotation.T @ view.translation)
                cosine = (arm * towards).sum(axis=1)
                cosine = cosine / np.linalg.norm(arm, axis=1) / np.linalg.norm(towards, axis=1)
                hidden |= bool((cosine > _ALONG_ARM).any())
            if not hidden:
                break
        return view

    def _stored(
        self, index: int, pair: Pair, scene: Scene, picture: bytes, labels: bytes, depth: np.ndarray
    ) -> StoredScene:
        """The scene in the format of the data set; values of absent hands are NaN."""
        rng = np.random.default_rng((self.settings.seed, index, _POINTS))
        meshes = self.pairs.meshes(pair)
        points = self.labeller.label(meshes, pair.keypoints, self.settings.points, rng)
        skin = np.stack(
            [np.zeros(21) if m is None else skin_depth(m, k) for m, k in zip(meshes, pair.keypoints, strict=True)]
        )
        camera = scene.camera
        absent = ~scene.present

        def stored(values: Any) -> np.ndarray:
            array = np.asarray(values, dtype=np.float32).copy()
            array[absent] = np.nan
            return array

        return StoredScene(
            picture, labels, stored(scene.keypoints), visible_keypoints(scene.keypoints, skin, camera, depth),
            camera.matrix.astype(np.float32), np.array([camera.width, camera.height], np.int32),
            np.array(MODES.index(scene.mode), np.int8),
            stored(scene.shape.components), stored(scene.shape.length), stored(scene.shape.thickness),
            stored(scene.rotations), stored(scene.turn), stored(scene.shift),
            points.points, points.distance, points.part, points.other,
        )  # fmt: skip


def in_camera(pair: Pair, rotation: np.ndarray, translation: np.ndarray, camera: Any) -> Scene:
    """Transform a pair into the frame of a camera.

    Parameters
    ----------
    pair : Pair
        The hands, body frame.
    rotation : (3, 3) float64
        Body frame to camera frame.
    translation : (3,) float64
        Metres, camera frame.
    camera : Camera
        The camera.

    Returns
    -------
    Scene
        The scene, camera frame.
    """
    turn = torch.from_numpy(rotation)
    return Scene(
        pair.present,
        pair.shape,
        pair.rotations,
        turn @ pair.turn,
        pair.shift @ turn.mT + torch.from_numpy(translation),
        pair.vertices @ rotation.T + translation,
        pair.keypoints @ rotation.T + translation,
        camera,
        pair.mode,
    )
