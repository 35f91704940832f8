"""The tools of a measuring process: reconstructors, keypoint sources and keypoint refinement, loaded on first use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from im2hands.core.errors import InputError, SetupError, WeightsError
from im2hands.lab.evaluation.held_out import true_scenes
from im2hands.lab.evaluation.methods import METHODS as METHOD_NAMES
from im2hands.lab.evaluation.methods import load_method

from .clips import ClipResult, clip_number, measure_clip
from .kept_keypoints import KeptKeypoints
from .rows import Result, RowKey
from .scene import ExactKeypoints, Finder, FoundKeypoints, Keypoints, Refiner, Surfaces, attempts, measure

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Settings of a run of the table; sent to worker processes.

    Parameters
    ----------
    data : Path or None
        Scene set.
    clips : Path or None
        Set of clips.
    weights : str
        "bundled" or a weights folder.
    palms : Path or None
        Weights of the two-hand network; None for the bundled ones.
    hands : str
        What is known of the hands: "auto", "both", "left" or "right".
    voxel_mm : float
        Lattice spacing, millimetres.
    device : str
        "auto", "cpu", "cuda" or "mps".
    mesh_every : int
        In clips, make meshes for every n-th processed frame.
    stride : int
        In clips, process every n-th frame.
    kept : Path
        Folder of the cached keypoints.
    scene_names : tuple of (str, str)
        For scenes: each keypoint source and the beginning of its cache files' names.
    clip_names : tuple of (str, str)
        The same for clips.
    """

    data: Path | None
    clips: Path | None
    weights: str
    palms: Path | None
    hands: str
    voxel_mm: float
    device: str
    mesh_every: int
    stride: int
    kept: Path
    scene_names: tuple[tuple[str, str], ...]
    clip_names: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Job:
    """A scene or clip, and the rows for which it is to be measured.

    Parameters
    ----------
    numbers : range
        Number of the scene, or the numbers of the clip's frames.
    clip : bool
        Whether the job is a clip.
    rows : frozenset of RowKey
        Rows without a result.
    """

    numbers: range
    clip: bool
    rows: frozenset[RowKey]


class Tools:
    """Networks and keypoint sources of a measuring process; each is loaded when a row first needs it.

    Parameters
    ----------
    plan : Plan
        Settings of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._surfaces: dict[str, Surfaces | None] = {}
        self._refiner: Refiner | None = None
        self._refiner_loaded = False
        self._photos, self._videos = (
            {
                source: KeptKeypoints(plan.kept, name, partial(_source, source, plan.hands, plan.palms))
                for source, name in names
            }
            for names in (plan.scene_names, plan.clip_names)
        )
        self._left_out: set[str] = set()

    def measure(self, job: Job) -> Iterator[Result | ClipResult]:
        """Measure a job.

        Parameters
        ----------
        job : Job
            The scene or clip.

        Yields
        ------
        Result or ClipResult
            One for each row. Rows whose weights or keypoint source cannot be used are left out with a warning.
        """
        surfaces = self.surfaces({row.method for row in job.rows})
        refiner = self.refiner() if any(row.refined for row in job.rows) else None
        sources = {row.source for row in job.rows}
        if job.clip:
            plan, number = self.plan, clip_number(job.numbers)
            usable = {source: self._videos[source] for source in sources if self._usable(self._videos, source, number)}
            assert plan.clips is not None
            yield from measure_clip(
                plan.clips, job.numbers, surfaces, usable, refiner, job.rows, plan.mesh_every, plan.stride
            )
            return
        assert self.plan.data is not None
        for scene in true_scenes(self.plan.data, job.numbers):
            for attempt in attempts(scene, surfaces, self.finders(sources, scene.number), refiner, job.rows):
                yield measure(scene, attempt)

    def surfaces(self, methods: set[str]) -> dict[str, Surfaces]:
        """Return the reconstructors of methods, by name; those whose weights are damaged are left out with a warning.

        Parameters
        ----------
        methods : set of str
            Names of the methods.

        Returns
        -------
        dict of str to Surfaces
        """
        from im2hands.core.devices import choose_device

        plan = self.plan
        for method in sorted(methods - self._surfaces.keys(), key=list(METHOD_NAMES).index):
            try:
                self._surfaces[method] = load_method(
                    method, plan.weights, device=choose_device(plan.device), voxel_m=plan.voxel_mm / 1000
                )
            except WeightsError as error:
                _log.warning("%s is left out: %s", METHOD_NAMES[method], error.message)
                self._surfaces[method] = None
        return {method: made for method in METHOD_NAMES if method in methods and (made := self._surfaces[method])}

    def refiner(self) -> Refiner | None:
        """Return the keypoint refinement, or None if the weights have none."""
        from im2hands.core.devices import choose_device
        from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner

        if not self._refiner_loaded:
            self._refiner_loaded = True
            self._refiner = load_keypoint_refiner(self.plan.weights, device=choose_device(self.plan.device))
        return self._refiner

    def finders(self, sources: set[str], number: int) -> dict[str, Finder]:
        """Return the keypoint sources for a scene, by name; those that cannot be made are left out with a warning.

        Parameters
        ----------
        sources : set of str
            Names of the keypoint sources.
        number : int
            Number of the scene; a source need not be loaded if the scene's keypoints are cached.

        Returns
        -------
        dict of str to Finder
        """
        finders: dict[str, Finder] = {"exact": ExactKeypoints()} if "exact" in sources else {}
        for source in self._photos:
            if source in sources and self._usable(self._photos, source, number):
                finders[source] = self._photos[source]
        return finders

    def _usable(self, kept: dict[str, KeptKeypoints], source: str, number: int) -> bool:
        """Whether a source has cached keypoints of a scene or clip, or can be loaded to detect them."""
        if source in self._left_out or kept[source].knows(number):
            return source not in self._left_out
        try:
            kept[source].open()
        except (InputError, SetupError) as error:
            _log.warning("keypoints %s are left out: %s", source, error.message)
            self._left_out.add(source)
        return source not in self._left_out

    def close(self) -> None:
        """Close the keypoint sources."""
        for kept in (*self._photos.values(), *self._videos.values()):
            kept.close()


def _source(name: str, hands: str, palms: Path | None) -> Keypoints:
    return FoundKeypoints(name, hands, palms)
