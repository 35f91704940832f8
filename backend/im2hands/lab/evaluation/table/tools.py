"""What measures scenes and clips under the rows of the table: reconstructors, keypoint sources, keypoint refinement."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from im2hands.core.errors import InputError, WeightsError
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
    """What a run of the table measures with; goes to other processes.

    Args:
        data, clips: the sets. weights: "bundled" or a folder. palms: the two-hand network's weights; None for those
            that ship. voxel_mm, device: as on the command line. mesh_every, stride: see :func:`.measure_clip`.
        kept: folder of kept keypoints. scene_names, clip_names: of each source and what its files are called there.
    """

    data: Path | None
    clips: Path | None
    weights: str
    palms: Path | None
    voxel_mm: float
    device: str
    mesh_every: int
    stride: int
    kept: Path
    scene_names: tuple[tuple[str, str], ...]
    clip_names: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Job:
    """A scene, or a clip, and the rows under which it is to be measured.

    Args:
        numbers: of the scene, or of the clip's frames. clip: whether it is one. rows: that are missing.
    """

    numbers: range
    clip: bool
    rows: frozenset[RowKey]


class Tools:
    """Loads what a row needs when the first scene is measured under it.

    Args:
        plan: of the run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._surfaces: dict[str, Surfaces | None] = {}
        self._refiner: Refiner | None = None
        self._refiner_loaded = False
        self._photos = {
            source: KeptKeypoints(plan.kept, name, partial(_source, source, False, plan.palms))
            for source, name in plan.scene_names
        }
        self._videos = {
            source: KeptKeypoints(plan.kept, name, partial(_source, source, True, plan.palms))
            for source, name in plan.clip_names
        }
        self._left_out: set[str] = set()

    def measure(self, job: Job) -> Iterator[Result | ClipResult]:
        """The results of a job, one after the other."""
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
        """What makes the meshes of methods; those whose weights are damaged are left out with a warning."""
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
        """Keypoint refinement; None where the weights have none."""
        from im2hands.core.devices import choose_device
        from im2hands.surfaces.keypoint_refiner import load_keypoint_refiner

        if not self._refiner_loaded:
            self._refiner_loaded = True
            self._refiner = load_keypoint_refiner(self.plan.weights, device=choose_device(self.plan.device))
        return self._refiner

    def finders(self, sources: set[str], number: int) -> dict[str, Finder]:
        """Where keypoints of a scene come from; sources that cannot be made are left out with a warning."""
        finders: dict[str, Finder] = {"exact": ExactKeypoints()} if "exact" in sources else {}
        for source in self._photos:
            if source in sources and self._usable(self._photos, source, number):
                finders[source] = self._photos[source]
        return finders

    def _usable(self, kept: dict[str, KeptKeypoints], source: str, number: int) -> bool:
        """Whether a source can say something of a scene or clip."""
        if source in self._left_out or kept[source].knows(number):
            return source not in self._left_out
        try:
            kept[source].open()
        except (InputError, WeightsError) as error:
            _log.warning("keypoints %s are left out: %s", source, error.message)
            self._left_out.add(source)
        return source not in self._left_out

    def close(self) -> None:
        """Close the keypoint sources."""
        for kept in (*self._photos.values(), *self._videos.values()):
            kept.close()


def _source(name: str, video: bool, palms: Path | None) -> Keypoints:
    return FoundKeypoints(name, video=video, palm_weights=palms)
