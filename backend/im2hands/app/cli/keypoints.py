"""``im2hands keypoints convert`` and ``sources``: keypoints of other systems as a keypoint file of this program."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError

SOURCE_NAMES = ("file", "intaghand", "digit", "hamer", "wilor", "dynhamr", "sam3dbody", "mediapipe", "openpose")
ORDER_NAMES = ("file", "mediapipe", "halo", "interhand", "openpose", "biomech")
UNIT_NAMES = ("m", "mm", "cm")
"""Choices, written out because their tables are imported only by this command."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    converting = actions.add_parser("convert", help="convert results of another system")
    add = converting.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="files of the system, or folders of them")
    add("--from", required=True, dest="source", choices=SOURCE_NAMES, help="the system; im2hands keypoints sources")
    add("--output", "-o", required=True, type=Path, metavar="FILE", help="keypoint file to write (JSON)")
    add("--camera-output", type=Path, metavar="FILE", help="camera file to write, if the camera is known")
    add("--camera", type=Path, metavar="FILE", help="camera file of the pictures")
    add("--size", metavar="WxH", help="size of the pictures, with --fov or --focal-px instead of --camera")
    add("--fov", type=float, metavar="DEGREES", help="field of view across the longer side (default 60)")
    add("--focal-px", type=float, metavar="PX", help="focal length, pixels")
    add("--palm-mm", type=float, metavar="MM", help="true length from wrist to middle MCP")
    add("--order", choices=ORDER_NAMES, help="keypoint order, if it is not the system's own")
    add("--unit", choices=UNIT_NAMES, help="unit, if it is not the system's own")
    add("--space", choices=("camera", "world"), help="frame of the positions, if it is not the system's own")
    add("--regressor", type=Path, metavar="FILE", help=".npy joint regressor, for vertices of MANO")
    add("--annotations", type=Path, metavar="DIR", help="folder anno of IntagHand's layout: cameras of world positions")
    add("--swap-sides", action="store_true", help="the pictures were mirrored: left is right")
    converting.set_defaults(action=run_convert)
    listing = actions.add_parser("sources", help="list the systems, what each loses, and their terms")
    listing.set_defaults(action=run_sources)
    for action in (converting, listing):
        action.add_argument("--json", action="store_true", help="print JSON, for programs")
        action.add_argument("--debug", action="store_true", help="tracebacks and a full log")


def run(args: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    code: int = args.action(args)
    return code


def run_sources(args: argparse.Namespace) -> int:
    """Print the systems; return the exit code."""
    from im2hands.keypoints.conversion.sources import SOURCES

    if args.json:
        print(json.dumps({name: asdict(source) for name, source in SOURCES.items()}, indent=1))
        return 0
    for name, source in SOURCES.items():
        print(f"{name}: {source.title}\n  files: {source.files}\n  loses: {source.loses}\n  terms: {source.terms}")
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Convert files and print what was assumed; return the exit code."""
    from im2hands.keypoints.conversion.hands import Given
    from im2hands.keypoints.conversion.orders import read_regressor
    from im2hands.keypoints.conversion.sources import SOURCES, convert
    from im2hands.keypoints.conversion.write import keypoint_content, write_camera, write_keypoints

    if args.palm_mm is not None and not 40 <= args.palm_mm <= 140:
        raise InputError(f"A palm of {args.palm_mm} mm is not possible.", "Give 40 to 140 mm.")
    given = Given(
        _camera(args), None if args.palm_mm is None else args.palm_mm / 1000, args.order, args.unit, args.space,
        None if args.regressor is None else read_regressor(args.regressor), args.annotations, args.swap_sides,
    )  # fmt: skip
    made = convert(args.source, args.files, given)
    content = keypoint_content(args.source, made)
    notes = list(made.notes)
    if args.camera_output is not None and made.camera is None:
        raise InputError("The camera is not known, or not the same in all frames.", "Leave out --camera-output.")
    write_keypoints(args.output, content)
    if args.camera_output is not None and made.camera is not None:
        write_camera(args.camera_output, made.camera)
    frames = len(content["frames"])
    if args.json:
        about = {"frames": frames, "hands": len(made.hands), "space": made.space, "notes": notes}
        print(json.dumps({**about, "output": str(args.output)}, indent=1))
        return 0
    print(f"{len(made.hands)} hands in {frames} frames: {args.output} ({made.space} frame, metres)")
    for note in notes:
        print(f"  {note}")
    print(f"  This source loses: {SOURCES[args.source].loses}.")
    print(f"  Terms: {SOURCES[args.source].terms}.")
    return 0


def _camera(args: argparse.Namespace) -> Camera | None:
    """The camera of the options; None if they say nothing of it."""
    from im2hands.media.camera_choice import CameraChoice, PictureInfo

    if args.camera is None and args.size is None:
        if args.fov is not None or args.focal_px is not None:
            raise InputError("--fov and --focal-px need the size of the pictures.", "Give --size WxH.")
        return None
    choice = CameraChoice.from_options(args.camera, args.focal_px, args.fov)
    if args.size is None:
        assert choice.file is not None
        return choice.file
    try:
        width, height = (int(value) for value in args.size.lower().split("x"))
    except ValueError as error:
        raise InputError(f"--size {args.size} is no size.", "Write 1920x1080.") from error
    return choice.for_picture(PictureInfo(width, height))
