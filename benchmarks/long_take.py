"""What it costs to put a frame's record on the disk, by the length of the take: the journal and the whole take.json.

    python benchmarks/long_take.py [--frames 500 2000 5000 10000] [--measured 100]

A frame has tiny arrays, so that its file costs the same everywhere. "journal" appends MEASURED frames to a take of that
length as a job does. "whole" also rewrites take.json after each of them. Both figures are seconds a frame.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from im2hands.take.record import FrameRecord
from im2hands.take.take import Take

HEADER = {"source": {}, "fps": 25.0, "image_size": [8, 8], "camera": {}, "settings": {}, "provenance": {}}
HANDS = {side: {"confidence": 0.9876, "source": "two-hand network"} for side in ("left", "right")}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[500, 2000, 5000, 10000])
    parser.add_argument("--measured", type=int, default=100)
    arguments = parser.parse_args()
    print(f"{'frames':>8}{'journal':>12}{'whole':>12}")
    for length in arguments.frames:
        journal, whole = (seconds_a_frame(length, arguments.measured, each) for each in (False, True))
        print(f"{length:8}{journal:10.4f} s{whole:10.4f} s")


if __name__ == "__main__":
    main()
