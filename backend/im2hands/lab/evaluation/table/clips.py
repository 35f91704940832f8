"""Clip rows of the table: hands of a whole clip found together; the columns of the scene rows, swaps and jitter.

A clip is a run of consecutive frames of a set that ``im2hands synthesize --kind clip`` made. A keypoint source finds
the hands of all its frames together, as in a reconstruction (``--clip-stride N``: every N-th frame). Meshes are made
only for every sixth of these frames (``--mesh-every``), because they do not depend on other frames. A clip counts if
nine tenths of its frames count (``im2hands.lab.evaluation.held_out``). The result of a clip is written as soon as it is
measured.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, TwoHands
from im2hands.lab.bench.clip_figures import swaps
from im2hands.lab.bench.motion_figures import jitter
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.evaluation.held_out import TrueScene, true_scenes, two_hand_scenes
from im2hands.lab.evaluation.measures import gap_error_mm, mpjpe_mm

from .kept_keypoints import KeptKeypoints
from .rows import Row, RowKey, by_row, format_row, heading, mean
from .scene import Attempt, Refiner, Surfaces, found_meshes, measure, sides_are_right

LEAST_FRAMES = 0.9
"""Share of a clip's frames that must count for the clip to count."""

RESULTS = "clips*.jsonl"
"""Name pattern of the files with results of clips, in the folder of results."""


@dataclass(frozen=True)
class ClipResult:
    """Measurements of one clip for one row of the table.

    Parameters
    ----------
    clip : int
        Number of the clip in its set.
    mode : str
        Interaction mode of its first frame.
    method : str
        Reconstruction method of the row.
    source : str
        Keypoint source of the row.
    refined : bool
        Whether the row uses keypoint refinement.
    frames : int
        Frames that were processed.
    meshes : int
        Frames for which meshes were made.
    both : float
        Share of the processed frames in which both hands were found with the right sides.
    swaps : int
        Frames in which a hand goes on from a hand of the other side, see ``im2hands.lab.bench.clip_figures``.
    seconds : float
        Mean time of a frame with meshes: keypoints, refinement and meshes.
    jitter : float
        Mean length of the third differences of the keypoints, mm/frame³. NaN where no hand is found in four
        consecutive frames.
    true_jitter : float
        Jitter of the true keypoints.
    gap_mm : list of float
        Gap error of each frame with both hands.
    mpjpe_mm : list of float
        MPJPE of each found hand in each frame.
    iou : list of float
        IoU of each hand in the frames with meshes.
    chamfer_mm : list of float
        Chamfer distance of each hand in the frames with meshes.
    penetration_ml : list of float
        Penetration volume of each frame with two meshes.
    """

    clip: int
    mode: str
    method: str
    source: str
    refined: bool
    frames: int
    meshes: int
    both: float
    swaps: int
    seconds: float
    jitter: float
    true_jitter: float
    gap_mm: list[float]
    mpjpe_mm: list[float]
    iou: list[float]
    chamfer_mm: list[float]
    penetration_ml: list[float]

    @property
    def key(self) -> RowKey:
        """The row that the result belongs to."""
        return RowKey(self.source, self.refined, self.method)


@dataclass(frozen=True)
class ClipRow(Row):
    """A row of the table of clips; in the inherited fields ``scenes`` is the number of processed frames.

    Parameters
    ----------
    clips : int
        Number of clips.
    meshes : int
        Number of frames with meshes.
    swaps : int
        Frames of all clips in which a hand goes on from a hand of the other side.
    jitter : float
        Mean jitter of the clips, mm/frame³.
    true_jitter : float
        Mean jitter of the true keypoints, mm/frame³.
    """

    clips: int
    meshes: int
    swaps: int
    jitter: float
    true_jitter: float


def clip_frames(folder: Path) -> list[range]:
    """Find the clips of a set that count.

    Parameters
    ----------
    folder : Path
        Set of clips.

    Returns
    -------
    list of range
        Frame numbers of each clip, in the order of the set.

    Raises
    ------
    InputError
        The folder holds no set of clips, the set is damaged, or none of its clips counts.
    """
    scenes = SceneSet(folder)
    length = scenes.info.generator.get("frames")
    if not isinstance(length, int) or length < 1:
        raise InputError(f"{folder} is not a set of clips.", "Make one: im2hands synthesize --kind clip.")
    usable = set(two_hand_scenes(scenes))
    clips = [range(first, first + length) for first in range(0, len(scenes) - length + 1, length)]
    clips = [frames for frames in clips if sum(n in usable for n in frames) >= LEAST_FRAMES * length]
    if not clips:
        raise InputError(
            f"{folder} has no complete clip that shows two hands large enough.",
            "Continue the set (im2hands synthesize --resume), or give another set.",
        )
    return clips


def clip_number(frames: range) -> int:
    """Return the number of the clip with these frames."""
    return frames.start // len(frames)


def measure_clip(
    folder: Path,
    frames: range,
    methods: Mapping[str, Surfaces],
    sources: Mapping[str, KeptKeypoints],
    refiner: Refiner | None,
    wanted: Container[RowKey],
    mesh_every: int,
    stride: int = 1,
) -> Iterator[ClipResult]:
    """Measure the wanted rows of one clip.

    Parameters
    ----------
    folder : Path
        Set of clips.
    frames : range
        Frame numbers of the clip.
    methods : Mapping of str to Surfaces
        Reconstructors by method name.
    sources : Mapping of str to KeptKeypoints
        Keypoint sources by name.
    refiner : Refiner or None
        Keypoint refinement; None leaves out the refined rows.
    wanted : container of RowKey
        Rows to measure.
    mesh_every : int
        Make meshes for every n-th processed frame.
    stride : int
        Process every n-th frame of the clip.

    Yields
    ------
    ClipResult
        One result for each wanted row.
    """
    scenes = list(true_scenes(folder, frames[::stride]))
    number = clip_number(frames)
    true_jitter = _jitter([{side: scene.keypoints.get(side) for side in SIDES} for scene in scenes])
    for source, keypoints in sources.items():
        refinements = (False, True) if refiner is not None else (False,)
        rows = [RowKey(source, refined, method) for refined in refinements for method in methods]
        rows = [row for row in rows if row in wanted]
        if not rows:
            continue
        variants = {False: keypoints.found_in(scenes, number)}
        if refiner is not None and any(row.refined for row in rows):
            variants[True] = [
                _refined(refiner, scene, *one) for scene, one in zip(scenes, variants[False], strict=True)
            ]
        for row in rows:
            seen = [hands for hands, _ in variants[row.refined]]
            spent = mean(seconds for _, seconds in variants[row.refined])
            made = []
            for k in range(0, len(scenes), mesh_every):
                meshes, seconds = found_meshes(scenes[k], row.method, methods[row.method], seen[k])
                made.append(measure(scenes[k], Attempt(row, seen[k], meshes, spent + seconds)))
            pairs = [(s, h) for s, h in zip(scenes, seen, strict=True) if _both(s, h)]
            yield ClipResult(
                number, scenes[0].mode, row.method, source, row.refined, len(scenes), len(made),
                sum(sides_are_right(*pair) for pair in pairs) / len(scenes),
                len(swaps([{hand.side: hand.pixels for hand in h.present()} for h in seen])),
                mean(r.seconds for r in made),
                _jitter([_positions(hands) for hands in seen]), true_jitter,
                [gap_error_mm(dict(s.keypoints), {side: getattr(h, side).positions for side in SIDES})
                 for s, h in pairs],
                [mpjpe_mm(s.keypoints[hand.side], hand.positions)
                 for s, h in zip(scenes, seen, strict=True) for hand in h.present() if hand.side in s.keypoints],
                [v for r in made for v in r.iou], [v for r in made for v in r.chamfer_mm],
                [r.penetration_ml for r in made if np.isfinite(r.penetration_ml)],
            )  # fmt: skip


def _refined(refiner: Refiner, scene: TrueScene, hands: TwoHands, seconds: float) -> tuple[TwoHands, float]:
    started = time.perf_counter()
    better = refiner.refine(scene.frame, scene.camera, hands).hands
    return better, seconds + time.perf_counter() - started


def _both(scene: TrueScene, hands: TwoHands) -> bool:
    return len(hands.present()) == len(SIDES) and len(scene.keypoints) == len(SIDES)


def _positions(hands: TwoHands) -> dict[str, np.ndarray | None]:
    found: dict[str, np.ndarray | None] = dict.fromkeys(SIDES)
    return found | {hand.side: hand.positions for hand in hands.present()}


def _jitter(frames: Sequence[Mapping[str, np.ndarray | None]]) -> float:
    """Mean jitter of the hands, mm/frame³; a hand counts if it is found in four consecutive frames."""
    missing = np.full((21, 3), np.nan)
    values = []
    for side in SIDES:
        track = np.array([missing if points is None else points for points in (frame[side] for frame in frames)])
        if len(track) > 3 and np.isfinite(np.diff(track, n=3, axis=0)).any():
            values.append(jitter(track))
    return mean(values)


def summarise_clips(results: Iterable[ClipResult]) -> list[ClipRow]:
    """Compute the rows of the table, in its order.

    IoU, Chamfer distance, MPJPE, gap error and penetration are means over hands or frames; jitter, the share of frames
    with both hands, and seconds are means over clips; swaps are added up.

    Parameters
    ----------
    results : iterable of ClipResult
        Results of all rows.

    Returns
    -------
    list of ClipRow
    """
    rows = []
    for key, group in by_row(results).items():
        rows.append(
            ClipRow(
                key.method, key.source, key.refined, sum(r.frames for r in group),
                mean(v for r in group for v in r.iou), mean(v for r in group for v in r.chamfer_mm),
                mean(v for r in group for v in r.mpjpe_mm), mean(v for r in group for v in r.gap_mm),
                mean(v for r in group for v in r.penetration_ml), float(np.mean([r.both for r in group])),
                mean(r.seconds for r in group),
                clips=len(group), meshes=sum(r.meshes for r in group), swaps=sum(r.swaps for r in group),
                jitter=mean(r.jitter for r in group), true_jitter=mean(r.true_jitter for r in group),
            )
        )  # fmt: skip
    return rows


def format_clips(rows: Sequence[ClipRow], stride: int = 1) -> str:
    """Format the rows as text.

    Parameters
    ----------
    rows : sequence of ClipRow
        Rows in the order of the table.
    stride : int
        Stride with which the clips were processed, see ``measure_clip``.

    Returns
    -------
    str
        A heading, one line a row, and a legend.
    """
    lines = [f"{heading('clips, keypoints', 'frames')}{'meshes':>8}{'clips':>7}{'swaps':>7}{'jitter':>8}{'true':>7}"]
    lines += [
        f"{format_row(row)}{row.meshes:>8}{row.clips:>7}{row.swaps:>7}{row.jitter:>8.2f}{row.true_jitter:>7.2f}"
        for row in rows
    ]
    processed = "every frame of a clip" if stride == 1 else f"one in {stride} frames of a clip"
    lines.append(
        f"{processed} is processed; swaps: frames in which a hand goes on from a hand of the other side; jitter: mean "
        "third difference of the keypoints, mm/frame³, true: that of the true keypoints; IoU, Chamfer and penetration "
        "are measured in the frames with meshes"
    )
    return "\n".join(lines)
