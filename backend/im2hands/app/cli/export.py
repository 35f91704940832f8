"""``im2hands export``: export of a take as glb, obj or ply."""

from __future__ import annotations

import argparse

from im2hands.export.write import FORMATS, MESHES, export_take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("take", metavar="TAKE", help="folder of the take")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument(
        "--output", "-o", metavar="OUT", help="file (glb) or folder (obj, ply); default: beside the take"
    )
    parser.add_argument("--frames", metavar="1-100,120", help="frames to export (default: all)")
    parser.add_argument(
        "--mesh", choices=MESHES, help="template hands or implicit surfaces (default: clean if present)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(args: argparse.Namespace) -> int:
    """Export a take and print the written paths; return the exit code."""
    files = export_take(args.take, args.to, args.output, args.frames, args.overwrite, args.mesh)
    if len(files) == 1:
        print(files[0])
    else:
        print(f"{len(files)} files in {files[0].parent}")
    return 0
