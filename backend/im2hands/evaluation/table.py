"""The table of methods and keypoint sources on a held-out world of synthetic hands: ``im2hands evaluate table``.

Rows: four methods (the HALO baseline from keypoints, HALO with pixel-aligned image features, the initial and the
refined occupancy) on exact keypoints and on predicted ones, the latter with and without keypoint refinement. Predicted
keypoints are lifted with the true palm length of the scene, as a person gives it with ``--palm-mm``: no single picture
tells it. Hands are compared as :mod:`.measures` says. Means over the hands that were found; a hand that was not found,
or that got no mesh, counts in the column of hands found only.

Scenes count that show both hands, nine tenths of the keypoints inside the picture, over a fifth of the picture's longer
side at least. Every measured scene is written at once, so a run that ends early goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..datasets.scenes import SceneSet
from ..errors import FrameError, InputError
from ..frames import Frame
from ..hands import MIDDLE_MCP, SIDES, WRIST, Camera, HandKeypoints, RefinedHands, Side, TwoHands
from .measures import Mesh, gap_error_mm, measure_hand, penetration_ml
from .methods import METHODS as METHOD_NAMES
from .methods import load_method

SOURCES = ("exact", "mediapipe", "network", "auto")
METHODS = tuple(METHOD_NAMES)

LEAST_INSIDE, LEAST_EXTENT = 0.9, 0.2
"""Share of keypoints inside the picture, and of its longer side that the hands take, for a scene to count."""

_log = logging.getLogger(__name__)


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


class Surfaces(Protocol):
    """What makes meshes: a reconstructor."""

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> Mapping[Side, Any]:
        """See :class:`im2hands.reconstruction.Reconstructor`."""


class Keypoints(Protocol):
    """What finds hands in a picture and places them."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """The hands, camera frame, metres."""


class Refiner(Protocol):
    """Keypoint refinement."""

    def refine(self, frame: Frame, camera: Camera, hands: TwoHands) -> RefinedHands:
        """See :class:`im2hands.keypoint_refiner.KeypointRefiner`."""


@dataclass(frozen=True)
class Result:
    """One scene under one row.

    Args:
        scene: its number. mode: of the scene. method, source, refined: the row. both: both hands found with the right
            sides. seconds: keypoints, their refinement and meshes. gap_mm, penetration_ml: NaN where a hand is missing.
        iou, chamfer_mm, mpjpe_mm: of each hand found.
    """

    scene: int
    mode: str
    method: str
    source: str
    refined: bool
    both: bool
    seconds: float
    gap_mm: float
    penetration_ml: float
    iou: list[float]
    chamfer_mm: list[float]
    mpjpe_mm: list[float]


@dataclass(frozen=True)
class Row:
    """A row of the table; means over scenes or hands. See :class:`Result`."""

    method: str
    source: str
    keypoint_refinement: bool
    scenes: int
    iou: float
    chamfer_mm: float
    mpjpe_mm: float
    gap_mm: float
    penetration_ml: float
    both_found: float
    seconds: float


class ExactKeypoints:
    """The true keypoints."""

    def hands(self, scene: TrueScene) -> TwoHands:
        """See :class:`Keypoints`."""
        return TwoHands(**{
            side: HandKeypoints(side, points, scene.camera.project(points), np.ones(len(points)), 1.0, "exact")
            for side, points in scene.keypoints.items()
        })  # fmt: skip


class FoundKeypoints:
    """A provider's keypoints, lifted.

    Args:
        name: of the provider.
    """

    def __init__(self, name: str) -> None:
        from ..keypoints import make_provider

        self._provider = make_provider(name, video=False)

    def hands(self, scene: TrueScene) -> TwoHands:
        """See :class:`Keypoints`."""
        from ..keypoints import lift

        return lift(self._provider.detect(scene.frame, ()), scene.camera, scene.palm_m)


def measure_scene(
    scene: TrueScene, methods: Mapping[str, Surfaces], sources: Mapping[str, Keypoints], refiner: Refiner | None
) -> Iterator[Result]:
    """All rows of one scene."""
    for source, keypoints in sources.items():
        started = time.perf_counter()
        try:
            found = keypoints.hands(scene)
        except FrameError as error:
            _log.warning("%s: %s", scene.frame.name, error.message)
            found = TwoHands()
        spent = time.perf_counter() - started
        variants = [(False, found, spent)]
        if refiner is not None and source != "exact":
            started = time.perf_counter()
            better = refiner.refine(scene.frame, scene.camera, found).hands
            variants.append((True, better, spent + time.perf_counter() - started))
        for refined, hands, so_far in variants:
            for method, surfaces in methods.items():
                started = time.perf_counter()
                try:
                    meshes = surfaces.reconstruct(scene.frame, scene.camera, hands)
                except FrameError as error:
                    _log.warning("%s, %s: %s", scene.frame.name, method, error.message)
                    meshes = {}
                seconds = so_far + time.perf_counter() - started
                yield _result(scene, method, source, refined, hands, meshes, seconds)


def _result(
    scene: TrueScene, method: str, source: str, refined: bool, hands: TwoHands, meshes: Mapping[Side, Any],
    seconds: float,
) -> Result:  # fmt: skip
    measured, found = [], {}
    for side in SIDES:
        hand = hands.get(side)
        if side not in scene.meshes or side not in meshes or hand is None:
            continue
        mesh = Mesh(np.asarray(meshes[side].vertices, np.float64), meshes[side].faces)
        found[side] = mesh
        truth, points = scene.meshes[side], scene.keypoints[side]
        measured.append(measure_hand(side, truth, points, mesh, hand.positions, scene.number))
    both = len(found) == 2
    gap = penetration = float("nan")
    if both:
        seen = {side: getattr(hands, side).positions for side in SIDES}
        gap = gap_error_mm(dict(scene.keypoints), seen)
        penetration = penetration_ml(found["left"], found["right"], scene.number)
    return Result(
        scene.number, scene.mode, method, source, refined, both and _sides_are_right(scene, hands), seconds, gap,
        penetration, [m.iou for m in measured], [m.chamfer_mm for m in measured], [m.mpjpe_mm for m in measured],
    )  # fmt: skip


def _sides_are_right(scene: TrueScene, hands: TwoHands) -> bool:
    """Whether each hand lies in the picture nearer to the true hand of its side than to the other one."""
    pixels = {side: scene.camera.project(points) for side, points in scene.keypoints.items()}
    for side in SIDES:
        hand = getattr(hands, side)
        gaps = {other: np.linalg.norm(hand.pixels - pixels[other], axis=1).mean() for other in SIDES}
        if gaps[side] > min(gaps.values()):
            return False
    return True


def summarise(results: Iterable[Result]) -> list[Row]:
    """Rows in the order of :data:`SOURCES` and :data:`METHODS`."""
    groups: dict[tuple[str, bool, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.source, result.refined, result.method), []).append(result)

    def mean(values: Sequence[float]) -> float:
        kept = [v for v in values if np.isfinite(v)]
        return float(np.mean(kept)) if kept else float("nan")

    rows = []
    for (source, refined, method), group in sorted(
        groups.items(), key=lambda item: (SOURCES.index(item[0][0]), item[0][1], METHODS.index(item[0][2]))
    ):
        rows.append(
            Row(
                method, source, refined, len(group),
                mean([v for r in group for v in r.iou]), mean([v for r in group for v in r.chamfer_mm]),
                mean([v for r in group for v in r.mpjpe_mm]), mean([r.gap_mm for r in group]),
                mean([r.penetration_ml for r in group]), float(np.mean([r.both for r in group])),
                mean([r.seconds for r in group]),
            )
        )  # fmt: skip
    return rows


def missed_targets(rows: Sequence[Row]) -> list[str]:
    """What the rows miss of the project's targets, each as a sentence."""
    table = {(row.source, row.keypoint_refinement, row.method): row for row in rows}
    missed = []

    def want(name: str, value: float, target: float, *, least: bool) -> None:
        if not (value >= target if least else value <= target):
            missed.append(f"{name} {value:.3g}, target {'at least' if least else 'at most'} {target:.3g}")

    exact = {method: table.get(("exact", False, method)) for method in METHODS}
    halo = exact["halo"]
    if halo:
        want("exact keypoints, HALO: IoU", halo.iou, 0.90, least=True)
        for method, points in (("halo*", 0.015), ("initial", 0.02), ("refined", 0.03)):
            row = exact[method]
            if row:
                want(f"exact keypoints, {METHOD_NAMES[method]}: IoU", row.iou, halo.iou + points, least=True)
    if exact["refined"]:
        want("exact keypoints, refined: Chamfer mm", exact["refined"].chamfer_mm, 0.7, least=False)
        if exact["initial"]:
            share = exact["refined"].penetration_ml / max(exact["initial"].penetration_ml, 1e-9)
            want("exact keypoints, refined: penetration as a share of initial", share, 1 / 3, least=False)
    auto = table.get(("auto", True, "refined")) or table.get(("auto", True, "initial"))
    if auto:
        want("auto with refinement: IoU", auto.iou, 0.70, least=True)
        want("auto with refinement: Chamfer mm", auto.chamfer_mm, 3.5, least=False)
        want("auto with refinement: MPJPE mm", auto.mpjpe_mm, 10.0, least=False)
        want("auto with refinement: distance between the hands off by mm", auto.gap_mm, 15.0, least=False)
        want("auto: both hands with the right sides", auto.both_found, 0.9, least=True)
        want("auto with refinement: seconds", auto.seconds, 3.0, least=False)
    return missed


def format_table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [
        f"{'keypoints':<22}{'method':<14}{'scenes':>7}{'IoU %':>7}{'Chamfer':>9}{'MPJPE':>8}{'gap':>7}"
        f"{'pen. ml':>9}{'both %':>8}{'s':>7}"
    ]
    for row in rows:
        source = row.source + (" + refinement" if row.keypoint_refinement else "")
        lines.append(
            f"{source:<22}{METHOD_NAMES[row.method]:<14}{row.scenes:>7}{100 * row.iou:>7.1f}{row.chamfer_mm:>9.2f}"
            f"{row.mpjpe_mm:>8.1f}{row.gap_mm:>7.1f}{row.penetration_ml:>9.2f}{100 * row.both_found:>8.0f}"
            f"{row.seconds:>7.2f}"
        )
    return "\n".join(lines)


def read_results(folder: Path) -> list[Result]:
    """Everything measured so far; a line cut off at the end of a file is left out.

    Raises:
        InputError: a file that holds something else.
    """
    results = []
    for path in sorted(folder.glob("results*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            try:
                results.append(Result(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{path} does not hold results of this program: {error}.", "Give another --output."
                ) from error
    return results


def append_result(path: Path, result: Result) -> None:
    """Write one result at once; a line that an interruption cut off before is taken away."""
    with open(path, "a+b") as handle:
        handle.seek(0)
        handle.truncate(handle.read().rfind(b"\n") + 1)
        handle.write((json.dumps(asdict(result)) + "\n").encode())


def true_scenes(folder: Path, numbers: Iterable[int]) -> Iterator[TrueScene]:
    """Scenes of a set with their meshes, made again from their parameters.

    Raises:
        InputError: no set, a damaged one.
    """
    import torch

    from ..synthesis.hand_model import HandModel, HandShape
    from ..synthesis.scene import build_hands, hand_faces

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
        frame = Frame(number, 0.0, scene.image(), name)
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``im2hands evaluate table``."""
    parser.add_argument("--data", type=Path, required=True, help="the held-out scene set (docs/training.md makes it)")
    parser.add_argument("--output", type=Path, required=True, help="folder for results; a run that is there goes on")
    parser.add_argument("--scenes", type=int, default=500, help="how many of the set (default 500)")
    parser.add_argument("--part", default="1/1", metavar="1/2", help="measure every second scene, the first half, ...")
    parser.add_argument("--sources", default=",".join(SOURCES), help=f"of {','.join(SOURCES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {','.join(METHODS)}")
    parser.add_argument("--no-keypoint-refinement", action="store_true", help="without the rows of refined keypoints")
    parser.add_argument("--weights", default="bundled", help='"bundled" or a folder')
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate table``; returns the exit code."""
    from tqdm import tqdm

    sources, methods = _chosen(arguments.sources, SOURCES), _chosen(arguments.methods, METHODS)
    part, parts = _part(arguments.part)
    usable = two_hand_scenes(SceneSet(arguments.data))[: arguments.scenes]
    if not usable:
        raise InputError(f"{arguments.data} has no scene with two hands of a fair size.", "Give another set.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    done = {(r.scene, r.source, r.method) for r in read_results(arguments.output)}
    wanted = [
        n
        for n in usable[part - 1 :: parts]
        if any((n, source, method) not in done for source in sources for method in methods)
    ]
    if wanted:
        with_refinement = not arguments.no_keypoint_refinement
        surfaces, providers, refiner = load(arguments, sources, methods, with_refinement=with_refinement)
        path = arguments.output / f"results-{part}-of-{parts}.jsonl"
        for scene in tqdm(true_scenes(arguments.data, wanted), total=len(wanted), unit="scene"):
            for result in measure_scene(scene, surfaces, providers, refiner):
                if (result.scene, result.source, result.method) not in done:
                    append_result(path, result)
    rows = summarise(
        r for r in read_results(arguments.output) if r.scene in usable and r.source in sources and r.method in methods
    )
    missed = missed_targets(rows)
    if arguments.json:
        report = {
            "scenes": len(usable),
            "voxel_mm": arguments.voxel_mm,
            "rows": [asdict(r) for r in rows],
            "missed": missed,
        }
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    else:
        sys.stdout.write(format_table(rows) + "\n" + "".join(f"missed: {line}\n" for line in missed))
    return 0


def load(
    arguments: argparse.Namespace, sources: Sequence[str], methods: Sequence[str], *, with_refinement: bool
) -> tuple[dict[str, Surfaces], dict[str, Keypoints], Refiner | None]:
    """Reconstructors, keypoint sources and the keypoint refinement; what the weights do not hold is left out."""
    from ..devices import choose_device
    from ..errors import WeightsError
    from ..keypoint_refiner import load_keypoint_refiner

    device = choose_device(arguments.device)
    surfaces: dict[str, Surfaces] = {}
    for method in methods:
        try:
            surfaces[method] = load_method(method, arguments.weights, device=device, voxel_m=arguments.voxel_mm / 1000)
        except WeightsError as error:
            _log.warning("%s is left out: %s", METHOD_NAMES[method], error.message)
    providers: dict[str, Keypoints] = {}
    for source in sources:
        try:
            providers[source] = ExactKeypoints() if source == "exact" else FoundKeypoints(source)
        except (InputError, WeightsError) as error:
            _log.warning("keypoints %s are left out: %s", source, error.message)
    refiner = load_keypoint_refiner(arguments.weights, device=device) if with_refinement else None
    return surfaces, providers, refiner


def _chosen(text: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"There is no row {name!r}.", f"Choose of {', '.join(known)}.")
    return names


def _part(text: str) -> tuple[int, int]:
    try:
        part, parts = (int(number) for number in text.split("/"))
    except ValueError:
        part = parts = 0
    if not 1 <= part <= parts:
        raise InputError(f"--part {text} is no part.", "Write 1/2 for the first half.")
    return part, parts
