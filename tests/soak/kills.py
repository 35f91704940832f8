"""Kills jobs at random moments, and prints what later runs made of the take: ``python tests/soak/kills.py --kills N``.

It runs in the backend's environment, from the root of a checkout. A job with keypoints from a file is started and
killed after a random time, again and again in the same take. Then it may end, and the take must have the same bytes as
an undisturbed one. The process ends with 1 if one has not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "tests" / "backend")]

from fakes import keypoint_rows, picture, write_picture  # noqa: E402

FRAMES = 6
KILLS_EACH = 10
"""Kills of one take before it may end."""
LONGEST_SECONDS = 120.0


def main() -> int:
    """Run the attack and print a summary; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(1, FRAMES + 1):
            write_picture(folder / "shots" / f"s{number:03}.png", picture(320, 240, number=number))
        rows = json.dumps(keypoint_rows(range(1, FRAMES + 1)))
        (folder / "keypoints.json").write_text(rows, encoding="utf-8")
        began = time.monotonic()
        run(folder, "whole", None)
        whole_seconds = time.monotonic() - began
        whole, killed, ended_first, wrong = contents(folder / "whole"), 0, 0, []
        for take in range(-(-arguments.kills // KILLS_EACH)):
            for _ in range(KILLS_EACH):
                done = run(folder, f"take{take}", moments.uniform(0.0, whole_seconds))
                ended_first += done
                killed += not done
            run(folder, f"take{take}", None)
            if contents(folder / f"take{take}") != whole:
                wrong.append(take)
    say(f"{killed} jobs killed, {ended_first} ended before; {len(wrong)} takes of {take + 1} with other bytes: {wrong}")
    return 1 if wrong else 0


def run(folder: Path, take: str, seconds: float | None) -> bool:
    """Run a job, and kill it after some seconds; return whether it ended by itself."""
    command = [sys.executable, "-m", "im2hands", "reconstruct", "shots", "-o", take, "--keypoints", "keypoints.json"]
    command += ["--stage", "keypoints", "--voxel-mm", "8", "--device", "cpu", "--template-density", "0", "--json"]
    own = {**os.environ, "IM2HANDS_STATE": str(folder / "state"), "SOURCE_DATE_EPOCH": "1700000000"}
    own["PYTHONPATH"] = str(ROOT / "backend")
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=own, stdout=quiet, stderr=quiet)
    try:
        process.wait(LONGEST_SECONDS if seconds is None else seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        if seconds is None:
            raise
        return False
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return True


def contents(take: Path) -> dict[str, bytes]:
    """The bytes of every file of a take but those of its cache, by path."""
    files = [path for path in take.rglob("*") if path.is_file() and "cache" not in path.relative_to(take).parts]
    return {path.relative_to(take).as_posix(): path.read_bytes() for path in files}


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
