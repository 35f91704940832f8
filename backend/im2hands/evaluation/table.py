"""The table of methods and keypoint sources on a held-out world of synthetic hands: ``im2hands evaluate table``.

Rows: four methods (the HALO baseline from keypoints, HALO with pixel-aligned image features, the initial and the
refined occupancy) on exact keypoints and on predicted ones, the latter with and without keypoint refinement. Predicted
keypoints are lifted with the true palm length of the scene, as a person gives it with ``--palm-mm``: no single picture
tells it. Hands are compared as :mod:`.measures` says. Means over the hands that were found; a hand that was not found,
or that got no mesh, counts in the column of hands found only.

Which scenes count: :mod:`.held_out`. Every measured scene is written at once, so a run that ends early goes on where it
stood; results made from another set, other weights or another program are never mixed with them
(:mod:`.table_made_from`). What finds keypoints (the two-hand network and what lies beside it) is taken from
``--weights`` where that folder has a two-hand network, else from what ships. ``--page`` draws the best, the median and
the worst scene of each row: :mod:`.table_page`. ``--clips`` adds rows of predicted keypoints in video:
:mod:`.table_clips`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.scenes import SceneSet
from ..errors import InputError, WeightsError
from ..weights.two_hand_network import NAME as PALM_NETWORK
from .held_out import true_scenes, two_hand_scenes
from .methods import METHODS as METHOD_NAMES
from .methods import load_method
from .table_clips import RESULTS as CLIP_RESULTS
from .table_clips import ClipResult, clip_frames, format_clips, measure_clip, summarise_clips
from .table_made_from import (
    begin_anew,
    keep_made_from,
    palm_weights,
    program_entry,
    set_entry,
    weights_entries,
)
from .table_page import check_page, draw_page
from .table_rows import (
    METHODS,
    SOURCES,
    Result,
    RowKey,
    append_result,
    format_table,
    missed_targets,
    read_results,
    summarise,
)
from .table_scene import ExactKeypoints, FoundKeypoints, Keypoints, Refiner, Surfaces, attempts, measure

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``im2hands evaluate table``."""
    parser.add_argument("--data", type=Path, metavar="SET", help="the held-out scenes (docs/training.md makes them)")
    parser.add_argument("--clips", type=Path, metavar="SET", help="held-out clips (im2hands synthesize --kind clip)")
    parser.add_argument("--output", type=Path, required=True, help="folder for results; a run that is there goes on")
    parser.add_argument("--restart", action="store_true", help="throw away the results in --output and begin anew")
    parser.add_argument("--scenes", type=int, default=500, help="how many of the set (default 500)")
    parser.add_argument("--clip-count", type=int, default=20, help="how many clips of their set (default 20)")
    parser.add_argument("--mesh-every", type=int, default=6, help="in clips, frames from mesh to mesh (default 6)")
    parser.add_argument("--part", default="1/1", metavar="1/2", help="measure every second scene, the first half, ...")
    parser.add_argument("--sources", default=",".join(SOURCES), help=f"of {','.join(SOURCES)}")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {','.join(METHODS)}")
    parser.add_argument("--no-keypoint-refinement", action="store_true", help="without the rows of refined keypoints")
    parser.add_argument("--page", type=Path, metavar="FILE", help="picture of each row's best, median and worst scene")
    parser.add_argument("--weights", default="bundled", help='"bundled" or a folder')
    parser.add_argument("--voxel-mm", type=float, default=1.7)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate table``; returns the exit code."""
    if arguments.data is None and arguments.clips is None:
        raise InputError("There is nothing to measure on.", "Give --data, --clips, or both.")
    if arguments.mesh_every < 1:
        raise InputError(f"--mesh-every {arguments.mesh_every} is not possible.", "Give 1 for a mesh in every frame.")
    if arguments.page is not None:
        if arguments.data is None:
            raise InputError("The page shows scenes of a set.", "Give --data as well.")
        check_page(arguments.page)
    part, parts = _part(arguments.part)
    if arguments.restart and parts > 1:
        raise InputError(
            "--restart would throw away the results of the other parts.", "Give another --output, or leave out --part."
        )
    usable = [] if arguments.data is None else two_hand_scenes(SceneSet(arguments.data))[: arguments.scenes]
    if arguments.data is not None and not usable:
        raise InputError(f"{arguments.data} has no scene with two hands of a fair size.", "Give another set.")
    clips = [] if arguments.clips is None else clip_frames(arguments.clips)[: arguments.clip_count]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with closing(Tools(arguments)) as tools:
        entries, files = _made_from(arguments, tools)
        if arguments.restart:
            begin_anew(arguments.output)
        keep_made_from(arguments.output, entries)
        results = _scenes(arguments, tools, usable, part, parts)
        in_clips = _clips(arguments, tools, clips, part, parts)
        if arguments.page is not None:
            _draw(arguments, tools, results)
    rows, clip_rows = summarise(results), summarise_clips(in_clips)
    missed = missed_targets(rows)
    if arguments.json:
        report = {
            "scenes": len(usable),
            "voxel_mm": arguments.voxel_mm,
            "rows": [asdict(r) for r in rows],
            "clips": len(clips),
            "mesh_every": arguments.mesh_every,
            "clip_rows": [asdict(r) for r in clip_rows],
            "missed": missed,
            "made_from": entries,
            "files": files,
        }
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        return 0
    parts_of_text = [format_table(rows)] if rows else []
    parts_of_text += [format_clips(clip_rows)] if clip_rows else []
    palms = next((named[PALM_NETWORK] for named in files.values() if PALM_NETWORK in named), None)
    parts_of_text += [f"the two-hand network is that of {palms}"] if palms else []
    sys.stdout.write("\n".join([*parts_of_text, *(f"missed: {line}" for line in missed)]) + "\n")
    return 0


def _made_from(arguments: argparse.Namespace, tools: Tools) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """What this run's results are made from, and where the weights lie."""
    from ..devices import choose_device

    weights, files = weights_entries(tools.sources, tools.methods, arguments.weights, tools.refines)
    options = {"voxel mm": arguments.voxel_mm, "device": choose_device(arguments.device).type}
    entries = {"program": program_entry(), "options": options, **weights}
    if arguments.data is not None:
        entries["scenes"] = set_entry(SceneSet(arguments.data))
    if arguments.clips is not None:
        entries["clips"] = set_entry(SceneSet(arguments.clips))
        entries["options for clips"] = {"frames from mesh to mesh": arguments.mesh_every}
    return entries, files


def _scenes(
    arguments: argparse.Namespace, tools: Tools, usable: Sequence[int], part: int, parts: int
) -> list[Result]:  # fmt: skip
    """Measure the scenes that are missing of this part; all results there are."""
    from tqdm import tqdm

    done = {(r.scene, r.key) for r in read_results(arguments.output, Result)}
    wanted = [n for n in usable[part - 1 :: parts] if any((n, key) not in done for key in tools.rows)]
    if wanted:
        tools.load()
        path = arguments.output / f"results-{part}-of-{parts}.jsonl"
        for scene in tqdm(true_scenes(arguments.data, wanted), total=len(wanted), unit="scene"):
            missing = {key for key in tools.rows if (scene.number, key) not in done}
            for attempt in attempts(scene, tools.surfaces, tools.keypoints(), tools.refiner, missing):
                append_result(path, measure(scene, attempt))
    return [r for r in read_results(arguments.output, Result) if r.scene in usable and r.key in tools.rows]


def _clips(
    arguments: argparse.Namespace, tools: Tools, clips: Sequence[range], part: int, parts: int
) -> list[ClipResult]:  # fmt: skip
    """Measure the clips that are missing of this part; all results there are."""
    from tqdm import tqdm

    rows = [key for key in tools.rows if key.source != "exact"]
    if clips and not rows:
        raise InputError(
            "Clips are measured with predicted keypoints.", "Choose other --sources, or leave out --clips."
        )
    done = {(r.clip, r.key) for r in read_results(arguments.output, ClipResult, CLIP_RESULTS)}
    numbers = [frames.start // len(frames) for frames in clips]
    wanted = [k for k in range(len(clips))[part - 1 :: parts] if any((numbers[k], key) not in done for key in rows)]
    if wanted:
        tools.load()
        path = arguments.output / f"clips-{part}-of-{parts}.jsonl"
        sources = tools.clip_sources()
        for k in tqdm(wanted, unit="clip"):
            missing = {key for key in rows if (numbers[k], key) not in done}
            for result in measure_clip(
                arguments.clips, clips[k], tools.surfaces, sources, tools.refiner, missing, arguments.mesh_every
            ):
                append_result(path, result)
    measured = read_results(arguments.output, ClipResult, CLIP_RESULTS)
    return [r for r in measured if r.clip in numbers and r.key in rows]


def _draw(arguments: argparse.Namespace, tools: Tools, results: Sequence[Result]) -> None:
    from tqdm import tqdm

    tools.load()
    with tqdm(unit="scene", desc="page", disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        draw_page(
            arguments.page, results, arguments.data, tools.surfaces, tools.keypoints(), tools.refiner, progress=progress
        )


@dataclass
class Tools:
    """Reconstructors, keypoint sources and the keypoint refinement, loaded only if there is work to do.

    Args:
        arguments: of the command.

    Attributes:
        rows: that are asked for; after :meth:`load` those that the weights allow. surfaces, refiner: see
            :mod:`.table_scene`.

    Raises:
        InputError: a row that does not exist.
    """

    arguments: Any

    def __post_init__(self) -> None:
        self.sources = _chosen(self.arguments.sources, SOURCES)
        self.methods = _chosen(self.arguments.methods, METHODS)
        self.surfaces: dict[str, Surfaces] = {}
        self._keypoints: dict[str, Keypoints] = {}
        self.refiner: Refiner | None = None
        self.refines = not self.arguments.no_keypoint_refinement
        self.rows = self._rows(self.sources, self.methods)
        self._loaded = False
        self.palms = palm_weights(self.arguments.weights)

    def load(self) -> None:
        """Load the networks; methods that the weights do not hold are left out with a warning."""
        from ..devices import choose_device
        from ..keypoint_refiner import load_keypoint_refiner

        if self._loaded:
            return
        self._loaded = True
        arguments = self.arguments
        device, voxel_m = choose_device(arguments.device), arguments.voxel_mm / 1000
        for method in self.methods:
            try:
                self.surfaces[method] = load_method(method, arguments.weights, device=device, voxel_m=voxel_m)
            except WeightsError as error:
                _log.warning("%s is left out: %s", METHOD_NAMES[method], error.message)
        if self.refines:
            self.refiner = load_keypoint_refiner(arguments.weights, device=device)
            self.refines = self.refiner is not None
        self.rows = self._rows(self.sources, list(self.surfaces))

    def keypoints(self) -> dict[str, Keypoints]:
        """Where keypoints of single pictures come from, by source; made when first asked for."""
        if not self._keypoints:
            for source in self.sources:
                try:
                    self._keypoints[source] = (
                        ExactKeypoints() if source == "exact" else FoundKeypoints(source, palm_weights=self.palms)
                    )
                except (InputError, WeightsError) as error:
                    _log.warning("keypoints %s are left out: %s", source, error.message)
        return self._keypoints

    def clip_sources(self) -> dict[str, Callable[[], Keypoints]]:
        """What makes a source of keypoints for one clip, by source."""
        return {
            source: partial(FoundKeypoints, source, video=True, palm_weights=self.palms)
            for source in self.sources
            if source != "exact"
        }

    def close(self) -> None:
        """Close the keypoint sources."""
        for keypoints in self._keypoints.values():
            keypoints.close()

    def _rows(self, sources: Sequence[str], methods: Sequence[str]) -> list[RowKey]:
        return [
            RowKey(source, refined, method)
            for source in sources
            for refined in ((False, True) if self.refines and source != "exact" else (False,))
            for method in methods
        ]


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
