"""Summary of the measured hands: JSON, Markdown and CSV, with the protocol in words in each of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.files import write_atomically
from im2hands.lab.evaluation.bootstrap import LEVEL, RESAMPLES, Estimate, estimate
from im2hands.lab.evaluation.joint_errors import PROTOCOLS
from im2hands.lab.evaluation.markdown import table_row

from .measure import EMPTY, FOUND, MISSING, NO_JOINTS, HandRow, PairRow
from .predictions import FRAMES, Method
from .scores import ALIGNMENTS

PAPER_ROWS = ("Two-Hand-Shape-Pose", "IntagHand", "HALO", "HALO*", "Im2Hands")
"""Methods of the paper's table, in its order. A method without data is an empty row."""

HANDS = ("left", "right", "pooled", "mean of left and right")
"""How hands are put together: each side, all hands as one sample, and the mean of the two sides' means."""

UNKNOWN = (
    "The paper does not say how its shapes were aligned, on which points its IoU was taken, whether it pools hands or "
    "averages them, nor which frames it scored. No figure of the paper is repeated here; every figure was measured "
    "by this program."
)

_COLUMNS = (
    ("iou_uniform", "IoU uniform %", 100.0, 1), ("iou_points", "IoU points %", 100.0, 1),
    ("chamfer_l1_mm", "CD-L1 mm", 1.0, 3), ("chamfer_l2_mm2", "CD-L2 mm²", 1.0, 3), ("normals", "normals", 1.0, 3),
    ("mpjpe_intaghand_mm", "MPJPE scaled mm", 1.0, 2), ("mpjpe_mcp_mm", "MPJPE mm", 1.0, 2),
    ("mpvpe_intaghand_mm", "MPVPE scaled mm", 1.0, 2), ("mpvpe_mcp_mm", "MPVPE mm", 1.0, 2),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Everything that a run measured.

    Parameters
    ----------
    rows : tuple of HandRow
        Hands.
    pairs : tuple of PairRow
        Pairs.
    floor_mm : float or None
        Mean sampling floor of the Chamfer distance.
    open_meshes : dict of str to int
        Meshes with openings that were not closed, by method.
    mirrored : dict of str to int
        Hands whose fingers bend as those of the other hand, by method.
    wrong_sizes : dict of str to int
        Meshes whose size says that the frame or the unit is another, by method.
    point_sets : tuple of str
        Sets of points, in words.
    """

    rows: tuple[HandRow, ...]
    pairs: tuple[PairRow, ...]
    floor_mm: float | None
    open_meshes: dict[str, int]
    mirrored: dict[str, int]
    wrong_sizes: dict[str, int]
    point_sets: tuple[str, ...]


def protocol(measured: Measured, about: dict[str, Any]) -> dict[str, Any]:
    """The protocol in words, for every output."""
    return {
        **about,
        "frame": "hand by hand, in the true hand's canonical frame; distances in mm",
        "alignments": {name: ALIGNMENTS[name] for name in about["alignments"]},
        "points": list(measured.point_sets),
        "chamfer_floor_mm": measured.floor_mm,
        "chamfer_floor": "mean Chamfer-L1 of two independent samplings of the same true surface",
        "misses": "a missing or empty mesh has IoU 0 and no distance: means of distances are over the meshes there",
        "mpjpe": {name: one.says for name, one in PROTOCOLS.items()},
        "relative_root": "error of the vector from the left to the right wrist, not aligned",
        "penetration": "volume of the intersection of both meshes as they are given, not aligned",
        "interval": f"{LEVEL:.0%} bootstrap, {RESAMPLES} resamples of whole frames",
        "unknown": UNKNOWN,
    }


def summarise(measured: Measured, methods: Sequence[Method]) -> list[dict[str, Any]]:
    """Means with intervals for each method, alignment and way to put hands together; empty rows without data."""
    made: list[dict[str, Any]] = []
    for name in row_names(methods):
        method = next((method for method in methods if method.name == name), None)
        rows = [row for row in measured.rows if row.method == name]
        if method is None or method.folder is None or not rows:
            made.append({"method": name, "measured": False})
            continue
        pairs = [pair for pair in measured.pairs if pair.method == name]
        first = [row for row in rows if row.alignment == rows[0].alignment]
        states = {state: sum(row.state == state for row in first) for state in (FOUND, MISSING, EMPTY)}
        shapes = {
            alignment: {hand: _figures([row for row in rows if row.alignment == alignment], hand) for hand in HANDS}
            for alignment in dict.fromkeys(row.alignment for row in rows)
            if any(row.state not in (NO_JOINTS, MISSING) for row in rows if row.alignment == alignment)
            or all(row.state == MISSING for row in rows)
        }
        made.append({
            "method": name, "measured": True, "frame": FRAMES[method.frame], "unit": method.unit,
            "hands": len(first), **{f"hands_{state}": count for state, count in states.items()},
            "open_meshes": measured.open_meshes.get(name, 0), "mirrored": measured.mirrored.get(name, 0),
            "wrong_sizes": measured.wrong_sizes.get(name, 0),
            "not_measured": [one for one in dict.fromkeys(row.alignment for row in rows) if one not in shapes],
            "alignments": shapes,
            "penetration_ml": _estimate([pair.penetration_ml for pair in pairs], [pair.frame for pair in pairs]),
            "relative_root_error_mm": _estimate([p.root_error_mm for p in pairs], [p.frame for p in pairs]),
        })  # fmt: skip
    return made


def row_names(methods: Sequence[Method]) -> list[str]:
    """Names of the rows: the paper's methods, then those of the user."""
    return list(dict.fromkeys([*PAPER_ROWS, *(method.name for method in methods)]))


def _figures(rows: Sequence[HandRow], hand: str) -> dict[str, Any]:
    if hand == HANDS[3]:
        sides = [_figures(rows, side) for side in HANDS[:2]]
        return {
            key: {"mean": None if None in (means := [side[key]["mean"] for side in sides]) else float(np.mean(means))}
            for key in sides[0]
        }
    chosen = [row for row in rows if hand == "pooled" or row.side == hand]
    keys = rows[0].figures
    return {key: _estimate([row.figures[key] for row in chosen], [row.frame for row in chosen]) for key in keys}


def _estimate(values: Sequence[float], groups: Sequence[str]) -> dict[str, Any]:
    made: Estimate = estimate(values, groups)
    return asdict(made)


def markdown(summary: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    """The table as Markdown: one row a method and alignment, pooled over hands, with intervals."""
    heads = ["method", "alignment", "hands", "misses", *(title for _, title, _, _ in _COLUMNS), "MRRPE mm", "pen. ml"]
    lines = [table_row(heads), "|" + " --- |" * len(heads)]
    for row in summary:
        if not row["measured"]:
            lines.append(table_row([row["method"], *["" for _ in heads[1:]]]))
            continue
        missed = row[f"hands_{MISSING}"] + row[f"hands_{EMPTY}"]
        for alignment, hands in row["alignments"].items():
            figures = hands["pooled"]
            cells = [_shown(figures[key], factor, digits) for key, _, factor, digits in _COLUMNS]
            pair = [_shown(row[key], 1.0, 2) for key in ("relative_root_error_mm", "penetration_ml")]
            lines.append(table_row([row["method"], alignment, str(row["hands"]), str(missed), *cells, *pair]))
        lines += [
            table_row([row["method"], alignment, "not measured: no keypoints", *["" for _ in heads[3:]]])
            for alignment in row["not_measured"]
        ]
    floor = about["chamfer_floor_mm"]
    doubts = [
        f"{row['method']}: {row[key]} {words}."
        for row in summary
        for key, words in (
            ("mirrored", "hands bend as those of the other side: are they mirrored?"),
            ("wrong_sizes", "meshes are far smaller or larger than the true hand: is it another frame= or unit=?"),
            ("open_meshes", "meshes have several openings and were not closed"),
        )
        if row.get(key)
    ]
    notes = [
        f"Alignment: {'; '.join(f'{name} = {text}' for name, text in about['alignments'].items())}.",
        f"Points: {'; '.join(about['points'])}.",
        f"Chamfer: {about['surface_points']} points on each surface, the same surface sampled twice gives "
        + ("an unknown distance." if floor is None else f"{floor:.3f} mm (the floor)."),
        f"Misses: {about['misses']}.",
        f"MPJPE and MPVPE: scaled = {about['mpjpe']['intaghand']}; else {about['mpjpe']['mcp']}.",
        f"MRRPE: {about['relative_root']}. Penetration: {about['penetration']}.",
        f"Intervals: {about['interval']}. Hands are pooled; report.json also has each side and the mean of both.",
        *doubts,
        about["unknown"],
    ]
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)]) + "\n"


def _shown(one: dict[str, Any], factor: float, digits: int) -> str:
    if one["mean"] is None:
        return ""
    text = f"{one['mean'] * factor:.{digits}f}"
    if one.get("low") is not None:
        text += f" ({one['low'] * factor:.{digits}f}–{one['high'] * factor:.{digits}f})"
    return text


def write_report(folder: Path, measured: Measured, methods: Sequence[Method], about: dict[str, Any]) -> str:
    """Write ``report.json``, ``table.md`` and ``samples.csv``, and return the Markdown.

    Raises
    ------
    TakeError
        A file cannot be written, for example because the disk is full.
    """
    said = protocol(measured, about)
    summary = summarise(measured, methods)
    text = markdown(summary, said)
    report = {"protocol": said, "rows": summary}
    write_atomically(folder / "report.json", (json.dumps(report, indent=1, allow_nan=False) + "\n").encode("utf-8"))
    write_atomically(folder / "table.md", text.encode("utf-8"))
    write_atomically(folder / "samples.csv", _csv(measured.rows).encode("utf-8"))
    return text


def _csv(rows: Sequence[HandRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = list(rows[0].figures) if rows else []
    writer.writerow(["method", "view", "frame", "side", "alignment", "state", *keys])
    for row in rows:
        figures = [f"{row.figures[key]:.9g}" if np.isfinite(row.figures[key]) else "" for key in keys]
        writer.writerow([row.method, row.view, row.frame, row.side, row.alignment, row.state, *figures])
    return text.getvalue()
