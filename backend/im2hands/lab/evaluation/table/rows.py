"""The rows of the table: what is measured of one scene, kept on disk, and its means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from im2hands.core.errors import InputError
from im2hands.lab.evaluation.methods import METHODS as METHOD_NAMES

SOURCES = ("exact", "mediapipe", "network", "auto")
METHODS = tuple(METHOD_NAMES)
RESULTS = "results*.jsonl"
SECONDS = (
    "s: seconds a scene to find the keypoints, refine them and make the meshes; loading networks, reading the picture "
    "and measuring are not in it"
)
"""What the column of seconds holds."""


class RowKey(NamedTuple):
    """Which row: where keypoints come from, whether they were refined, and the method."""

    source: str
    refined: bool
    method: str

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.source} keypoints{' + refinement' if self.refined else ''}, {METHOD_NAMES[self.method]}"

    @property
    def place(self) -> tuple[int, bool, int]:
        """Where the row stands in the table."""
        return SOURCES.index(self.source), self.refined, METHODS.index(self.method)


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

    @property
    def key(self) -> RowKey:
        """The row."""
        return RowKey(self.source, self.refined, self.method)


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


def summarise(results: Iterable[Result]) -> list[Row]:
    """Rows in the order of :data:`SOURCES` and :data:`METHODS`."""
    rows = []
    for key, group in by_row(results).items():
        rows.append(
            Row(
                key.method, key.source, key.refined, len(group),
                mean(v for r in group for v in r.iou), mean(v for r in group for v in r.chamfer_mm),
                mean(v for r in group for v in r.mpjpe_mm), mean(r.gap_mm for r in group),
                mean(r.penetration_ml for r in group), float(np.mean([r.both for r in group])),
                mean(r.seconds for r in group),
            )
        )  # fmt: skip
    return rows


class HasRow(Protocol):
    """What belongs to a row."""

    @property
    def key(self) -> RowKey:
        """The row."""


Of = TypeVar("Of", bound=HasRow)


def by_row(results: Iterable[Of]) -> dict[RowKey, list[Of]]:
    """Results of each row, rows as they stand in the table."""
    groups: dict[RowKey, list[Of]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return dict(sorted(groups.items(), key=lambda item: item[0].place))


def mean(values: Iterable[float]) -> float:
    """Mean of the finite values; NaN where there is none."""
    kept = [v for v in values if np.isfinite(v)]
    return float(np.mean(kept)) if kept else float("nan")


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
    return "\n".join([heading("keypoints", "scenes"), *map(format_row, rows)])


def heading(first: str, count: str) -> str:
    """The line above rows; ``first`` and ``count`` name the first column and that of what was counted."""
    return (
        f"{first:<22}{'method':<14}{count:>7}{'IoU %':>7}{'Chamfer':>9}{'MPJPE':>8}{'gap':>7}"
        f"{'pen. ml':>9}{'both %':>8}{'s':>7}"
    )


def format_row(row: Row) -> str:
    """A row below :func:`heading`."""
    source = row.source + (" + refinement" if row.keypoint_refinement else "")
    return (
        f"{source:<22}{METHOD_NAMES[row.method]:<14}{row.scenes:>7}{100 * row.iou:>7.1f}{row.chamfer_mm:>9.2f}"
        f"{row.mpjpe_mm:>8.1f}{row.gap_mm:>7.1f}{row.penetration_ml:>9.2f}{100 * row.both_found:>8.0f}"
        f"{row.seconds:>7.2f}"
    )


Line = TypeVar("Line")


def read_results(folder: Path, kind: type[Line], pattern: str = RESULTS) -> list[Line]:
    """Everything measured so far; a line cut off at the end of a file is left out.

    Args:
        folder: of the results. kind: :class:`Result`, or another dataclass. pattern: of the files' names.

    Raises:
        InputError: a file that holds something else.
    """
    results = []
    for path in sorted(folder.glob(pattern)):
        for line in whole_lines(path):
            try:
                results.append(kind(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{path} does not hold results of this program: {error}.", "Give another --output."
                ) from error
    return results


def append_result(path: Path, result: Any) -> None:
    """Write one result (a dataclass) at once, see :func:`append_line`."""
    append_line(path, asdict(result))


def append_line(path: Path, data: Any) -> None:
    """Write a line of JSON at once; a line that an interruption cut off before is taken away."""
    with open(path, "a+b") as handle:
        end = handle.seek(0, os.SEEK_END)
        if end and (handle.seek(end - 1), handle.read())[1] != b"\n":
            handle.seek(0)
            handle.truncate(handle.read().rfind(b"\n") + 1)
        handle.write((json.dumps(data) + "\n").encode())


def whole_lines(path: Path) -> list[str]:
    """The lines of a file but one that was cut off."""
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
