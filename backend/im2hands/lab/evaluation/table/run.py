"""The command ``im2hands evaluate table``: methods and keypoint sources compared on held-out synthetic scenes.

Rows
    Four methods: the HALO baseline (from keypoints), HALO with pixel-aligned image features, the initial occupancy and
    the refined occupancy. Each runs on exact keypoints and on predicted keypoints; the latter with and without keypoint
    refinement. Predicted keypoints are lifted with the true palm length of the scene, which a user gives with
    ``--palm-mm``: it cannot be measured in a single picture.

Measures
    See ``im2hands.lab.evaluation.measures``. Means are over the hands that were found. A hand that was not found, or
    that got no mesh, lowers only the column "both %".

Scenes
    See ``im2hands.lab.evaluation.held_out``. The result of a scene is written as soon as it is measured, so an
    interrupted run can be continued. Results of another set, other weights or another program version are never mixed
    (``made_from``).

Weights
    If the folder ``--weights`` has a two-hand network, it and the keypoint networks beside it are used; otherwise the
    bundled ones are.

``--page`` draws the best, the median and the worst scene of each row (``page``). ``--clips`` adds rows of predicted
keypoints in clips (``clips``). ``--hands`` is what is known of the hands in all scenes and clips.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from im2hands.core.errors import InputError
from im2hands.core.farm import add_executor
from im2hands.keypoints.choosing.prior import HANDS
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.held_out import two_hand_scenes
from im2hands.lab.evaluation.methods import METHODS as METHOD_NAMES
from im2hands.weights.keypoint_networks import TWO_HAND

from .clips import RESULTS as CLIP_RESULTS
from .clips import ClipResult, clip_frames, clip_number, format_clips, summarise_clips
from .kept_keypoints import kept_name
from .made_from import (
    REFINEMENT,
    begin_anew,
    keep_made_from,
    program_entry,
    set_entry,
    two_hand_weights,
    weights_entries,
)
from .page import check_page, draw_page
from .rows import (
    METHODS,
    SECONDS,
    SOURCES,
    Result,
    RowKey,
    append_result,
    format_table,
    missed_targets,
    read_results,
    summarise,
)
from .tools import Job, Plan, Tools
from .work import work

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate table`` to a parser."""
    parser.add_argument("--data", type=Path, metavar="SET", help="the held-out scenes (docs/training.md makes them)")
    parser.add_argument("--clips", type=Path, metavar="SET", help="held-out clips (im2hands synthesize --kind clip)")
    parser.add_argument("--output", type=Path, required=True, help="folder of results; an unfinished run is continued")
    parser.add_argument("--restart", action="store_true", help="delete the results in --output and start again")
    parser.add_argument("--scenes", type=int, default=500, help="number of scenes to measure (default 500)")
    parser.add_argument("--clip-count", type=int, default=20, help="number of clips to measure (default 20)")
    parser.add_argument(
        "--mesh-every", type=int, default=6, help="clips: make meshes for every N-th processed frame (default 6)"
    )
    parser.add_argument("--clip-stride", type=int, default=1, help="clips: process every N-th frame (default 1)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default 1)")
    add_executor(parser)
    parser.add_argument(
        "--keypoints-folder", type=Path, metavar="DIR",
        help="cache of detected keypoints (default: in --output); several tables may share it",
    )  # fmt: skip
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="measure only the K-th of N equal parts of scenes and clips"
    )
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands (default auto)")
    parser.add_argument("--sources", default=",".join(SOURCES), help=f"keypoint sources, of {','.join(SOURCES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"methods, of {','.join(METHODS)}")
    parser.add_argument("--no-keypoint-refinement", action="store_true", help="leave out rows with refined keypoints")
    parser.add_argument("--page", type=Path, metavar="FILE", help="picture of each row's best, median and worst scene")
    parser.add_argument("--weights", default="bundled", help='"bundled" or a folder')
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate table``.

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
        An option cannot be used, a set is damaged, or the results in ``--output`` have other inputs.
    WeightsError
        The weights folder cannot be used.
    SetupError
        A worker process was ended from outside.
    """
    _check(arguments)
    part, parts = _part(arguments.part)
    if arguments.restart and parts > 1:
        raise InputError(
            "--restart would delete the results of the other parts.", "Give another --output, or leave out --part."
        )
    sources, methods = _chosen(arguments.sources, SOURCES), _chosen(arguments.methods, METHODS)
    usable = [] if arguments.data is None else two_hand_scenes(SceneSet(arguments.data))[: arguments.scenes]
    if arguments.data is not None and not usable:
        raise InputError(f"{arguments.data} has no scene that shows two hands large enough.", "Give another set.")
    clips = [] if arguments.clips is None else clip_frames(arguments.clips)[: arguments.clip_count]
    if clips and set(sources) <= {"exact"}:
        raise InputError(
            "Clips are measured with predicted keypoints.", "Choose other --sources, or leave out --clips."
        )
    arguments.output.mkdir(parents=True, exist_ok=True)
    entries, files = _made_from(arguments, sources, methods)
    if arguments.restart:
        begin_anew(arguments.output)
    keep_made_from(arguments.output, entries)
    plan, rows = _plan(arguments, sources, entries), _rows(sources, methods, entries)
    scene_jobs, clip_jobs = _missing(arguments.output, rows, usable[part - 1 :: parts], clips[part - 1 :: parts])
    _measure(arguments, plan, scene_jobs, f"results-{part}-of-{parts}.jsonl", "scene")
    _measure(arguments, plan, clip_jobs, f"clips-{part}-of-{parts}.jsonl", "clip")
    measured = read_results(arguments.output, Result)
    results = _once([r for r in measured if r.scene in usable and r.key in rows])
    numbers = {clip_number(frames) for frames in clips}
    in_clips = read_results(arguments.output, ClipResult, CLIP_RESULTS)
    if arguments.page is not None:
        _draw(arguments, plan, results)
    table_rows = summarise(results)
    clip_rows = summarise_clips(_once([r for r in in_clips if r.clip in numbers and r.key in rows]))
    missed = missed_targets(table_rows)
    if arguments.json:
        report = {
            "scenes": len(usable),
            "hands": arguments.hands,
            "voxel_mm": arguments.voxel_mm,
            "rows": [asdict(r) for r in table_rows],
            "clips": len(clips),
            "mesh_every": arguments.mesh_every,
            "clip_stride": arguments.clip_stride,
            "clip_rows": [asdict(r) for r in clip_rows],
            "seconds": SECONDS,
            "workers": arguments.workers,
            "missed": missed,
            "made_from": entries,
            "files": files,
        }
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return 0
    lines = [format_table(table_rows)] if table_rows else []
    lines += [format_clips(clip_rows, arguments.clip_stride)] if clip_rows else []
    lines += [SECONDS + (f"; {arguments.workers} processes at a time" if arguments.workers > 1 else "")]
    palms = next((named[TWO_HAND.name] for named in files.values() if TWO_HAND.name in named), None)
    lines += [f"two-hand network: {palms}"] if palms else []
    sys.stdout.write("\n".join([*lines, *(f"missed: {line}" for line in missed)]) + "\n")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Reject options that cannot work, before hours of measuring."""
    if arguments.data is None and arguments.clips is None:
        raise InputError("There is nothing to measure on.", "Give --data, --clips, or both.")
    for name in ("mesh_every", "clip_stride", "workers"):
        if getattr(arguments, name) < 1:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {getattr(arguments, name)} is not possible.", "Give 1 or more.")
    if arguments.page is not None:
        if arguments.data is None:
            raise InputError("The page shows scenes of a set.", "Give --data as well.")
        check_page(arguments.page)


def _made_from(
    arguments: argparse.Namespace, sources: Sequence[str], methods: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Entries of the provenance of this run, and the paths of its weights files, see ``made_from``."""
    from im2hands.core.devices import choose_device

    refines = not arguments.no_keypoint_refinement
    weights, files = weights_entries(sources, methods, arguments.weights, refines)
    options = {
        "voxel mm": arguments.voxel_mm,
        "device": choose_device(arguments.device).type,
        "hands": arguments.hands,
    }
    entries = {"program": program_entry(), "options": options, **weights}
    if arguments.data is not None:
        entries["scenes"] = set_entry(SceneSet(arguments.data))
    if arguments.clips is not None:
        entries["clips"] = set_entry(SceneSet(arguments.clips))
        entries["options for clips"] = {
            "frames from mesh to mesh": arguments.mesh_every,
            "stride": arguments.clip_stride,
        }
    return entries, files


def _plan(arguments: argparse.Namespace, sources: Sequence[str], entries: Mapping[str, Any]) -> Plan:
    """Settings of this run for the processes that measure."""

    def names(world: str, **more: Any) -> tuple[tuple[str, str], ...]:
        if world not in entries:
            return ()
        on = {"program": entries["program"], "set": entries[world], "hands": arguments.hands, **more}
        return tuple(
            (source, kept_name(source, {**on, "files": entries.get(f"keypoints {source}")}))
            for source in sources
            if source != "exact"
        )

    return Plan(
        arguments.data, arguments.clips, str(arguments.weights), two_hand_weights(arguments.weights),
        arguments.hands, arguments.voxel_mm, arguments.device, arguments.mesh_every, arguments.clip_stride,
        arguments.keypoints_folder or arguments.output / "keypoints",
        names("scenes"), names("clips", stride=arguments.clip_stride),
    )  # fmt: skip


def _rows(sources: Sequence[str], methods: Sequence[str], entries: Mapping[str, Any]) -> list[RowKey]:
    """The chosen rows that the weights can produce."""
    there = [method for method in methods if f"method {method}" in entries]
    for method in methods:
        if method not in there:
            _log.warning("%s is left out: the weights folder lacks it", METHOD_NAMES[method])
    return [
        RowKey(source, refined, method)
        for source in sources
        for refined in ((False, True) if REFINEMENT in entries and source != "exact" else (False,))
        for method in there
    ]


def _missing(
    output: Path, rows: Sequence[RowKey], scenes: Sequence[int], clips: Sequence[range]
) -> tuple[list[Job], list[Job]]:
    """Jobs for all rows without a result: one for each scene, and one for each clip and keypoint source."""
    done = {(r.scene, r.key) for r in read_results(output, Result)}
    in_clips = {(r.clip, r.key) for r in read_results(output, ClipResult, CLIP_RESULTS)}
    scene_jobs = [Job(range(n, n + 1), False, frozenset(key for key in rows if (n, key) not in done)) for n in scenes]
    clip_jobs = [
        Job(frames, True, frozenset(
            key for key in rows if key.source == source and (clip_number(frames), key) not in in_clips
        ))
        for frames in clips
        for source in dict.fromkeys(key.source for key in rows if key.source != "exact")
    ]  # fmt: skip
    return [job for job in scene_jobs if job.rows], [job for job in clip_jobs if job.rows]


def _measure(arguments: argparse.Namespace, plan: Plan, jobs: Sequence[Job], name: str, unit: str) -> None:
    """Run the jobs, and write each result as soon as it is measured."""
    from tqdm import tqdm

    if jobs:
        with tqdm(total=len(jobs), unit=unit) as bar:
            for result in work(plan, jobs, arguments.workers, bar.update, arguments.executor):
                append_result(arguments.output / name, result)


Of = TypeVar("Of", Result, ClipResult)


def _once(results: Sequence[Of]) -> list[Of]:
    """Results without duplicates, which overlapping parts may have measured."""
    return list({(r.scene if isinstance(r, Result) else r.clip, r.key): r for r in results}.values())


def _draw(arguments: argparse.Namespace, plan: Plan, results: Sequence[Result]) -> None:
    from tqdm import tqdm

    with closing(Tools(plan)) as tools, tqdm(unit="scene", desc="page", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        sources = {result.source for result in results}
        surfaces = tools.surfaces({result.method for result in results})
        refiner = tools.refiner() if any(result.refined for result in results) else None
        keypoints = partial(tools.finders, sources)
        draw_page(arguments.page, results, arguments.data, surfaces, keypoints, refiner, progress=progress)


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
        raise InputError(f"--part {text} is not a part.", "Write 1/2 for the first half.")
    return part, parts
