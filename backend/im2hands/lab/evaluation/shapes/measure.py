"""Measurement of all methods on the hands of one view."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from im2hands.core.hands import Side
from im2hands.lab.evaluation.joint_errors import PROTOCOLS, point_errors_mm, root_offset_error_mm
from im2hands.lab.evaluation.measures import Mesh, penetration_ml

from .predictions import MANO_VERTICES, Method, Prediction, View, hands_of, read_prediction
from .scores import (
    INTERIOR_POINTS,
    MISS,
    SURFACE_POINTS,
    Alignment,
    Targets,
    UniformPoints,
    aligned,
    cloud_floor_mm,
    sample_surface,
    sampling_floor_mm,
    score,
    uniform_points,
)
from .truth import TruthFolder, open_truth

QUERY_REACH = 0.22
"""Half the side of the query cube, metres: the box of ``points_iou``."""

FOUND, MISSING, EMPTY, NO_JOINTS = "found", "missing", "empty", "no keypoints"
"""States of a hand: measured; no mesh file or no faces; no surface; the alignment needs keypoints that are missing."""


@dataclass(frozen=True)
class Plan:
    """Settings of a run, for the worker processes.

    Parameters
    ----------
    truth : Path
        Folder of the true hands.
    methods : tuple of Method
        The methods with data.
    alignments : tuple of Alignment
        The alignments.
    surface_points : int
        Points on each mesh.
    interior_points : int
        Least number of uniform points inside a true hand.
    seed : int
        Seed of all random points.
    """

    truth: Path
    methods: tuple[Method, ...]
    alignments: tuple[Alignment, ...]
    surface_points: int = SURFACE_POINTS
    interior_points: int = INTERIOR_POINTS
    seed: int = 0


@dataclass(frozen=True)
class HandRow:
    """One hand of one view, for one method and alignment: a line of ``samples.csv``.

    Parameters
    ----------
    method : str
        Name of the method.
    view : str
        Name of the view.
    frame : str
        ``<capture>_<frame>``; the group of the confidence intervals.
    side : Side
        Left or right.
    alignment : Alignment
        The alignment.
    state : str
        ``FOUND``, ``MISSING``, ``EMPTY`` or ``NO_JOINTS``.
    figures : Mapping of str to float
        Scores of ``ShapeScore``, and ``mpjpe_*_mm``, ``mpvpe_*_mm`` by protocol; NaN where not measured.
    """

    method: str
    view: str
    frame: str
    side: Side
    alignment: Alignment
    state: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class PairRow:
    """Both hands of one view, for one method.

    Parameters
    ----------
    method : str
        Name of the method.
    view : str
        Name of the view.
    frame : str
        ``<capture>_<frame>``.
    penetration_ml : float
        Volume of the intersection of both meshes, not aligned; NaN if a hand is missing.
    root_error_mm : float
        Relative root error, wrist; NaN without keypoints of both hands.
    """

    method: str
    view: str
    frame: str
    penetration_ml: float
    root_error_mm: float


@dataclass(frozen=True)
class ViewResult:
    """Everything measured on one view.

    Parameters
    ----------
    hands : tuple of HandRow
        Rows of the hands.
    pairs : tuple of PairRow
        Rows of the pairs.
    open_meshes : Mapping of str to int
        By method: meshes with openings that were not closed.
    mirrored : Mapping of str to int
        By method: hands whose fingers bend as those of the other hand.
    wrong_sizes : Mapping of str to int
        By method: meshes whose size says that the frame or the unit is another.
    point_sets : tuple of str
        Which sets the IoU columns of the hands used, in words.
    """

    hands: tuple[HandRow, ...]
    pairs: tuple[PairRow, ...]
    open_meshes: Mapping[str, int]
    mirrored: Mapping[str, int]
    wrong_sizes: Mapping[str, int]
    point_sets: tuple[str, ...]


def measure_view(plan: Plan, view: View) -> ViewResult:
    """Measure all methods on one view.

    Parameters
    ----------
    plan : Plan
        Settings.
    view : View
        The view.

    Returns
    -------
    ViewResult

    Raises
    ------
    InputError
        A file of the truth or of a prediction is damaged.
    """
    folder = open_truth(plan.truth)
    hands: list[HandRow] = []
    sets: set[str] = set()
    placed: dict[str, dict[Side, tuple[Mesh, np.ndarray | None]]] = {method.name: {} for method in plan.methods}
    true_joints: dict[Side, np.ndarray] = {}
    open_meshes, mirrored, wrong_sizes = (dict.fromkeys(placed, 0) for _ in range(3))
    here = hands_of(view, folder.known)
    for side, name in here:
        shape = folder.shape(name)
        seed = (plan.seed, zlib.crc32(name.encode()))
        targets, words = _targets(plan, folder, name, seed)
        sets |= words
        true_joints[side] = shape.to_world(shape.keypoints)
        true_mesh = folder.mesh(name)
        for method in plan.methods:
            prediction = read_prediction(method, view, shape)
            if prediction is not None:
                open_meshes[method.name] += prediction.open_mesh
                mirrored[method.name] += prediction.mirrored
                wrong_sizes[method.name] += prediction.wrong_size
                joints = None if prediction.joints is None else shape.to_world(prediction.joints)
                mesh = Mesh(shape.to_world(prediction.mesh.vertices), prediction.mesh.faces)
                placed[method.name][side] = mesh, joints
            points = _point_errors(prediction, shape.keypoints, true_mesh)
            for alignment in plan.alignments:
                state, figures = _scored(prediction, targets, shape.keypoints, alignment, seed, plan.surface_points)
                hands.append(HandRow(method.name, view.name, view.frame, side, alignment, state, {**figures, **points}))
    pairs = [_pair(method, view, placed[method], true_joints, plan.seed) for method in placed if len(here) == 2]
    return ViewResult(tuple(hands), tuple(pairs), open_meshes, mirrored, wrong_sizes, tuple(sorted(sets)))


def floor_mm(plan: Plan, names: Sequence[str]) -> float | None:
    """Mean sampling floor of the Chamfer distance on some true hands, mm; None if they have no surface."""
    folder = open_truth(plan.truth)
    floors = []
    for name in names:
        mesh = folder.mesh(name)
        if mesh is not None:
            floors.append(sampling_floor_mm(mesh, (plan.seed, zlib.crc32(name.encode())), plan.surface_points))
        elif folder.has("pointcloud", name):
            floors.append(cloud_floor_mm(folder.cloud(name)[0]))
    return float(np.mean(floors)) if floors else None


def _targets(
    plan: Plan, folder: TruthFolder, name: str, seed: tuple[int, ...]
) -> tuple[Targets, set[str]]:  # fmt: skip
    """What the hand's meshes are compared with, and in which words."""
    mesh = folder.mesh(name)
    words = set()
    uniform = None
    if mesh is not None:
        uniform = uniform_points(mesh, (*seed, 3), plan.interior_points)
        words.add("iou_uniform: uniform points in the hand's own box x 1.1, labelled by mesh/")
    elif folder.has("points_iou", name):
        reach = np.full(3, QUERY_REACH)
        uniform = UniformPoints(*folder.points("points_iou", name), -reach, reach)
        words.add("iou_uniform: points_iou/, uniform in the query cube; few lie in the hand, noise about 5 % a hand")
    points = folder.points("points", name) if folder.has("points", name) else None
    if points is not None:
        words.add("iou_points: points/, the research code's set, half of it near the surface")
    cloud = None
    if folder.has("pointcloud", name):
        cloud = folder.cloud(name)
        words.add("Chamfer: pointcloud/")
    elif mesh is not None:
        cloud = sample_surface(mesh, (*seed, 4), plan.surface_points)
        words.add("Chamfer: points drawn from mesh/")
    return Targets(uniform, points, cloud), words


def _scored(
    prediction: Prediction | None, targets: Targets, true_joints: np.ndarray, alignment: Alignment,
    seed: tuple[int, ...], count: int,
) -> tuple[str, dict[str, float]]:  # fmt: skip
    if prediction is None:
        return MISSING, _nan_where_absent(targets)
    if alignment != "none" and prediction.joints is None:
        return NO_JOINTS, dict.fromkeys(asdict(MISS), float("nan"))
    vertices = aligned(prediction.mesh.vertices, prediction.joints, true_joints, alignment)
    scored = score(Mesh(vertices, prediction.mesh.faces), targets, (*seed, 5), count)
    return (EMPTY, _nan_where_absent(targets)) if scored == MISS else (FOUND, asdict(scored))


def _nan_where_absent(targets: Targets) -> dict[str, float]:
    """A miss: IoU 0 on the sets of points that there are."""
    made = asdict(MISS)
    if targets.uniform is None:
        made["iou_uniform"] = float("nan")
    if targets.points is None:
        made["iou_points"] = float("nan")
    return made


def _point_errors(prediction: Prediction | None, true_joints: np.ndarray, true_mesh: Mesh | None) -> dict[str, float]:
    """MPJPE and MPVPE by protocol; they do not depend on the alignment."""
    made = {f"{kind}_{name}_mm": float("nan") for kind in ("mpjpe", "mpvpe") for name in PROTOCOLS}
    if prediction is None or prediction.joints is None:
        return made
    # A sealed MANO mesh has one vertex more, the last.
    true_vertices = None if true_mesh is None else true_mesh.vertices[:MANO_VERTICES]
    same = (
        len(prediction.vertices) in (MANO_VERTICES, MANO_VERTICES + 1)
        and true_mesh is not None
        and len(true_mesh.vertices) in (MANO_VERTICES, MANO_VERTICES + 1)
    )
    for name, protocol in PROTOCOLS.items():
        errors = point_errors_mm(prediction.joints, true_joints, prediction.joints, true_joints, protocol)
        made[f"mpjpe_{name}_mm"] = float(errors.mean())
        if same and true_vertices is not None:
            vertices = prediction.vertices[:MANO_VERTICES]
            errors = point_errors_mm(vertices, true_vertices, prediction.joints, true_joints, protocol)
            made[f"mpvpe_{name}_mm"] = float(errors.mean())
    return made


def _pair(
    method: str, view: View, placed: Mapping[Side, tuple[Mesh, np.ndarray | None]],
    true_joints: Mapping[Side, np.ndarray], seed: int,
) -> PairRow:  # fmt: skip
    volume = offset = float("nan")
    if len(placed) == 2:
        volume = penetration_ml(placed["left"][0], placed["right"][0], seed)
        joints = {side: hand[1] for side, hand in placed.items() if hand[1] is not None}
        if len(joints) == 2:
            offset = root_offset_error_mm(joints, true_joints)
    return PairRow(method, view.name, view.frame, volume, offset)
