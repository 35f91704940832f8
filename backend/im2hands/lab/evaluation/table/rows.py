"""Rows of the table: the measurements of single scenes, their storage on disk, their means, and their text form."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.unpacking import parse_json
from im2hands.lab.evaluation.methods import METHODS as METHOD_NAMES

SOURCES = ("exact", "mediapipe", "network", "auto")
"""Keypoint sources, in the order of the table."""

METHODS = tuple(METHOD_NAMES)
"""Reconstruction methods, in the order of the table."""

RESULTS = "results*.jsonl"
"""Name pattern of the files with results of scenes, in the folder of results."""

SECONDS = (
    "s: seconds a scene to detect the keypoints, refine them and make the meshes, without loading networks, reading "
    "the picture and measuring"
)
"""Legend of the column of seconds."""


class RowKey(NamedTuple):
    """Identity of a row.

    Parameters
    ----------
    source : str
        Keypoint source, one of ``SOURCES``.
    refined : bool
        Whether the keypoints are refined.
    method : str
        Reconstruction method, one of ``METHODS``.
    """

    source: str
    refined: bool
    method: str

    @property
    def name(self) -> str:
        """Display name."""
        return f"{self.source} keypoints{' + refinement' if self.refined else ''}, {METHOD_NAMES[self.method]}"

    @property
    def place(self) -> tuple[int, bool, int]:
        """Sort key that gives the order of the table."""
        return SOURCES.index(self.source), self.refined, METHODS.index(self.method)


@dataclass(frozen=True)
class Result:
    """Measurements of one scene for one row of the table.

    Parameters
    ----------
    scene : int
        Number of the scene in its set.
    mode : str
        Interaction mode of the scene.
    method : str
        Reconstruction method of the row.
    source : str
        Keypoint source of the row.
    refined : bool
        Whether the row uses keypoint refinement.
    both : bool
        Whether both hands were reconstructed with the right sides.
    seconds : float
        Time for keypoints, their refinement and meshes.
    gap_mm : float
        Gap error; NaN if a hand is missing.
    penetration_ml : float
        Penetration volume; NaN if a hand is missing.
    iou : list of float
        IoU of each reconstructed hand, 0 to 1.
    chamfer_mm : list of float
        Chamfer distance of each reconstructed hand.
    mpjpe_mm : list of float
        MPJPE of each reconstructed hand.
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
        """The row that the result belongs to."""
        return RowKey(self.source, self.refined, self.method)


@dataclass(frozen=True)
class Row:
    """A row of the table: means over scenes or hands of the fields of ``Result``.

    Parameters
    ----------
    method : str
        Reconstruction method.
    source : str
        Keypoint source.
    keypoint_refinement : bool
        Whether the keypoints are refined.
    scenes : int
        Number of scenes.
    iou : float
        Mean over the reconstructed hands, 0 to 1.
    chamfer_mm : float
        Mean over the reconstructed hands.
    mpjpe_mm : float
        Mean over the reconstructed hands.
    gap_mm : float
        Mean over the scenes with both hands.
    penetration_ml : float
        Mean over the scenes with both hands.
    both_found : float
        Share of the scenes in which both hands were reconstructed with the right sides.
    seconds : float
        Mean time of a scene.
    """

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
    """Compute the rows of the table, in the order of ``SOURCES`` and ``METHODS``.

    Parameters
    ----------
    results : iterable of Result
        Results of all rows.

    Returns
    -------
    list of Row
    """
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
    """A result that belongs to a row."""

    @property
    def key(self) -> RowKey:
        """The row that the result belongs to."""


Of = TypeVar("Of", bound=HasRow)


def by_row(results: Iterable[Of]) -> dict[RowKey, list[Of]]:
    """Group results by row, in the order of the table.

    Parameters
    ----------
    results : iterable
        Results of any rows.

    Returns
    -------
    dict of RowKey to list
    """
    groups: dict[RowKey, list[Of]] = {}
    for result in results:
        groups.setdefault(result.key, []).append(result)
    return dict(sorted(groups.items(), key=lambda item: item[0].place))


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    kept = [v for v in values if np.isfinite(v)]
    return float(np.mean(kept)) if kept else float("nan")


def missed_targets(rows: Sequence[Row]) -> list[str]:
    """Compare the rows with the project's targets.

    Parameters
    ----------
    rows : sequence of Row
        Rows of the table; targets of rows that are not there are ignored.

    Returns
    -------
    list of str
        One line of text for each missed target.
    """
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
        want("auto with refinement: gap error mm", auto.gap_mm, 15.0, least=False)
        want("auto: both hands with the right sides", auto.both_found, 0.9, least=True)
        want("auto with refinement: seconds", auto.seconds, 3.0, least=False)
    return missed


def format_table(rows: Sequence[Row]) -> str:
    """Format the rows as text, below a heading."""
    return "\n".join([heading("keypoints", "scenes"), *map(format_row, rows)])


def heading(first: str, count: str) -> str:
    """Return the heading line of a table.

    Parameters
    ----------
    first : str
        Title of the first column.
    count : str
        Title of the column of counts.

    Returns
    -------
    str
    """
    return (
        f"{first:<22}{'method':<14}{count:>7}{'IoU %':>7}{'Chamfer':>9}{'MPJPE':>8}{'gap':>7}"
        f"{'pen. ml':>9}{'both %':>8}{'s':>7}"
    )


def format_row(row: Row) -> str:
    """Format one row in the columns of ``heading``."""
    source = row.source + (" + refinement" if row.keypoint_refinement else "")
    return (
        f"{source:<22}{METHOD_NAMES[row.method]:<14}{row.scenes:>7}{100 * row.iou:>7.1f}{row.chamfer_mm:>9.2f}"
        f"{row.mpjpe_mm:>8.1f}{row.gap_mm:>7.1f}{row.penetration_ml:>9.2f}{100 * row.both_found:>8.0f}"
        f"{row.seconds:>7.2f}"
    )


Line = TypeVar("Line")


def read_results(folder: Path, kind: type[Line], pattern: str = RESULTS) -> list[Line]:
    """Read all stored results; an incomplete line at the end of a file is ignored.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    kind : type
        Dataclass of a line: ``Result`` or ``ClipResult``.
    pattern : str
        Name pattern of the files.

    Returns
    -------
    list of kind

    Raises
    ------
    InputError
        A file does not hold results of this kind.
    """
    results = []
    for path in sorted(folder.glob(pattern)):
        try:
            results += [_result(kind, parse_json(line.encode("utf-8"), nan=True)) for line in whole_lines(path)]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} does not hold results of this program: {error}.", "Give another --output."
            ) from error
    return results


def _result(kind: Callable[..., Any], data: Any) -> Any:
    """Make a result of a parsed line; raises ValueError or TypeError for fields that no result has."""
    result = kind(**data)
    for one in fields(result):
        value, is_list = getattr(result, one.name), one.type == "list[float]"
        values = value if is_list and isinstance(value, list) else None if is_list else [value]
        if values is None or not all(type(item) in _TYPES[str(one.type)] for item in values):
            raise ValueError(f"{one.name} is {str(value)[:40]}")
    if result.source not in SOURCES or result.method not in METHODS:
        raise ValueError(f"there is no row of {result.source[:40]} and {result.method[:40]}")
    return result


_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,), "bool": (bool,), "str": (str,), "float": (int, float), "list[float]": (int, float),
}  # fmt: skip
"""Types of the values of a result's fields; of a list, those of its items."""


def append_result(path: Path, result: Any) -> None:
    """Append one result (a dataclass) to a file, see ``append_line``."""
    append_line(path, asdict(result))


def append_line(path: Path, data: Any) -> None:
    """Append one line of JSON to a file; an incomplete last line, left by an interruption, is removed first.

    Parameters
    ----------
    path : Path
        The file; created if it does not exist.
    data : Any
        A JSON value.
    """
    with open(path, "a+b") as handle:
        end = handle.seek(0, os.SEEK_END)
        if end and (handle.seek(end - 1), handle.read())[1] != b"\n":
            handle.seek(0)
            handle.truncate(handle.read().rfind(b"\n") + 1)
        handle.write((json.dumps(data) + "\n").encode())


def whole_lines(path: Path) -> list[str]:
    """Return the complete lines of a file, without an incomplete last line."""
    text = read_regular(path).decode("utf-8")
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
