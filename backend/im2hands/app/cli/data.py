"""``im2hands data list``, ``check`` and ``prepare``: data sets of others."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

EXIT_PROBLEMS = 1
SPLITS = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the data that can be read, with terms")
    _finish(listing, run_list)
    checks = actions.add_parser("check", help="look at a data set and say what is wrong with it")
    kinds = checks.add_subparsers(dest="kind", required=True, metavar="KIND")
    interhand = kinds.add_parser("interhand", help="InterHand2.6M as downloaded")
    _add_interhand(interhand)
    interhand.add_argument("--mano", type=Path, metavar="DIR", help="folder of MANO_LEFT and MANO_RIGHT (optional)")
    interhand.add_argument("--samples", type=int, default=100, metavar="N", help="pictures looked at closely")
    _finish(interhand, run_check_interhand)
    prepared = kinds.add_parser("prepared", help="prepared crops, also of another program")
    prepared.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of a split")
    prepared.add_argument("--samples", type=int, default=100, metavar="N", help="crops looked at closely")
    _finish(prepared, run_check_prepared)
    for name, title in (("rgb2hands", "RGB2Hands benchmark"), ("egohands", "EgoHands")):
        marked = kinds.add_parser(name, help=title)
        marked.add_argument("--root", required=True, type=Path, metavar="DIR", help="folder of the data set")
        _finish(marked, run_check_marked)
    prepares = actions.add_parser("prepare", help="make crops and occupancy points for training and evaluation")
    sources = prepares.add_subparsers(dest="kind", required=True, metavar="KIND")
    interhand = sources.add_parser("interhand", help="of InterHand2.6M")
    _add_prepare(interhand)
    _finish(interhand, run_prepare)


def _add_interhand(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="folder with images and annotations")
    parser.add_argument("--split", required=True, choices=SPLITS)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    from im2hands.core.farm import add_executor

    _add_interhand(parser)
    add = parser.add_argument
    add("--mano", required=True, type=Path, metavar="DIR", help="folder of MANO_LEFT and MANO_RIGHT, .pkl or .npz")
    add("--out", required=True, type=Path, metavar="DIR", help="folder that gets a folder for the split")
    add("--joints", default="mano", help="true keypoints: mano or annotated (default: mano)")
    add("--contents", metavar="A,B", help="files of each hand, of meta,points,points_iou,pointcloud,mesh,mesh_scaled")
    add("--points", type=int, default=100_000, metavar="N", help="points in each file (default: 100000)")
    add("--max-fit-error-mm", type=float, metavar="MM", help="leave out hands whose MANO fit is worse (default: none)")
    add("--limit", type=int, metavar="N", help="stop after so many crops")
    add("--seed", type=int, default=0, metavar="S", help="seed of the points (default: 0)")
    add("--workers", type=int, metavar="K", help="processes (default: one for each core)")
    add_executor(parser)
    add("--resume", action="store_true", help="continue a preparation; damaged files are written anew")


def _finish(parser: argparse.ArgumentParser, action: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--debug", action="store_true", help="tracebacks and a full log")
    parser.set_defaults(data_action=action)


def run(args: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    from im2hands.core.errors import InputError
    from im2hands.core.person_path import person_path

    if getattr(args, "samples", 1) < 1:
        raise InputError(f"--samples {args.samples} looks at nothing.", "Give 1 or more.")
    for name in ("root", "mano", "out", "data"):
        if getattr(args, name, None) is not None:
            setattr(args, name, person_path(getattr(args, name)))
    code: int = args.data_action(args)
    return code


def _print_json(report: Any) -> None:
    """Print a report; numbers that are not known become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(plain(report), indent=1))


def run_list(args: argparse.Namespace) -> int:
    """Print the adapters; return the exit code."""
    from im2hands.lab.datasets.catalogue import ADAPTERS

    if args.json:
        _print_json([asdict(adapter) for adapter in ADAPTERS])
        return 0
    for adapter in ADAPTERS:
        print(f"{adapter.name}: {adapter.title}")
        for word in ("gives", "needs", "terms", "command"):
            print(f"  {word:8} {getattr(adapter, word)}")
    return 0


def run_check_interhand(args: argparse.Namespace) -> int:
    """Check InterHand2.6M; return the exit code, 1 if something is wrong."""
    from im2hands.lab.datasets.interhand.check import USUAL_FIT_MM, check_interhand
    from im2hands.lab.datasets.interhand.mano import LICENCE as MANO_TERMS
    from im2hands.lab.datasets.interhand.raw import LICENCE

    found = check_interhand(args.root, args.split, args.mano, args.samples)
    if args.json:
        _print_json({**asdict(found), "problems": found.problems})
        return EXIT_PROBLEMS if found.problems else 0
    print(f"layout: {found.release or 'version 1.0'}, split {args.split}: {found.pictures} pictures")
    print("  " + ", ".join(f"{count} {name}" for name, count in found.hands.most_common()) + f"; {found.grey} grey")
    share = 100 * found.candidates / max(found.pictures, 1)
    print(f"  {found.candidates} can be prepared ({share:.1f} %), {found.fitted} frames have MANO fits")
    if found.without_camera:
        print(f"  {found.without_camera} have no camera")
    print(f"of {found.looked_at} pictures: boxes differ by {_known(found.box_px, '.2g')} px (below 0.001 is expected)")
    for side, error in found.fit_mm.items():
        print(
            f"  {side}: MANO's keypoints are {error:.1f} mm from the annotated ones (about {USUAL_FIT_MM:g} is usual)"
        )
    if found.mano_note:
        print(found.mano_note)
    return _finish_check(found.problems, LICENCE, *([MANO_TERMS] if args.mano else []))


def run_check_prepared(args: argparse.Namespace) -> int:
    """Check a prepared split; return the exit code, 1 if something is wrong."""
    from im2hands.lab.datasets.interhand.check import check_prepared

    found = check_prepared(args.data, args.samples)
    if args.json:
        _print_json(asdict(found))
        return EXIT_PROBLEMS if found.problems else 0
    print(f"{found.crops} crops, {found.hands} hands; {found.looked_at} crops looked at")
    print(f"  keypoints in the crop: {_percent(found.inside)}")
    print(f"  largest difference of gt_joints and meta, mm: {_known(found.joints_mm, '.3g')}")
    print(f"  smallest IoU of a mesh with its own points: {_known(found.iou, '.3f')}")
    print(f"  points inside the hand: {_percent(found.occupied)}")
    for line in found.order:
        print(f"  {line}")
    return _finish_check(found.problems)


def run_check_marked(args: argparse.Namespace) -> int:
    """Check RGB2Hands or EgoHands; return the exit code."""
    import numpy as np

    from im2hands.lab.datasets import egohands, rgb2hands

    data: Any = rgb2hands.Rgb2Hands(args.root) if args.kind == "rgb2hands" else egohands.EgoHands(args.root)
    rows, problems = {}, []
    for name in data.sequences:
        photos = list(data.photos(name))
        both = [photo for photo in photos if len(photo.marked_sides) == 2]
        points = [np.isfinite(marks).all(1).sum() for photo in photos for marks in photo.keypoints.values()]
        rows[name] = {"photos": len(photos), "both hands": len(both), "points": int(sum(points))}
    if not any(row["photos"] for row in rows.values()):
        problems.append("No photo is marked.")
    if args.json:
        _print_json({"sequences": rows, "problems": problems})
        return EXIT_PROBLEMS if problems else 0
    for name, row in rows.items():
        counted = f", {row['points']} points" if row["points"] else ""
        print(f"{name}: {row['photos']} marked photos, {row['both hands']} with both hands{counted}")
    return _finish_check(problems, rgb2hands.LICENCE if args.kind == "rgb2hands" else egohands.LICENCE)


def _known(value: float, form: str) -> str:
    return "unknown" if math.isnan(value) else format(value, form)


def _percent(share: float) -> str:
    return "unknown" if math.isnan(share) else f"{100 * share:.1f} %"


def _finish_check(problems: list[str], *terms: str) -> int:
    for line in terms:
        print(line)
    for problem in problems:
        print(f"PROBLEM  {problem}")
    return EXIT_PROBLEMS if problems else 0


def run_prepare(args: argparse.Namespace) -> int:
    """Prepare a split of InterHand2.6M with a progress bar, check it, and print a summary; return the exit code."""
    from tqdm import tqdm

    from im2hands.core.devices import granted_cores
    from im2hands.lab.datasets.interhand.check import WRONG_FIT_MM, wrong_fit
    from im2hands.lab.datasets.interhand.frames import DEFAULT_CONTENTS
    from im2hands.lab.datasets.interhand.prepare import PrepareSettings, prepare
    from im2hands.lab.datasets.interhand.raw import InterHand
    from im2hands.lab.datasets.interhand.reprojection import reproject

    contents = tuple(args.contents.split(",")) if args.contents else DEFAULT_CONTENTS
    settings = PrepareSettings(
        args.root, args.split, args.mano, args.out, args.joints, contents, args.points, args.max_fit_error_mm,
        args.seed, args.limit,
    )  # fmt: skip
    bars: dict[str, Any] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in bars:
            for bar in bars.values():
                bar.close()
            bars[what] = tqdm(total=total, unit=what, file=sys.stderr, disable=not sys.stderr.isatty())
        bars[what].update(done - bars[what].n)

    try:
        workers = granted_cores() if args.workers is None else args.workers
        data = InterHand(settings.root, settings.split)
        report = prepare(settings, workers, executor=args.executor, resume=args.resume, progress=progress, data=data)
    finally:
        for bar in bars.values():
            bar.close()
    seen = reproject(settings, data=data)
    problems = [] if seen.is_good else ["The files do not agree with the annotations; see the pixels above."]
    problems += [wrong_fit(side, error) for side, error in report.fit_mm.items() if error > WRONG_FIT_MM]
    if args.json:
        _print_json({**asdict(report), "reprojection": asdict(seen), "problems": problems})
        return EXIT_PROBLEMS if problems else 0
    print(f"{settings.folder}: {report.kept} crops of {report.frames} frames, of {report.pictures} pictures")
    for reason, count in report.skipped.most_common():
        print(f"  {count} left out: {reason}")
    print(f"  {report.files} files of hands written, {report.repaired} of them in place of damaged ones")
    print(report.mano_note)
    for side, error in report.fit_mm.items():
        print(f"  {side}: MANO's keypoints are {error:.1f} mm from the annotated ones")
    print(f"Reprojection of {seen.crops} crops, pixels of the crop:")
    print(f"  keypoints {seen.keypoints_px:.2g} at most, meshes {_known(seen.meshes_px, '.2g')} at most")
    print(f"  annotated joints {_known(seen.annotated_px, '.2f')} on average (this is MANO's fit)")
    return _finish_check(problems)
