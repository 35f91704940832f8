"""Clips in the table: keypoints found as in a video, from frame to frame; columns as for scenes, and jitter.

A clip is sixty frames in a row of a set that ``im2hands synthesize --kind clip`` made. Each source starts anew with
each clip and looks at every frame in order (``--clip-stride N``: every N-th); meshes are made in every sixth of them
only (``--mesh-every``), for they do not depend on the frames before. Clips count in which nine tenths of the frames
count (:mod:`.held_out`). A measured clip is written at once.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, TwoHands
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
"""Files of measured clips in the folder of results."""


@dataclass(frozen=True)
class ClipResult:
    """One clip under one row.

    Args:
        clip: its number. mode: of its first frame. method, source, refined: the row. frames: that were looked at.
        meshes: how many of them have meshes. both: share of frames with both hands and the right sides. seconds: a
            frame, keypoints, refinement and meshes.
        jitter: mean third difference of the keypoints, mm a frame cubed, NaN where no hand is seen four frames long.
        true_jitter: of the true keypoints. gap_mm: of each frame with both hands. mpjpe_mm: of each hand and frame.
        iou, chamfer_mm, penetration_ml: of the frames with meshes.
    """

    clip: int
    mode: str
    method: str
    source: str
    refined: bool
    frames: int
    meshes: int
    both: float
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
        """The row."""
        return RowKey(self.source, self.refined, self.method)


@dataclass(frozen=True)
class ClipRow(Row):
    """A row of the table of clips: ``scenes`` are frames that were looked at; see :class:`ClipResult`."""

    clips: int
    meshes: int
    jitter: float
    true_jitter: float


def clip_frames(folder: Path) -> list[range]:
    """The frames of each clip of a set that counts, by clip number in the set's order.

    Raises:
        InputError: no set of clips, a damaged one, or one without a clip that counts.
    """
    scenes = SceneSet(folder)
    length = scenes.info.generator.get("frames")
    if not isinstance(length, int) or length < 1:
        raise InputError(f"{folder} is no set of clips.", "Make one: im2hands synthesize --kind clip.")
    usable = set(two_hand_scenes(scenes))
    clips = [range(first, first + length) for first in range(0, len(scenes) - length + 1, length)]
    clips = [frames for frames in clips if sum(n in usable for n in frames) >= LEAST_FRAMES * length]
    if not clips:
        raise InputError(
            f"{folder} has no whole clip with two hands of a fair size.",
            "Go on with the set (--resume), or give another.",
        )
    return clips


def clip_number(frames: range) -> int:
    """The number of a clip with those frames."""
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
    """The wanted rows of one clip.

    Args:
        folder: of the set. frames: of the clip. sources: by name, each opened anew for this clip. mesh_every: frames
            that are looked at from one mesh to the next. stride: frames from one that is looked at to the next.
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
        with closing(keypoints):  # the next clip is another video
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
                sum(sides_are_right(*pair) for pair in pairs) / len(scenes), mean(r.seconds for r in made),
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
    """Of both hands, where a hand is seen in four frames in a row."""
    missing = np.full((21, 3), np.nan)
    values = []
    for side in SIDES:
        track = np.array([missing if points is None else points for points in (frame[side] for frame in frames)])
        if len(track) > 3 and np.isfinite(np.diff(track, n=3, axis=0)).any():
            values.append(jitter(track))
    return mean(values)


def summarise_clips(results: Iterable[ClipResult]) -> list[ClipRow]:
    """Rows as they stand in the table; means over frames, hands, or (jitter, seconds) clips."""
    rows = []
    for key, group in by_row(results).items():
        rows.append(
            ClipRow(
                key.method, key.source, key.refined, sum(r.frames for r in group),
                mean(v for r in group for v in r.iou), mean(v for r in group for v in r.chamfer_mm),
                mean(v for r in group for v in r.mpjpe_mm), mean(v for r in group for v in r.gap_mm),
                mean(v for r in group for v in r.penetration_ml), float(np.mean([r.both for r in group])),
                mean(r.seconds for r in group),
                clips=len(group), meshes=sum(r.meshes for r in group),
                jitter=mean(r.jitter for r in group), true_jitter=mean(r.true_jitter for r in group),
            )
        )  # fmt: skip
    return rows


def format_clips(rows: Sequence[ClipRow], stride: int = 1) -> str:
    """The rows as text; ``stride``: see :func:`measure_clip`."""
    lines = [f"{heading('clips, keypoints', 'frames')}{'meshes':>8}{'clips':>7}{'jitter':>8}{'true':>7}"]
    lines += [
        f"{format_row(row)}{row.meshes:>8}{row.clips:>7}{row.jitter:>8.2f}{row.true_jitter:>7.2f}" for row in rows
    ]
    seen = "every frame" if stride == 1 else f"every {stride}. frame"
    lines.append(
        f"clips are looked at in {seen}; jitter: mean third difference of the keypoints, mm a frame looked at cubed, "
        "and that of the true hands; IoU, Chamfer and penetration are of the frames with meshes"
    )
    return "\n".join(lines)
