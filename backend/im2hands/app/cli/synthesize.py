"""``im2hands synthesize``: sets of synthetic scenes with two hands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from im2hands.lab.synthesis.choices import KINDS, RENDERERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("--output", "-o", required=True, metavar="SET", type=Path, help="folder of the set")
    add("--scenes", required=True, type=int, metavar="N", help="scenes (for clips: frames) of the finished set")
    add("--kind", default="crop", choices=KINDS, help="hands that fill the picture, small hands, or video")
    add("--seed", type=int, default=0, metavar="S", help="the same seed gives the same scenes (default: 0)")
    add("--points", type=int, default=2048, metavar="P", help="labelled points per hand, 0 for none (default: 2048)")
    add("--size", type=int, metavar="PX", help="side of crops (default: 256), longer side of others (default: 640)")
    add("--renderer", default="raster", metavar="NAME", help=f"{', '.join(RENDERERS)} (default: raster)")
    add("--blender", type=Path, metavar="PROGRAM", help="for cycles: Blender, or a Python with bpy (default: blender)")
    for name, what in (("skins", "skin textures"), ("environments", "OpenEXR panoramas"), ("backgrounds", "photos")):
        add(f"--{name}", type=Path, metavar="DIR", help=f"folder of {what} (default: procedural ones)")
    add("--workers", type=int, default=1, metavar="K", help="processes (default: 1)")
    add("--resume", action="store_true", help="continue an existing set")


def run(args: argparse.Namespace) -> int:
    """Make the set, with progress on stderr and rates on stdout; return the exit code."""
    from tqdm import tqdm

    from im2hands.core.devices import granted_cores
    from im2hands.lab.synthesis.generate import generate
    from im2hands.lab.synthesis.settings import Settings

    settings = Settings(
        args.kind, args.seed, args.points, args.size or (256 if args.kind == "crop" else 640), args.renderer,
        args.skins, args.environments, args.backgrounds, args.blender,
        threads=max(granted_cores() // max(args.workers, 1), 1),
    )  # fmt: skip
    with tqdm(total=args.scenes, unit="scene", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        report = generate(args.output, args.scenes, settings, args.workers, args.resume, progress)
    if not report.scenes:
        print(f"{args.output} already has these scenes.")
        return 0
    print(f"{report.scenes} scenes in {report.wall:.1f} s, {report.scenes / report.wall:.1f} per second")
    for stage, seconds in report.seconds.items():
        print(f"  {stage:9} {report.scenes / max(seconds, 1e-9):7.1f} per second and process")
    tried = sum(report.tally.tried.values())
    print(f"  {tried} poses tried, {100 * report.tally.rejected:.1f} % rejected")
    return 0
