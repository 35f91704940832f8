"""Gives every reader many damaged files, and prints what came of them: ``python tests/soak/readers.py --inputs N``.

It runs in the backend's environment, from the root of a checkout. Pytest does not collect it; the tests run a small
part of it. The process ends with 1 if anything but an answer or a refusal in words came out.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "tests" / "backend")]

from attacked_inputs import input_readers, prepare_inputs  # noqa: E402
from attacks import Reader, addon_readers, attack, backend_readers, prepare  # noqa: E402

BATCH = 500
"""Mutants of one seed."""


def main() -> int:
    """Run the attack and print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="number of damaged files, over all readers")
    parser.add_argument("--seed", type=int, default=1, help="first seed; batch k of a reader has the seed SEED + k")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    warnings.simplefilter("ignore", UserWarning)
    readers = {
        **{f"backend {name}": reader for name, reader in backend_readers().items()},
        **{f"add-on {name}": reader for name, reader in addon_readers().items()},
    }
    inputs = {f"input {name}": reader for name, reader in input_readers().items()}
    each = -(-arguments.inputs // (len(readers) + len(inputs)))
    failures = 0
    say(f"{'reader':28}{'inputs':>8}{'read':>8}{'refused':>8}{'failed':>8}{'longest s':>10}")
    with tempfile.TemporaryDirectory() as place:
        folder = prepare(Path(place) / "take")
        for name, reader in readers.items():
            failures += soak(name, reader, folder, arguments.seed, each)
        folder = prepare_inputs(Path(place) / "inputs")
        for name, reader in inputs.items():
            failures += soak(name, reader, folder, arguments.seed, each)
    say(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return 1 if failures else 0


def soak(name: str, reader: Reader, folder: Path, seed: int, count: int) -> int:
    """Attack one reader, print its row, and return the number of failures."""
    total, failed, longest = {"read": 0, "refused": 0}, 0, 0.0
    path = folder / reader.target
    good = path.read_bytes()

    def timed(place: Path) -> None:
        nonlocal longest
        started = time.monotonic()
        try:
            reader.read(place)
        finally:
            longest = max(longest, time.monotonic() - started)

    watched = Reader(reader.target, timed, reader.refusals)
    for batch in range(-(-count // BATCH)):
        try:
            told = attack(watched, folder, seed + batch, min(BATCH, count - batch * BATCH))
        except Exception:
            failed += 1
            traceback.print_exc()
            path.write_bytes(good)
            continue
        for word in total:
            total[word] += told[word]
    say(f"{name:28}{count:8}{total['read']:8}{total['refused']:8}{failed:8}{longest:10.3f}")
    return failed


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
