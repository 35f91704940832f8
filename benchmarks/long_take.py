"""What a long take costs: a frame's record on the disk, the clean phase, the import in Blender, and their memory.

    python benchmarks/long_take.py [--frames 500 2000 5000 10000] [--measured 100] [--cleaned 2000 10000] [--density 0]

Records: a frame has tiny arrays, so that its file costs the same everywhere. "journal" appends MEASURED frames to a
take of that length as a job does. "whole" also rewrites take.json after each of them. Both are seconds a frame.

Whole takes (--cleaned): one process writes a take of that length with two moving hands, the next one cleans it, and
Blender's Python (--blender) imports it. The surfaces have no triangles, so that fitting to them costs nothing.
"correctives" is the part of "clean" that finds the corrective shapes. Seconds are wall-clock and CPU seconds; each
memory is the largest of its process.
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
ROOT = Path(__file__).resolve().parent.parent
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


def write_step(folder: Path, length: int, density: int) -> None:
    """Write a take in this process, and print the figures."""
    clock = Clock()
    written(folder, length)
    print(f"| {length} frames written | {clock.passed()} | {peak_megabytes():.0f} MB |", flush=True)


def clean_step(folder: Path, length: int, density: int) -> None:
    """Clean a take in this process, and print the figures."""
    from im2hands.animation.clean_options import CleanOptions
    from im2hands.job.clean_phase import CleanPhase

    correctives = ""
    original = CleanPhase._correct

    def timed(*arguments: object) -> object:
        nonlocal correctives
        own = Clock()
        found = original(*arguments)  # type: ignore[arg-type]
        correctives = own.passed()
        return found

    CleanPhase._correct = timed  # type: ignore[assignment,method-assign]
    clock = Clock()
    take = Take.open(folder)
    CleanPhase(take, CleanOptions(template_density=density), lambda work: work(), lambda done, total: None).run()
    print(f"| cleaned | {clock.passed()} | {peak_megabytes():.0f} MB |", flush=True)
    print(f"| of it correctives | {correctives} | |", flush=True)


class Clock:
    """A stopwatch for wall-clock time and CPU time; other programs on the machine do not affect CPU time."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def passed(self) -> str:
        """The seconds since the start, and in brackets the CPU seconds."""
        return f"{time.perf_counter() - self._start[0]:.1f} ({time.process_time() - self._start[1]:.1f})"


def peak_megabytes() -> float:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


STEPS = {"write": write_step, "clean": clean_step}


def whole_take(length: int, density: int, blender: Path | None) -> None:
    """Write, clean and import a take, each in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "take"
        for step in STEPS:
            own = [sys.executable, __file__, "--step", step, "--take", folder, "--density", str(density)]
            subprocess.run([*own, "--cleaned", str(length)], check=True)
        if blender is not None:
            subprocess.run([blender, ROOT / "benchmarks/blender_import.py", "--take", folder], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="*", default=[500, 2000, 5000, 10000])
    parser.add_argument("--measured", type=int, default=100)
    parser.add_argument("--cleaned", type=int, nargs="*", default=[2000, 10000])
    parser.add_argument("--density", type=int, default=0)
    found = sorted(ROOT.glob(".venv/blender-*/bin/python"))
    parser.add_argument("--blender", type=Path, default=found[-1] if found else None, help="Python with bpy")
    parser.add_argument("--step", choices=[*STEPS], help=argparse.SUPPRESS)
    parser.add_argument("--take", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        STEPS[arguments.step](arguments.take, arguments.cleaned[0], arguments.density)
        return
    if arguments.frames:
        print(f"{'frames':>8}{'journal':>12}{'whole':>12}")
    for length in arguments.frames:
        journal, whole = (seconds_a_frame(length, arguments.measured, each) for each in (False, True))
        print(f"{length:8}{journal:10.4f} s{whole:10.4f} s", flush=True)
    if arguments.cleaned:
        print("| step | seconds (CPU) | largest memory |", flush=True)
    for length in arguments.cleaned:
        whole_take(length, arguments.density, arguments.blender)


if __name__ == "__main__":
    main()
