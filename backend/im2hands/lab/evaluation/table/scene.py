"""Measurement of one scene for the rows of the table: keypoints, their refinement, meshes, and errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, HandKeypoints, RefinedHands, Side, TwoHands
from im2hands.lab.evaluation.held_out import TrueScene
from im2hands.lab.evaluation.measures import Mesh, gap_error_mm, penetration_ml
from im2hands.media.source import Frame

from .rows import Result, RowKey

_log = logging.getLogger(__name__)


class Surfaces(Protocol):
    """A reconstructor: makes meshes from keypoints, and from the picture."""

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> Mapping[Side, Any]:
        """Reconstruct the surfaces of hands, see ``im2hands.surfaces.from_keypoints.Reconstructor``.

        Parameters
        ----------
        frame : Frame or None
            The picture; None if the reconstructor uses only keypoints.
        camera : Camera
            Camera of the picture.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        Mapping of Side to mesh
            Camera frame, metres.

        Raises
        ------
        FrameError
            The frame cannot be reconstructed.
        """


class Keypoints(Protocol):
    """A keypoint source: detects the hands of a scene or of a clip and places them in space."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """Return the hands in a scene, camera frame, metres."""

    def hands_in_clip(self, scenes: Sequence[TrueScene]) -> list[TwoHands]:
        """Return the hands in each frame of a clip, camera frame, metres."""

    def close(self) -> None:
        """Release resources."""


Found = tuple[TwoHands, float]
"""Hands, and the seconds that their detection took."""


class Finder(Protocol):
    """A keypoint source that also returns the detection time; it may be a cache."""

    def found(self, scene: TrueScene) -> Found:
        """Return the hands in a scene and the seconds that their detection took."""


class Refiner(Protocol):
    """Keypoint refinement."""

    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """Refine the keypoints of hands, see ``im2hands.surfaces.keypoint_refiner.KeypointRefiner``.

        Parameters
        ----------
        frame : Frame
            The picture.
        camera : Camera
            Camera of the picture.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        RefinedHands
        """


class ExactKeypoints:
    """The keypoint source that returns the true keypoints."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """Return the true hands of a scene, camera frame, metres."""
        return TwoHands(**{
            side: HandKeypoints(side, points, scene.camera.project(points), np.ones(len(points)), 1.0, "exact")
            for side, points in scene.keypoints.items()
        })  # fmt: skip

    def found(self, scene: TrueScene) -> Found:
        """Return the true hands of a scene and the seconds that this took."""
        return look(scene, self)

    def hands_in_clip(self, scenes: Sequence[TrueScene]) -> list[TwoHands]:
        """Return the true hands in each frame of a clip, camera frame, metres."""
        return [self.hands(scene) for scene in scenes]

    def close(self) -> None:
        """Do nothing: there are no resources."""


class FoundKeypoints:
    """The keypoint source that runs a keypoint provider and lifts its detections with the true palm length.

    Parameters
    ----------
    name : str
        Name of the provider.
    hands : str
        What is known of the hands: "auto", "both", "left" or "right".
    two_hand_weights : Path or None
        Weights of the two-hand network; None for the bundled ones.

    Raises
    ------
    InputError
        There is no provider of that name.
    SetupError
        A package or file that the provider needs is missing or damaged.
    WeightsError
        The weights are missing or damaged.
    """

    def __init__(self, name: str, hands: str = "auto", two_hand_weights: Path | None = None) -> None:
        from im2hands.keypoints.sources import make_provider

        self._provider = make_provider(name, hands=hands, two_hand_weights=two_hand_weights)

    def hands(self, scene: TrueScene) -> TwoHands:
        """Return the detected hands of a scene, a photo; camera frame, metres."""
        from im2hands.keypoints.placing.solve import place_hands

        return place_hands(self._provider.detect(scene.frame), scene.camera, scene.palm_m)

    def hands_in_clip(self, scenes: Sequence[TrueScene]) -> list[TwoHands]:
        """Return the detected hands in each frame of a clip; they are chosen together. Camera frame, metres."""
        from im2hands.keypoints.placing.clip import place_clip

        if not scenes:
            return []
        found = self._provider.detect_clip([scene.frame for scene in scenes])
        times = [scene.frame.time for scene in scenes]
        return place_clip(found, [scene.camera for scene in scenes], times, scenes[0].palm_m)

    def close(self) -> None:
        """Close the provider."""
        self._provider.close()


@dataclass(frozen=True)
class Attempt:
    """The reconstruction of a scene for one row.

    Parameters
    ----------
    key : RowKey
        The row.
    hands : TwoHands
        Keypoints, camera frame, metres.
    meshes : Mapping of Side to Mesh
        Meshes of the reconstructed hands, camera frame, metres.
    seconds : float
        Time for keypoints, their refinement and meshes.
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
    """Reconstruct a scene for each row; each keypoint source runs once.

    Parameters
    ----------
    scene : TrueScene
        The scene.
    methods : Mapping of str to Surfaces
        Reconstructors by method name.
    sources : Mapping of str to Finder
        Keypoint sources by name.
    refiner : Refiner or None
        Keypoint refinement; None leaves out the refined rows.
    wanted : container of RowKey or None
        Rows to reconstruct; None for all.

    Yields
    ------
    Attempt
    """
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
    """Run a keypoint source on a scene.

    Parameters
    ----------
    scene : TrueScene
        The scene.
    keypoints : Keypoints
        The keypoint source.

    Returns
    -------
    hands : TwoHands
        Camera frame, metres; no hands, with a warning in the log, if the picture cannot be used.
    seconds : float
        Time that the source took.
    """
    started = time.perf_counter()
    try:
        found = keypoints.hands(scene)
    except FrameError as error:
        _log.warning("%s: %s", scene.frame.name, error.message)
        found = TwoHands()
    return found, time.perf_counter() - started


def look_at_clip(scenes: Sequence[TrueScene], keypoints: Keypoints) -> list[Found]:
    """Run a keypoint source on a clip.

    Parameters
    ----------
    scenes : sequence of TrueScene
        Frames of the clip, in order.
    keypoints : Keypoints
        The keypoint source.

    Returns
    -------
    list of (TwoHands, float)
        For each frame the hands (camera frame, metres) and its equal share of the time that the clip took. If the clip
        cannot be used, no frame has hands, and the log says so.
    """
    started = time.perf_counter()
    try:
        found = keypoints.hands_in_clip(scenes)
    except FrameError as error:
        _log.warning("clip from %s: %s", scenes[0].frame.name, error.message)
        found = [TwoHands() for _ in scenes]
    seconds = (time.perf_counter() - started) / max(len(scenes), 1)
    return [(hands, seconds) for hands in found]


def found_meshes(
    scene: TrueScene, method: str, surfaces: Surfaces, hands: TwoHands
) -> tuple[dict[Side, Mesh], float]:  # fmt: skip
    """Reconstruct the meshes of hands.

    Parameters
    ----------
    scene : TrueScene
        The scene.
    method : str
        Name of the method, for the log.
    surfaces : Surfaces
        Reconstructor of the method.
    hands : TwoHands
        Keypoints, camera frame, metres.

    Returns
    -------
    meshes : dict of Side to Mesh
        Camera frame, metres; empty, with a warning in the log, if the frame cannot be reconstructed.
    seconds : float
        Time that the reconstruction took.
    """
    started = time.perf_counter()
    try:
        made = surfaces.reconstruct(scene.frame, scene.camera, hands)
    except FrameError as error:
        _log.warning("%s, %s: %s", scene.frame.name, method, error.message)
        made = {}
    seconds = time.perf_counter() - started
    return {side: Mesh(np.asarray(mesh.vertices, np.float64), mesh.faces) for side, mesh in made.items()}, seconds


def measure(scene: TrueScene, attempt: Attempt) -> Result:
    """Measure the errors of a reconstruction.

    Parameters
    ----------
    scene : TrueScene
        The scene with its true hands.
    attempt : Attempt
        Its reconstruction.

    Returns
    -------
    Result
    """
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
    """Return whether each hand lies nearer to the true hand of its own side than to the other, in the picture.

    Parameters
    ----------
    scene : TrueScene
        Scene with both true hands.
    hands : TwoHands
        Both hands, with pixels.

    Returns
    -------
    bool
    """
    pixels = {side: scene.camera.project(points) for side, points in scene.keypoints.items()}
    for side in SIDES:
        hand = getattr(hands, side)
        gaps = {other: np.linalg.norm(hand.pixels - pixels[other], axis=1).mean() for other in SIDES}
        if gaps[side] > min(gaps.values()):
            return False
    return True
