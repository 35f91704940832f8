"""CPU time of the two-hand network for a picture, for one or several weights files in turn.

    python benchmarks/two_hand_network.py SET [--weights FILE ...] [--scenes 24]

SET is a scene set. Every weights file reads each picture, one right after the other, so other programs slow them all
alike. One CPU thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from im2hands.core.devices import limit_threads
from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.weights.keypoint_networks import TWO_HAND


def main() -> None:
    """Measure and print one row for each weights file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="SET")
    parser.add_argument("--weights", type=Path, nargs="+", default=[TWO_HAND.bundled], metavar="FILE")
    parser.add_argument("--scenes", type=int, default=24, help="number of pictures, from the first on")
    arguments = parser.parse_args()
    limit_threads(1)
    data = SceneSet(arguments.data)
    readers = [TwoHandReader(TWO_HAND.load(path)) for path in arguments.weights]
    taken: list[list[float]] = [[] for _ in readers]
    for row in range(min(arguments.scenes, len(data))):
        image = data.scene(row).image()
        for reader, times in zip(readers, taken, strict=True):
            if not row:
                reader.read(image)  # the first picture prepares memory
            start = time.process_time()
            reader.read(image)
            times.append(time.process_time() - start)
    for path, times in zip(arguments.weights, taken, strict=True):
        print(f"{path}: {1000 * float(np.median(times)):.0f} CPU ms a picture (median of {len(times)})")


if __name__ == "__main__":
    main()
