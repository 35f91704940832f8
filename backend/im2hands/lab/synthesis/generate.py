"""Generation of sets of synthetic scenes in parallel: poses, cameras, pictures and labels, reproducible from a seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from im2hands import __version__
from im2hands.core.errors import InputError
from im2hands.core.processes import in_processes
from im2hands.lab.datasets.scene import SET_FILE, SetInfo, encode_labels, encode_picture, read_info
from im2hands.lab.datasets.scene import Scene as StoredScene
from im2hands.lab.datasets.scenes import SceneSet, SceneWriter

from .cameras import LONGEST, Jitter, View, aim, crop_camera
from .choices import KINDS, RENDERERS, Kind
from .clips import CLIP, ClipMaker
from .interaction_modes import SINGLE_MODES, TWO_HAND_MODES
from .labelling import PointLabeller, skin_depth, visible_keypoints
from .painters import folder_digest, make_painter
from .pairs import BLOCK, Pair, PairMaker, Tally
from .scene import NO_HANDS, Scene

MODES = (*TWO_HAND_MODES, *SINGLE_MODES, NO_HANDS)
"""Names of a set's modes; a scene stores the index."""

_SINGLES = {"crop": 0.10, "whole": 0.25, "clip": 0.0}
"""Share of scenes with one hand, by kind of set."""
_EMPTY = {"crop": 0.0, "whole": 0.08, "clip": 0.0}
"""Share of scenes without hands, by kind of set."""
_BLOCKS_IN_SHARD = 2
_VIEW, _LOOK, _POINTS = 10, 11, 12  # numbers of random streams; pairs.py and clips.py use others
_VIEW_TRIES = 6
_ALONG_ARM = 0.8
"""Cosine between a forearm and the direction from its wrist to the camera. Above it, the forearm hides the hand."""


@dataclass(frozen=True)
class Settings:
    """Settings of a scene set.

    Parameters
    ----------
    kind : {"crop", "whole", "clip"}
        "crop" for square pictures by the crop convention, "whole" for pictures with small hands anywhere, "clip" for
        whole pictures of moving hands.
    seed : int
        Seed from 0 to 2**32 - 1.
    points : int
        Labelled points for each hand.
    size : int
        Side of crops, or the longest side of the largest whole pictures, pixels.
    renderer : str
        A name in ``choices.RENDERERS``.
    skins : Path or None
        Folder of skin textures. None uses procedural skins.
    environments : Path or None
        Folder of panoramas. None uses procedural ones.
    backgrounds : Path or None
        Folder of background photos. None uses procedural backgrounds.
    blender : Path or None
        Blender executable or Python with bpy, for Cycles; see ``painters.make_painter``.
    threads : int
        Threads of Blender, 0 for all.
    together : int
        Scenes that are posed in one batch, 0 for ``pairs.BLOCK``. Fewer need less memory. Another number gives other
        scenes, like another seed.
    """

    kind: Kind = "crop"
    seed: int = 0
    points: int = 2048
    size: int = 256
    renderer: str = "raster"
    skins: Path | None = None
    environments: Path | None = None
    backgrounds: Path | None = None
    blender: Path | None = None
    threads: int = 0
    together: int = 0

    def checked(self) -> Settings:
        """Return these settings if they can be used.

        Raises
        ------
        InputError
            A value that cannot be used.
        """
        if self.kind not in KINDS:
            raise InputError(f"There is no kind of set {self.kind}.", f"Use {', '.join(KINDS)}.")
        if self.renderer not in RENDERERS:
            raise InputError(f"There is no renderer {self.renderer}.", f"Use {', '.join(RENDERERS)}.")
        if not 32 <= self.size <= 2048:
            raise InputError(f"Pictures of {self.size} pixels cannot be made.", "Give a size of 32 to 2048.")
        if not 0 <= self.points <= 100_000 or not 0 <= self.seed < 2**32:
            raise InputError(
                f"{self.points} points and seed {self.seed} are not possible.",
                "Give 0 to 100000 points, and a seed from 0 to 4294967295.",
            )
        return self

    @property
    def block(self) -> int:
        """Number of scenes that are posed in one batch."""
        return CLIP if self.kind == "clip" else self.together or BLOCK

    def info(self) -> SetInfo:
        """Build the content of the set's ``set.json``."""
        generator: dict[str, Any] = {
            "program": f"im2hands {__version__}",
            "kind": self.kind,
            "renderer": self.renderer,
            **{name: folder_digest(getattr(self, name)) for name in ("skins", "environments", "backgrounds")},
        }
        if self.kind == "clip":
            generator["frames"] = CLIP
        return SetInfo(self.seed, _BLOCKS_IN_SHARD * self.block, self.size, self.points, MODES, generator)


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
        if kind == "crop":
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


def generate(
    folder: Path,
    scenes: int,
    settings: Settings,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a scene set, or continue one.

    Parameters
    ----------
    folder : Path
        Folder of the set.
    scenes : int
        Number of scenes when the set is complete.
    settings : Settings
        Settings of the set.
    workers : int
        Number of processes.
    resume : bool
        Continue the set that is in the folder.
    progress : callable or None
        Called with the number of written scenes and the total.

    Returns
    -------
    Report
        Counts and times of the scenes made in this run.

    Raises
    ------
    InputError
        Settings or folders that cannot be used, a set that exists already or has other settings, or a full disk.
    SetupError
        There is no graphics driver or no Blender, or a package is missing.
    """
    settings = settings.checked()
    if scenes < 1 or workers < 1:
        raise InputError(f"{scenes} scenes by {workers} workers cannot be made.", "Give at least one of each.")
    folder = Path(folder)
    info = settings.info()
    if (folder / SET_FILE).exists():
        if not resume:
            raise InputError(f"There is a scene set in {folder}.", "Choose another folder, or give --resume.")
        _check_same(folder, info)
    elif folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Choose another place for the set.")
    elif folder.is_dir() and any(folder.glob("*.npz")):
        raise InputError(f"{folder} holds other files.", "Choose an empty or a new folder.")
    begun = time.perf_counter()
    report = Report()
    if resume and (folder / SET_FILE).exists() and read_info(folder).scenes >= scenes and _whole(folder):
        return report
    try:
        with SceneWriter(folder, info) as writer:
            first = writer.count
            blocks = [
                (k, min(settings.block, scenes - k * settings.block))
                for k in range(first // settings.block, -(-scenes // settings.block))
            ]
            for made, part in _run(settings, blocks, workers):
                report.add(part)
                for scene in made:
                    writer.append(scene)
                if progress:
                    progress(writer.count, scenes)
    except BaseException:
        _take_away_if_empty(folder)
        raise
    report.wall = time.perf_counter() - begun
    return report


def _take_away_if_empty(folder: Path) -> None:
    """Remove a set without scenes, so that a failed start (a missing renderer, say) does not block the next one."""
    with suppress(InputError, OSError):
        if read_info(folder).scenes == 0:
            (folder / SET_FILE).unlink()
            folder.rmdir()


def _whole(folder: Path) -> bool:
    """Whether the set can be read completely."""
    try:
        SceneSet(folder).check()
    except InputError:
        return False
    return True


def _check_same(folder: Path, info: SetInfo) -> None:
    """Raise InputError if the set in the folder has other settings."""
    there = replace(read_info(folder), scenes=0)
    if there == info:
        return
    differing = [n for n in ("seed", "points", "picture", "shard_size", "modes", "generator") if
                 getattr(there, n) != getattr(info, n)]  # fmt: skip
    raise InputError(
        f"The scene set in {folder} was made with other settings ({', '.join(differing)}).",
        "Give the same ones, or choose another folder.",
    )


def _run(settings: Settings, blocks: list[tuple[int, int]], workers: int) -> Iterator[tuple[list[StoredScene], Report]]:
    """Yield the results of the blocks in order."""
    if workers == 1 or len(blocks) == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # results must not depend on the number of cores
        try:
            with closing(BlockMaker(settings)) as maker:
                for number, count in blocks:
                    yield maker.block(number, count)
        finally:
            torch.set_num_threads(threads)
        return
    yield from in_processes(partial(_block, settings), blocks, workers, "Use fewer --workers, and go on with --resume.")


@cache
def _maker(settings: Settings) -> BlockMaker:
    """The block maker of this worker, built once. A finalizer closes it, since workers run no exit functions."""
    maker = BlockMaker(settings)
    Finalize(None, maker.close, exitpriority=1)
    return maker


def _block(settings: Settings, block: tuple[int, int]) -> tuple[list[StoredScene], Report]:
    """The scenes of a block; runs in a worker."""
    return _maker(settings).block(*block)
