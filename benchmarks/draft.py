"""Frames a second of a whole job on a clip, by phase: from the clip to rigged hands on disk.

python benchmarks/draft.py demo/clip/hands_clip.avi --camera demo/clip/hands_clip_camera.json
python benchmarks/draft.py clip.mp4 --quality standard --frames 1-10

Loading of the networks is a phase of its own; the rate counts the phases after it. Processor time is that of all
threads; other programs on the machine change it little. On two idle cores a frame takes at least half of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from im2hands.app.cli.main import NO_NETWORK, PROCESS_DEFAULTS


def main() -> int:
    """Run the job and print the table."""
    os.environ.update({**PROCESS_DEFAULTS, **NO_NETWORK})  # as the program does; it must precede the import of PyTorch
    from im2hands.app.cli.options import add_options
    from im2hands.core.devices import granted_cores
    from im2hands.core.options import OPTIONS
    from im2hands.job.events import Event, Progress
    from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="a clip, or the pictures of a sequence")
    parser.add_argument("--output", type=Path, help="folder of the take, which is continued; without it a new one")
    add_options(parser, "reconstruct")
    parser.set_defaults(quality="draft")
    chosen = parser.parse_args()
    spent: dict[str, list[float]] = {}
    last = ["open", time.perf_counter(), time.process_time()]

    def event(one: Event) -> None:
        if isinstance(one, Progress):
            now = time.perf_counter(), time.process_time()
            taken = spent.setdefault(str(last[0]), [0.0, 0.0])
            taken[0] += now[0] - float(last[1])
            taken[1] += now[1] - float(last[2])
            last[:] = [one.phase, *now]

    with tempfile.TemporaryDirectory() as folder:
        output = str(chosen.output or Path(folder) / "take")
        values = {name: getattr(chosen, name) for name in OPTIONS}
        options = ReconstructOptions(tuple(chosen.inputs), output, **values)
        finished = ReconstructJob(options, event, lambda: False).run()
    count = finished.summary.total
    print(f"{count} frames, --quality {chosen.quality}, {granted_cores()} cores")
    print(f"{'phase':<12}{'s':>8}{'CPU s':>8}{'CPU ms a frame':>16}")
    for name, (wall, cpu) in spent.items():
        print(f"{name:<12}{wall:>8.2f}{cpu:>8.2f}{1000 * cpu / count:>16.0f}")
    wall, cpu = (sum(spent[name][k] for name in spent if name not in ("open", "weights")) for k in (0, 1))
    print(f"{count / wall:.1f} frames a second; {cpu / count * 1000:.0f} CPU ms a frame")
    return 0


if __name__ == "__main__":
    sys.exit(main())
