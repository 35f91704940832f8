"""Evaluation of the part occupancy network on held-out synthetic hands: ``im2hands evaluate part-occupancy``.

The shapes and poses of the hands come from seeds that training never uses. The forearm behind the cut is excluded from
all measures. IoU compares the network with the true mesh at uniform points in the bounding box of the hand in front of
the cut. The Chamfer distance is the mean of the two mean distances from surface samples of one mesh to the other mesh;
the flat cap at the cut is excluded.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import trimesh

from im2hands.geometry.bone_reach import BoneReach
from im2hands.geometry.bones import QUERY_SCALE, bones_from_keypoints
from im2hands.lab.datasets.part_occupancy import STUMP, PosedHands, posed_hands, signed_distance
from im2hands.lab.synthesis.poses import ShapeSpread
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.shape_encoder import skeleton_of
from im2hands.surfaces.dense_lattice import Surface, extract_surfaces
from im2hands.surfaces.occupancy_field import PartField
from im2hands.weights.folder import require_weights
from im2hands.weights.part_occupancy import NAME, load_part_occupancy

HELD_OUT_SEED = 777_000_000
"""Seed of the held-out hands; outside the range that training uses."""

IOU_POINTS = 100_000
"""Random points from which the IoU of a hand is estimated."""

SURFACE_POINTS = 20_000
"""Random points on each surface from which the Chamfer distance is estimated."""

NOISE = 0.004
"""Standard deviation of the keypoint noise per coordinate, metres, in the row "noise 4 mm"."""

MEAN_NOISE = 0.004 / (8 / np.pi) ** 0.5
"""Standard deviation per coordinate, metres, that gives a mean keypoint distance (MPJPE) of 4 mm."""

_CAP = 0.0005  # Samples this close to the cut belong to the flat cap, metres.
_OUTWARD = 0.0003  # Step off the surface, metres.


@dataclass(frozen=True)
class Row:
    """One row of the table: means over the hands of one condition.

    Parameters
    ----------
    name : str
        The condition.
    hands : int
        Number of hands.
    iou : float
        Mean IoU, 0 to 1.
    iou_lowest : float
        IoU of the worst hand.
    chamfer_mm : float
        Mean Chamfer distance, millimetres.
    watertight : float
        Share of meshes that are closed and consistently oriented, 0 to 1.
    one_component : float
        Share of meshes with one connected component, 0 to 1.
    seconds : float
        Mean time to extract one surface.
    """

    name: str
    hands: int
    iou: float
    iou_lowest: float
    chamfer_mm: float
    watertight: float
    one_component: float
    seconds: float


TARGETS = {
    "exact": {"iou": 0.90, "chamfer_mm": 1.0},
    "noise 4 mm": {"iou": 0.80},
    "mean shape": {"iou": 0.96},
    "thickness given": {"iou": 0.94, "chamfer_mm": 0.8},
}
"""Targets by row name: least IoU, and largest Chamfer distance in millimetres."""


def evaluate(
    decoder: PartDecoder, reach: BoneReach | None, *, hands: int = 40, voxel: float = 0.0017,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Row]:  # fmt: skip
    """Measure exact keypoints, two levels of keypoint noise, the mean hand shape, and thickness given with keypoints.

    The last row needs a network with a shape encoder.

    Parameters
    ----------
    decoder : PartDecoder
        Network to evaluate.
    reach : BoneReach or None
        Largest extent of each bone's part; None to query every bone everywhere.
    hands : int
        Hands in each condition.
    voxel : float
        Lattice spacing of the extracted surfaces, metres.
    progress : callable
        Called with the name of the condition, the hands done and their total.

    Returns
    -------
    list of Row
    """
    full, mean = posed_hands(hands, HELD_OUT_SEED), posed_hands(hands, HELD_OUT_SEED + 1, mean=True)
    conditions = (
        ("exact", full, 0.0),
        ("MPJPE 4 mm", full, MEAN_NOISE),
        ("noise 4 mm", full, NOISE),
        ("mean shape", mean, 0.0),
    )
    rows = [_row(name, decoder, reach, posed, noise, voxel, progress) for name, posed, noise in conditions]
    if decoder.shape_encoder is not None:
        rows.append(_row("thickness given", decoder, reach, full, 0.0, voxel, progress, thickness=True))
    return rows


def evaluate_factors(
    decoder: PartDecoder, reach: BoneReach | None, *, hands: int = 40, voxel: float = 0.0017,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Row]:  # fmt: skip
    """Measure how much each kind of shape variation adds to the error.

    Each row uses exact keypoints and the seed of the row "exact", with one kind of shape variation left out.

    Parameters
    ----------
    decoder : PartDecoder
        Network to evaluate.
    reach : BoneReach or None
        Largest extent of each bone's part; None to query every bone everywhere.
    hands : int
        Hands in each condition.
    voxel : float
        Lattice spacing of the extracted surfaces, metres.
    progress : callable
        Called with the name of the condition, the hands done and their total.

    Returns
    -------
    list of Row
    """
    spreads = {
        "no basis": ShapeSpread(components=0.0),
        "no thickness": ShapeSpread(thickness=0.0, one_finger_thickness=0.0, palm_thickness=0.0),
        "no lengths": ShapeSpread(finger_length=0.0, one_finger_length=0.0, bone_length=0.0, palm_length=0.0),
        "no size": ShapeSpread(size=0.0),
    }
    return [
        _row(name, decoder, reach, posed_hands(hands, HELD_OUT_SEED, spread=spread), 0.0, voxel, progress)
        for name, spread in spreads.items()
    ]


def _row(
    name: str, decoder: PartDecoder, reach: BoneReach | None, posed: PosedHands, noise: float, voxel: float,
    progress: Callable[[str, int, int], None], *, thickness: bool = False,
) -> Row:  # fmt: skip
    count = len(posed.vertices)
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    jitter = torch.randn(posed.keypoints.shape, generator=generator, dtype=torch.float64)
    keypoints = posed.keypoints + noise * jitter
    bones = bones_from_keypoints(keypoints, ["right"] * count)
    measured: list[tuple[float, float, bool, bool, float]] = []
    for k in range(count):
        one = bones_from_keypoints(keypoints[k : k + 1], ["right"])
        if thickness and decoder.shape_encoder is not None:
            usual = decoder.shape_encoder.usual_thickness(skeleton_of(one)).detach().exp()
            one = replace(one, thickness=posed.thickness[k : k + 1] / usual)
        field = PartField(decoder, one, keypoints[k : k + 1], reach)
        started = time.perf_counter()
        surface = extract_surfaces(field, voxel)[0]
        seconds = time.perf_counter() - started
        turn, wrist = bones.rotation[k].numpy(), bones.wrist[k].numpy()
        rng = np.random.default_rng((HELD_OUT_SEED, k))
        vertices = np.ascontiguousarray(posed.vertices[k].numpy())
        mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
        measured.append(
            (
                _iou(field, vertices, posed.faces, turn, wrist, rng),
                _chamfer(surface, vertices, posed.faces, turn, wrist, rng),
                bool(mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0),
                mesh.body_count == 1,
                seconds,
            )
        )
        progress(name, k + 1, count)
    iou, chamfer, watertight, single, times = (np.array(column) for column in zip(*measured, strict=True))
    return Row(
        name, count, float(iou.mean()), float(iou.min()), float(chamfer.mean() * 1000), float(watertight.mean()),
        float(single.mean()), float(times.mean()),
    )  # fmt: skip


def _iou(
    field: PartField, vertices: np.ndarray, faces: np.ndarray, turn: np.ndarray, wrist: np.ndarray,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    hand = vertices[vertices[:, 0] < STUMP]
    high = hand.max(axis=0)
    high[0] = STUMP
    points = rng.uniform(hand.min(axis=0), high, size=(IOU_POINTS, 3))
    truth = signed_distance(points, vertices, faces)[0] < 0
    local = torch.from_numpy((points - wrist) @ turn.T).float()
    found = field.logits(torch.zeros(len(points), dtype=torch.int64), local).numpy() > 0
    return float((truth & found).sum() / (truth | found).sum())


def _chamfer(
    surface: Surface, vertices: np.ndarray, faces: np.ndarray, turn: np.ndarray, wrist: np.ndarray,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    found = _sample(surface.vertices, surface.faces, rng)[0]
    found = found[found[:, 0] < STUMP - _CAP] @ turn + wrist  # without the cap of the extracted mesh
    truth, normals = _sample(vertices, faces[(vertices[faces][..., 0] < STUMP).any(axis=1)], rng)
    # Where a posed hand intersects itself, parts of its mesh lie inside the hand: they are not outer surface.
    visible = signed_distance(truth + _OUTWARD * normals, vertices, faces)[0] > 0
    truth = truth[visible & (truth[:, 0] < STUMP - _CAP)]
    found = found[found[:, 0] < STUMP - _CAP]
    accuracy = np.abs(signed_distance(found, vertices, faces)[0]).mean()
    own = surface.vertices @ turn + wrist
    completeness = np.abs(signed_distance(truth, np.ascontiguousarray(own), surface.faces.astype(np.int64))[0]).mean()
    return float((accuracy + completeness) / 2)


def _sample(vertices: np.ndarray, faces: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Uniform points (SURFACE_POINTS, 3) on a mesh and the unit normals at them."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    chosen = rng.choice(len(faces), size=SURFACE_POINTS, p=area / area.sum())
    weights = rng.dirichlet((1.0, 1.0, 1.0), size=SURFACE_POINTS)
    return (corners[chosen] * weights[..., None]).sum(axis=1), normals[chosen] / area[chosen, None]


def missed_targets(rows: list[Row]) -> list[str]:
    """Compare the rows with ``TARGETS``; every mesh must also be watertight and have one component.

    Parameters
    ----------
    rows : list of Row
        Rows of the table.

    Returns
    -------
    list of str
        One line of text for each missed target.
    """
    missed = []
    for row in rows:
        for name, target in TARGETS.get(row.name, {}).items():
            value = getattr(row, name)
            if (value < target) if name == "iou" else (value > target):
                missed.append(f"{row.name}: {name} {value:.3f}, target {target:g}")
        if row.watertight < 1:
            missed.append(f"{row.name}: {1 - row.watertight:.0%} of the meshes are not watertight")
        if row.one_component < 1:
            missed.append(f"{row.name}: {1 - row.one_component:.0%} of the meshes have several components")
    return missed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate part-occupancy`` to a parser."""
    parser.add_argument("--weights", default="bundled", help='"bundled" or a folder with part_occupancy.safetensors')
    parser.add_argument("--hands", type=int, default=40, help="held-out hands (default 40)")
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--factors", action="store_true", help="also leave out each kind of shape variation in turn")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate part-occupancy``.

    Parameters
    ----------
    arguments : argparse.Namespace
        Parsed options, see ``add_arguments``.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    WeightsError
        The weights are missing or damaged.
    """
    info = require_weights(NAME, arguments.weights)
    decoder, reach = load_part_occupancy(info.path)

    def progress(name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{name}: {done}/{total} ")

    rows = evaluate(decoder, reach, hands=arguments.hands, voxel=arguments.voxel_mm / 1000, progress=progress)
    if arguments.factors:
        rows += evaluate_factors(
            decoder, reach, hands=arguments.hands, voxel=arguments.voxel_mm / 1000, progress=progress
        )
    missed = missed_targets(rows)
    report: dict[str, Any] = {
        "weights": {"name": info.name, "sha256": info.sha256},
        "voxel_mm": arguments.voxel_mm,
        "stump_mm": STUMP * 1000,
        "noise_mm_per_coordinate": NOISE * 1000,
        "query_scale_m": QUERY_SCALE,
        "rows": [asdict(row) for row in rows],
        "targets": TARGETS,
        "missed": missed,
    }
    write = sys.stdout.write
    if arguments.json:
        write(json.dumps(report, indent=1) + "\n")
        return 0
    write("condition            IoU   worst  Chamfer mm  watertight  one piece  s/hand\n")
    for row in rows:
        write(
            f"{row.name:<16}{row.iou:>8.3f}{row.iou_lowest:>8.3f}{row.chamfer_mm:>12.2f}{row.watertight:>12.0%}"
            f"{row.one_component:>11.0%}{row.seconds:>8.2f}\n"
        )
    for line in missed:
        write(f"missed: {line}\n")
    return 0
