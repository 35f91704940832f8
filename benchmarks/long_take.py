"""What a long take costs: a frame's record on the disk, the clean phase, and the memory that they use.

    python benchmarks/long_take.py [--frames 500 2000 5000 10000] [--measured 100] [--cleaned 2000 10000] [--density 0]

Records: a frame has tiny arrays, so that its file costs the same everywhere. "journal" appends MEASURED frames to a
take of that length as a job does. "whole" also rewrites take.json after each of them. Both are seconds a frame.

Clean phase: a process of its own writes a take of that length with two moving hands and cleans it. The surfaces have
no triangles, so that fitting to them costs nothing. "correctives" is the part of "clean" that finds the corrective
shapes. "peak" is the largest memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from im2hands.take.record import FrameRecord
from im2hands.take.take import Take

HEADER = {"source": {}, "fps": 25.0, "image_size": [8, 8], "camera": {}, "settings": {}, "provenance": {}}
HANDS = {side: {"confidence": 0.9876, "source": "two-hand network"} for side in ("left", "right")}
KINDS_OF_FRAMES = 100
"""Number of different poses in a cleaned take; they are repeated forwards and backwards."""


def record(index: int) -> FrameRecord:
    """A record of the usual length."""
    hands = {side: dict(facts) for side, facts in HANDS.items()}
    extra = {"time": round(index / 25, 6), "image": f"/shots/footage/shot/shot_{index:06d}.png"}
    return FrameRecord(index, "ok", "", hands, "", f"{index:032x}", extra)


def seconds_a_frame(length: int, measured: int, whole: bool) -> float:
    """Mean time of ``write_frame`` onto a take of ``length`` frames, seconds."""
    arrays = {f"{side}_keypoints": np.zeros((21, 3), np.float32) for side in HANDS}
    with tempfile.TemporaryDirectory() as folder:
        take = Take.create(Path(folder), HEADER)
        take.records = {index: record(index) for index in range(1, length + 1)}
        take.save()
        started = time.perf_counter()
        for index in range(length + 1, length + measured + 1):
            take.write_frame(record(index), arrays)
            if whole:
                take.save()
        return (time.perf_counter() - started) / measured


def written(folder: Path, length: int) -> Take:
    """Write a take of ``length`` frames of a clip, without triangles."""
    from im2hands.lab.bench.simulated_clips import simulate

    clip = simulate(KINDS_OF_FRAMES, seed=3)
    source, camera = {"kind": "video", "files": ["clip.mp4"]}, clip.camera
    header = {**HEADER, "source": source, "camera": camera.to_dict(), "image_size": [camera.width, camera.height]}
    take = Take.create(folder, header)
    turns = [*range(KINDS_OF_FRAMES), *range(KINDS_OF_FRAMES - 1, -1, -1)]
    for index in range(1, length + 1):
        arrays = {}
        for side in HANDS:
            points = clip.seen[side][turns[index % len(turns)]]
            arrays |= {
                f"{side}_vertices": np.zeros((0, 3), np.float32),
                f"{side}_faces": np.zeros((0, 3), np.int32),
                f"{side}_keypoints": points.astype(np.float32),
                f"{side}_keypoints_2d": clip.camera.project(points).astype(np.float32),
                f"{side}_confidence": np.ones(21, np.float32),
                f"{side}_bone_lengths": np.full(16, 0.03, np.float32),
            }
        take.write_frame(record(index), arrays)
    take.finish()
    return take


def clean(length: int, density: int) -> None:
    """Write and clean a take in this process, and print the figures."""
    from im2hands.animation.clean_options import CleanOptions
    from im2hands.job.clean_phase import CleanPhase

    correctives = [0.0]
    original = CleanPhase._correct

    def timed(*arguments: object) -> object:
        started = time.perf_counter()
        found = original(*arguments)  # type: ignore[arg-type]
        correctives[0] += time.perf_counter() - started
        return found

    CleanPhase._correct = timed  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory() as folder:
        moments = [time.perf_counter()]
        take = written(Path(folder), length)
        moments.append(time.perf_counter())
        CleanPhase(take, CleanOptions(template_density=density), lambda work: work(), lambda done, total: None).run()
        moments.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    write, whole = np.diff(moments)
    print(f"{length:8}{write:10.1f} s{whole:10.1f} s{correctives[0]:12.1f} s{peak:9.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="*", default=[500, 2000, 5000, 10000])
    parser.add_argument("--measured", type=int, default=100)
    parser.add_argument("--cleaned", type=int, nargs="*", default=[2000, 10000])
    parser.add_argument("--density", type=int, default=0)
    parser.add_argument("--clean-here", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clean_here is not None:
        clean(arguments.clean_here, arguments.density)
        return
    if arguments.frames:
        print(f"{'frames':>8}{'journal':>12}{'whole':>12}")
    for length in arguments.frames:
        journal, whole = (seconds_a_frame(length, arguments.measured, each) for each in (False, True))
        print(f"{length:8}{journal:10.4f} s{whole:10.4f} s", flush=True)
    if arguments.cleaned:
        print(f"{'frames':>8}{'written':>12}{'clean':>12}{'correctives':>14}{'peak':>12}", flush=True)
    for length in arguments.cleaned:
        own = [sys.executable, __file__, "--clean-here", str(length), "--density", str(arguments.density)]
        subprocess.run(own, check=True)


if __name__ == "__main__":
    main()
