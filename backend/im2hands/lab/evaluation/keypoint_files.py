"""Errors of predicted keypoints in files against true ones, for ``im2hands evaluate keypoints`` and ``video``.

Each figure states its protocol (``joint_errors``). A hand that is missing has no error; it is counted as a miss, and so
is a hand with the wrong side. Means have confidence intervals (``bootstrap``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.farm import spread
from im2hands.core.files import write_atomically
from im2hands.core.hands import SIDES, Side
from im2hands.lab.datasets.interhand.layout import is_prepared

from .bootstrap import LEVEL, RESAMPLES, estimate
from .file_motion import motion
from .hand_files import HandFile, read_hands, read_truth
from .joint_errors import PROTOCOLS, point_errors_mm, root_offset_error_mm
from .markdown import table_row
from .overlay import draw_skeletons

NO_ROOT = "absolute_mm"
"""Name of the mean error without any alignment."""

_ABOUT = {
    **{f"mpjpe_{name}_mm": protocol.says for name, protocol in PROTOCOLS.items()},
    NO_ROOT: "no alignment: place in the frame, size and pose together",
    "relative_root_mm": "vector from the left to the right wrist (MRRPE)",
    "acceleration_mm": "difference of second differences from frame to frame, mm/frame², no alignment",
    "jitter": "mean length of the third differences, mm/frame³; true_jitter of the true hands",
    "swaps": "frames in which a hand goes on from a hand of the other side",
    "clips": "sequences of frames: of a prepared split, each camera of each sequence; a frame is its smallest step",
    "misses": "true hands without a predicted hand of their side; they have no error",
    "interval": f"{LEVEL:.0%} bootstrap, {RESAMPLES} resamples of whole time steps",
}
_ABOUT_MOTION = ("acceleration_mm", "jitter", "swaps", "clips")


@dataclass(frozen=True)
class FileMethod:
    """A method whose keypoints are in a file.

    Parameters
    ----------
    name : str
        Name of the row.
    hands : HandFile or None
        Its hands; None for a row without data.
    """

    name: str
    hands: HandFile | None


def measure_file(found: HandFile, truth: HandFile, *, video: bool) -> dict[str, Any]:
    """Measure the hands of one file.

    Parameters
    ----------
    found : HandFile
        Predicted hands.
    truth : HandFile
        True hands.
    video : bool
        Whether the frames follow each other in time.

    Returns
    -------
    dict
        Figures with intervals, JSON types.

    Raises
    ------
    InputError
        The two are in different frames of reference, or share no frame.
    """
    if found.space != truth.space:
        raise InputError(
            f"The prediction is in the {found.space} frame, the truth in the {truth.space} frame.",
            "Give --annotations, so that both are in the camera frame of their view.",
        )
    if not set(found.frames) & set(truth.frames):
        raise InputError("The prediction and the truth share no frame number.", "Check the names of the files.")
    values: dict[str, dict[Side, list[tuple[float, str]]]] = {}
    missed = dict.fromkeys(SIDES, 0)
    hands = dict.fromkeys(SIDES, 0)
    roots: list[tuple[float, str]] = []
    for index, true in truth.frames.items():
        here, group = found.frames.get(index, {}), truth.groups[index]
        for side, joints in true.items():
            hands[side] += 1
            if side not in here:
                missed[side] += 1
                continue
            one = here[side]
            for name, protocol in PROTOCOLS.items():
                error = float(point_errors_mm(one, joints, one, joints, protocol).mean())
                values.setdefault(f"mpjpe_{name}_mm", {}).setdefault(side, []).append((error, group))
            error = float(np.linalg.norm(one - joints, axis=1).mean() * 1000)
            values.setdefault(NO_ROOT, {}).setdefault(side, []).append((error, group))
        if len(true) == len(here) == 2:
            roots.append((root_offset_error_mm(here, true), group))
    made: dict[str, Any] = {
        "frames": len(truth.frames), "hands": sum(hands.values()), "misses": sum(missed.values()),
        "misses_by_side": missed, "figures": {name: _sides(by_side) for name, by_side in values.items()},
        "relative_root_mm": _interval(roots),
    }  # fmt: skip
    return {**made, "video": motion(found, truth)} if video else made


def _row(truth: HandFile, video: bool, method: FileMethod) -> dict[str, Any]:
    """The row of a method."""
    if method.hands is None:
        return {"method": method.name, "measured": False}
    return {"method": method.name, "measured": True, **measure_file(method.hands, truth, video=video)}


def _sides(by_side: dict[Side, list[tuple[float, str]]]) -> dict[str, Any]:
    figures: dict[str, Any] = {side: _interval(by_side.get(side, [])) for side in SIDES}
    figures["pooled"] = _interval([one for rows in by_side.values() for one in rows])
    means = [figures[side]["mean"] for side in SIDES]
    figures["mean of left and right"] = {"mean": None if None in means else float(np.mean(means))}
    return figures


def _interval(rows: Sequence[tuple[float, str]]) -> dict[str, Any]:
    return asdict(estimate([value for value, _ in rows], [group for _, group in rows]))


def add_file_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options of the comparison of files to a parser."""
    add = parser.add_argument
    add("--truth", type=Path, required=required, metavar="PATH",
        help="true hands: keypoint file, take, folder of joint files, or a split of the prepared layout")  # fmt: skip
    add("--method", action="append", default=[], metavar="NAME=PATH",
        help="predicted hands, as --truth; may be given again; NAME= is an empty row")  # fmt: skip
    add(
        "--annotations",
        type=Path,
        metavar="DIR",
        help="folder anno of the split: cameras of world positions (default: that of --truth)",
    )
    add("--output", "-o", type=Path, metavar="DIR", help="folder of report.json, table.md and page.jpg")


def run_files(arguments: argparse.Namespace, *, video: bool) -> int:
    """Compare files; print the table and return the exit code.

    Parameters
    ----------
    arguments : argparse.Namespace
        Options of ``add_file_arguments``, ``executor`` and ``json``.
    video : bool
        Whether the frames follow each other in time.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    InputError
        An option or a file cannot be used.
    """
    methods: list[FileMethod] = []
    annotations = arguments.annotations
    if annotations is None and is_prepared(arguments.truth):
        annotations = arguments.truth / "anno"  # else the numbers of files, which are those of views, have no meaning
    truth = read_truth(arguments.truth, annotations)
    for text in arguments.method:
        name, equals, path = text.partition("=")
        if not equals or not name or name in {method.name for method in methods}:
            raise InputError(f"--method {text} has no name of its own.", "Write NAME=PATH.")
        methods.append(FileMethod(name, read_hands(Path(path), annotations) if path else None))
    if not any(method.hands for method in methods):
        raise InputError("There are no hands to measure.", "Give --method NAME=PATH.")
    measure = partial(_row, truth, video)
    rows = list(spread(measure, methods, 1, "Run the command again.", arguments.executor))
    report = {"protocol": _ABOUT, "truth": str(arguments.truth), "space": truth.space, "rows": rows}
    text = _markdown(rows, video=video)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        data = json.dumps(report, indent=1, allow_nan=False) + "\n"
        write_atomically(arguments.output / "report.json", data.encode("utf-8"))
        write_atomically(arguments.output / "table.md", text.encode("utf-8"))
        pictures = [(one.name, one.hands.frames) for one in methods if one.hands is not None]
        write_atomically(arguments.output / "page.jpg", draw_skeletons(pictures, truth.frames))
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if arguments.json else text)
    return 0


def _markdown(rows: Sequence[dict[str, Any]], *, video: bool) -> str:
    names = [*(f"mpjpe_{name}_mm" for name in PROTOCOLS), NO_ROOT]
    moving = ["acceleration_mm", "jitter", "true_jitter", "swaps"] if video else []
    heads = ["method", "hands", "misses", *names, "relative_root_mm", *moving]
    lines = [table_row(heads), "|" + " --- |" * len(heads)]
    for row in rows:
        cells = [row["method"]]
        if row["measured"]:
            cells += [str(row["hands"]), str(row["misses"])]
            cells += [_shown(row["figures"].get(name, {}).get("pooled")) for name in names]
            cells.append(_shown(row["relative_root_mm"]))
            cells += ["" if row["video"][name] is None else f"{row['video'][name]:.3g}" for name in moving]
        lines.append(table_row(cells + [""] * (len(heads) - len(cells))))
    notes = [f"* {name}: {text}." for name, text in _ABOUT.items() if video or name not in _ABOUT_MOTION]
    return "\n".join([*lines, "", *notes]) + "\n"


def _shown(one: dict[str, Any] | None) -> str:
    if one is None or one["mean"] is None:
        return ""
    interval = "" if one["low"] is None else f" ({one['low']:.2f}–{one['high']:.2f})"
    return f"{one['mean']:.2f}{interval}"
