"""One scene under the rows of the table: keypoints, their refinement, meshes, and how far they are from the truth."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, Camera, HandKeypoints, RefinedHands, Side, TwoHands
from im2hands.lab.evaluation.held_out import TrueScene
from im2hands.lab.evaluation.measures import Mesh, gap_error_mm, penetration_ml
from im2hands.media.source import Frame

from .rows import Result, RowKey

_log = logging.getLogger(__name__)


class Surfaces(Protocol):
    """What makes meshes: a reconstructor."""

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> Mapping[Side, Any]:
        """See :class:`im2hands.surfaces.from_keypoints.Reconstructor`."""


class Keypoints(Protocol):
    """What finds hands in a picture and places them."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """The hands, camera frame, metres."""

    def close(self) -> None:
        """Give back what it holds."""


Found = tuple[TwoHands, float]
"""Hands, and the seconds that it took to find them."""


class Finder(Protocol):
    """What gives the rows their keypoints."""

    def found(self, scene: TrueScene) -> Found:
        """The hands in a scene."""


class Refiner(Protocol):
    """Keypoint refinement."""

    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """See :class:`im2hands.surfaces.keypoint_refiner.KeypointRefiner`."""


class ExactKeypoints:
    """The true keypoints."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """See :class:`Keypoints`."""
        return TwoHands(**{
            side: HandKeypoints(side, points, scene.camera.project(points), np.ones(len(points)), 1.0, "exact")
            for side, points in scene.keypoints.items()
        })  # fmt: skip

    def found(self, scene: TrueScene) -> Found:
        """See :class:`Finder`."""
        return look(scene, self)

    def close(self) -> None:
        """See :class:`Keypoints`."""


class FoundKeypoints:
    """A provider's keypoints, lifted.

    Args:
        name: of the provider. video: scenes come in order from one clip, and hands are followed. palm_weights: the
            two-hand network's; None for those that ship.
    """

    def __init__(self, name: str, video: bool = False, palm_weights: Path | None = None) -> None:
        from im2hands.keypoints.hypothesis import HandDetection
        from im2hands.keypoints.sources import make_provider

        self._provider = make_provider(name, video=video, palm_weights=palm_weights)
        self._video = video
        self._previous: Sequence[HandDetection] = ()

    def hands(self, scene: TrueScene) -> TwoHands:
        """See :class:`Keypoints`."""
        from im2hands.keypoints.placing.solve import lift

        previous, self._previous = self._previous, ()
        seen = self._provider.detect(scene.frame, previous)
        if self._video:
            self._previous = seen
        return lift(seen, scene.camera, scene.palm_m)

    def close(self) -> None:
        """See :class:`Keypoints`."""
        self._provider.close()


@dataclass(frozen=True)
class Attempt:
    """What one row makes of a scene.

    Args:
        key: of the row. hands: camera frame, metres. meshes: of the hands that got one, camera frame, metres.
        seconds: keypoints, their refinement and meshes.
    """

    key: RowKey
    hands: TwoHands
    meshes: Mapping[Side, Mesh]
    seconds: float


def attempts(
    scene: TrueScene,
    methods: Mapping[str, Surfaces],
    sources: Mapping[str, Finder],
    refiner: Refiner | None,
    wanted: Container[RowKey] | None = None,
) -> Iterator[Attempt]:
    """What the rows make of a scene: all of them, or those ``wanted``. Keypoints are looked for once a source."""
    for source, keypoints in sources.items():
        refinements = (False, True) if refiner is not None and source != "exact" else (False,)
        rows = [RowKey(source, refined, method) for refined in refinements for method in methods]
        rows = [row for row in rows if wanted is None or row in wanted]
        if not rows:
            continue
        variants = {False: keypoints.found(scene)}
        if refiner is not None and any(row.refined for row in rows):
            hands, spent = variants[False]
            started = time.perf_counter()
            better = refiner.refine(scene.frame, scene.camera, hands).hands
            variants[True] = better, spent + time.perf_counter() - started
        for row in rows:
            hands, so_far = variants[row.refined]
            meshes, spent = found_meshes(scene, row.method, methods[row.method], hands)
            yield Attempt(row, hands, meshes, so_far + spent)


def look(scene: TrueScene, keypoints: Keypoints) -> Found:
    """The hands that a source sees, and the seconds it took; none where the picture cannot be used."""
    started = time.perf_counter()
    try:
        found = keypoints.hands(scene)
    except FrameError as error:
        _log.warning("%s: %s", scene.frame.name, error.message)
        found = TwoHands()
    return found, time.perf_counter() - started


def found_meshes(
    scene: TrueScene, method: str, surfaces: Surfaces, hands: TwoHands
) -> tuple[dict[Side, Mesh], float]:  # fmt: skip
    """The meshes of hands, and the seconds it took; none where the frame cannot be reconstructed."""
    started = time.perf_counter()
    try:
        made = surfaces.reconstruct(scene.frame, scene.camera, hands)
    except FrameError as error:
        _log.warning("%s, %s: %s", scene.frame.name, method, error.message)
        made = {}
    seconds = time.perf_counter() - started
    return {side: Mesh(np.asarray(mesh.vertices, np.float64), mesh.faces) for side, mesh in made.items()}, seconds


def measure(scene: TrueScene, attempt: Attempt) -> Result:
    """How far an attempt is from the truth."""
    hands, measured, found = attempt.hands, [], {}
    for side in SIDES:
        hand = hands.get(side)
        if side not in scene.meshes or side not in attempt.meshes or hand is None:
            continue
        found[side] = mesh = attempt.meshes[side]
        measured.append(scene.hands[side].measure(mesh, hand.positions))
    both = len(found) == 2
    gap = penetration = float("nan")
    if both:
        seen = {side: getattr(hands, side).positions for side in SIDES}
        gap = gap_error_mm(dict(scene.keypoints), seen)
        penetration = penetration_ml(found["left"], found["right"], scene.number)
    source, refined, method = attempt.key
    return Result(
        scene.number, scene.mode, method, source, refined, both and sides_are_right(scene, hands), attempt.seconds, gap,
        penetration, [m.iou for m in measured], [m.chamfer_mm for m in measured], [m.mpjpe_mm for m in measured],
    )  # fmt: skip


def sides_are_right(scene: TrueScene, hands: TwoHands) -> bool:
    """Whether each hand lies in the picture nearer to the true hand of its side than to the other one; both there."""
    pixels = {side: scene.camera.project(points) for side, points in scene.keypoints.items()}
    for side in SIDES:
        hand = getattr(hands, side)
        gaps = {other: np.linalg.norm(hand.pixels - pixels[other], axis=1).mean() for other in SIDES}
        if gaps[side] > min(gaps.values()):
            return False
    return True
