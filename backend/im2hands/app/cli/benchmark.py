"""``im2hands benchmark``: seconds per stage for one photo."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from im2hands.app.terminal import quiet
from im2hands.core.errors import FrameError, InputError
from im2hands.core.person_path import person_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("photo", nargs="?", help="default: a bundled one")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs; the fastest counts (default: 3)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--voxel-mm", type=float, default=1.7, metavar="MM")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Print the seconds per stage; return the exit code."""
    if args.repeat < 1:
        raise InputError(f"--repeat is {args.repeat}, it must be 1 or more.")
    with quiet(args):
        from im2hands.app.selftest import PER_FRAME, START_UP, bundled_photo, time_photo
        from im2hands.core.devices import granted_cores

        photo = person_path(args.photo) if args.photo else bundled_photo()
        try:
            timing = time_photo(photo, repeat=args.repeat, device=args.device, voxel_mm=args.voxel_mm)
        except FrameError as error:  # there is no other frame to go on with
            raise InputError(error.message, error.hint) from error
    if args.json:
        data = asdict(timing)
        print(json.dumps({**data, "per_frame": timing.per_frame, "cores": granted_cores()}, indent=1))
        return 0
    print(f"{timing.photo} on {timing.device}, {granted_cores()} cores, {args.voxel_mm:g} mm, best of {args.repeat}")
    for title, stages in (("once", START_UP), ("a frame", PER_FRAME)):
        print(f"{title}: {sum(timing.seconds[stage] for stage in stages):.3f} s")
        for stage in stages:
            print(f"  {stage:18} {timing.seconds[stage]:8.3f} s")
    for side, (vertices, triangles) in timing.hands.items():
        print(f"{side} hand: {vertices} vertices, {triangles} triangles")
    return 0
