"""Evaluation of meshes against ground truth in the prepared layout: ``im2hands evaluate shapes``.

The layout is that of HALO's and Im2Hands' tools (``truth``), so files made by them and by ``im2hands data prepare`` are
read alike. Meshes come from any method, as files (``predictions``). What is measured stands in ``scores`` and
``measure``, and is printed with every table (``report``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import cast

from im2hands.core.errors import InputError
from im2hands.core.farm import add_executor, spread
from im2hands.keypoints.conversion.orders import read_regressor

from .making import METHODS, Making, folder_name, make_meshes, parse_recipe
from .measure import Plan, ViewResult, floor_mm, measure_view
from .page import draw_page
from .predictions import FRAMES, View, hands_of, parse_method, views_of
from .report import Measured, write_report
from .scores import ALIGNMENTS, INTERIOR_POINTS, SURFACE_POINTS, Alignment
from .truth import TruthFolder

FLOOR_HANDS = 20
"""True hands from which the floor of the Chamfer distance is taken."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate shapes`` to a parser."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="one split of the prepared layout: meta, points, …")
    add(
        "--method", action="append", default=[], metavar="NAME=DIR,frame=F,unit=U,joints=DIR",
        help=f"meshes of a method, may be given again; frames: {', '.join(FRAMES)}; units: m, mm, palm; "
        "NAME= is an empty row",
    )  # fmt: skip
    add(
        "--reconstruct", action="append", default=[], metavar="NAME=METHOD,weights=DIR",
        help=f"make the meshes first, of the crops of the split; methods: {', '.join(METHODS)}; weights: bundled",
    )  # fmt: skip
    add("--joints", default="gt", choices=("gt", "pred"), help="keypoints for --reconstruct: true, or pred_joints")
    add("--voxel-mm", type=float, default=1.7, help="lattice spacing for --reconstruct (default 1.7)")
    add("--device", default="auto", help="for --reconstruct: auto, cpu, cuda or mps")
    add("--annotations", type=Path, metavar="DIR", help="folder anno of the split: score every view")
    add("--regressor", type=Path, metavar="FILE", help=".npy joint regressor for meshes of 778 MANO vertices")
    add(
        "--align", nargs="+", default=["none", "middle-mcp"], choices=list(ALIGNMENTS),
        help="alignments (default: none middle-mcp)",
    )  # fmt: skip
    add("--every", type=int, default=1, metavar="N", help="score every N-th view (default 1)")
    add("--output", "-o", type=Path, required=True, metavar="DIR", help="folder of report.json, table.md, samples.csv")
    add("--page", action="store_true", help="also draw page.jpg: truth, prediction and error of some hands")
    for name, text, count in (
        ("surface", "points on each surface", SURFACE_POINTS), ("interior", "uniform points in a hand", INTERIOR_POINTS)
    ):  # fmt: skip
        add(f"--{name}-points", type=int, default=count, metavar="N", help=f"{text} (default {count})")
    add("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    add_executor(parser)
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate shapes``.

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
    InputError
        An option cannot be used, or a file is damaged.
    """
    arguments.output.mkdir(parents=True, exist_ok=True)
    regressor = None if arguments.regressor is None else read_regressor(arguments.regressor)
    methods = [parse_method(text, regressor) for text in arguments.method]
    recipes = [parse_recipe(text) for text in arguments.reconstruct]
    names_given = [method.name for method in methods] + [recipe.name for recipe in recipes]
    if len(set(names_given)) < len(names_given):
        raise InputError("Two methods have one name.", "Give each --method and --reconstruct its own name.")
    if not recipes and not any(method.folder for method in methods):
        raise InputError("There are no meshes to measure.", "Give --method NAME=FOLDER or --reconstruct NAME=METHOD.")
    for name in ("every", "workers", "surface_points", "interior_points"):
        if getattr(arguments, name) < 1:
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(arguments, name)} is not possible.", "Give 1 or more."
            )
    truth = TruthFolder(arguments.data)
    annotations = arguments.annotations
    if annotations is None and recipes:
        annotations = arguments.data / "anno"
    views = views_of(truth.names, annotations)[:: arguments.every]
    views = [view for view in views if hands_of(view, truth.known)]
    if not views:
        raise InputError(f"No view has a hand in {arguments.data}.", "Give the annotations of the same split.")
    if recipes:
        meshes = arguments.output.absolute() / "meshes"  # workers elsewhere have other working folders
        how = Making(
            arguments.data.absolute(), arguments.joints, arguments.voxel_mm / 1000, arguments.device, arguments.executor
        )
        methods += [make_meshes(how, recipe, views, meshes / folder_name(recipe.name)) for recipe in recipes]
    alignments = tuple(cast(list[Alignment], list(dict.fromkeys(arguments.align))))
    plan = Plan(
        arguments.data.absolute(), tuple(method.absolute() for method in methods if method.folder), alignments,
        arguments.surface_points, arguments.interior_points,
    )  # fmt: skip
    results = _measure(plan, views, arguments.workers, arguments.executor)
    measured = gather(results, floor_mm(plan, truth.names[:FLOOR_HANDS]))
    about = {
        "alignments": list(alignments), "data": str(arguments.data), "views": len(views), "every": arguments.every,
        "surface_points": plan.surface_points, "interior_points": plan.interior_points,
        "views_from": "annotations" if annotations else "one for each frame",
        **({"joints": arguments.joints, "voxel_mm": arguments.voxel_mm} if recipes else {}),
    }  # fmt: skip
    text = write_report(arguments.output, measured, methods, about)
    if arguments.page:
        draw_page(arguments.output / "page.jpg", plan, views, measured)
    if arguments.json:
        sys.stdout.write(json.dumps(json.loads((arguments.output / "report.json").read_text("utf-8")), indent=1) + "\n")
    else:
        sys.stdout.write(text)
    return 0


def _measure(plan: Plan, views: list[View], workers: int, executor: str) -> list[ViewResult]:
    from tqdm import tqdm

    made = []
    with tqdm(total=len(views), unit="view", disable=not sys.stderr.isatty()) as bar:
        for result in spread(partial(measure_view, plan), views, workers, "Use fewer --workers.", executor):
            made.append(result)
            bar.update()
    return made


def gather(results: list[ViewResult], floor: float | None) -> Measured:
    """Put the results of views together."""
    open_meshes: Counter[str] = Counter()
    mirrored: Counter[str] = Counter()
    wrong_sizes: Counter[str] = Counter()
    for result in results:
        open_meshes.update(result.open_meshes)
        mirrored.update(result.mirrored)
        wrong_sizes.update(result.wrong_sizes)
    return Measured(
        tuple(row for result in results for row in result.hands),
        tuple(row for result in results for row in result.pairs),
        floor, dict(open_meshes), dict(mirrored), dict(wrong_sizes),
        tuple(sorted({words for result in results for words in result.point_sets})),
    )  # fmt: skip
