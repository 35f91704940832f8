"""Number of hands found, their sides, and seconds per picture, for your own pictures or clip.

python benchmarks/keypoints.py photos/                      every picture in the folder
python benchmarks/keypoints.py clip.mp4 --sheet sheet.png   a clip, and a contact sheet of the results
python benchmarks/keypoints.py photos/ --no-crop-search     without the search of crops for a missing hand
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import Im2HandsError
from im2hands.core.hands import KEYPOINT_COUNT, KEYPOINT_PARENTS
from im2hands.keypoints import PROVIDERS
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.sources import make_provider
from im2hands.media.source import Frame, Source, open_source

FIELD_OF_VIEW = 50.0
"""Assumed field of view of the camera, degrees."""

COLOURS = {"left": (70, 90, 255), "right": (60, 220, 60)}
"""RGB colour of each hand."""


def overlay(frame: Frame, hands: list[HandDetection], lifted: bool, size: int) -> np.ndarray:
    """Draw the hands over a picture.

    Parameters
    ----------
    frame : Frame
        The picture.
    hands : list of HandDetection
        Detections in the picture.
    lifted : bool
        Whether to draw the keypoints after lifting to 3D and projection, instead of the detected ones.
    size : int
        Width and height of the result, pixels.

    Returns
    -------
    (size, size, 3) uint8
        RGB.
    """
    height, width = frame.image.shape[:2]
    scale = size / max(height, width)
    canvas = np.zeros((size, size, 3), np.uint8)
    small = cv2.resize(frame.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas[: small.shape[0], : small.shape[1]] = small
    camera = Camera.from_fov(FIELD_OF_VIEW, width, height)
    seen = {hand.side: hand.pixels for hand in hands}
    if lifted:
        seen = {hand.side: camera.project(hand.positions) for hand in place_hands(hands, camera).present()}
    for hand in hands:
        points = np.rint((seen.get(hand.side, hand.pixels) + 0.5) * scale).astype(int)
        for k in range(1, KEYPOINT_COUNT):
            ends = tuple(map(int, points[KEYPOINT_PARENTS[k]])), tuple(map(int, points[k]))
            cv2.line(canvas, *ends, COLOURS[hand.side], 1, cv2.LINE_AA)
        label = f"{hand.side[0].upper()} {hand.score:.2f} {hand.source}"
        place = (int(np.clip(points[0, 0] - 30, 0, size - 90)), int(np.clip(points[0, 1] + 12, 10, size - 16)))
        cv2.putText(canvas, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 0), 1, cv2.LINE_AA)
    cv2.putText(canvas, frame.name[-34:], (4, size - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def main() -> int:
    """Parse the command line and run; the exit codes are those of ``im2hands``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", type=Path, help="pictures, folders of pictures, or one clip")
    parser.add_argument("--keypoints", default="auto", choices=PROVIDERS, help="which provider (default: auto)")
    parser.add_argument("--no-crop-search", action="store_true")
    parser.add_argument("--hand-boxes", type=Path)
    parser.add_argument("--step", type=int, default=1, help="use every n-th frame of a clip")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet; of a clip, evenly spaced frames")
    parser.add_argument("--cells", type=int, default=30, help="pictures on the contact sheet of a clip")
    parser.add_argument("--cell-size", type=int, default=320)
    parser.add_argument("--only-missing", action="store_true", help="on the sheet, only frames without both hands")
    parser.add_argument("--lifted", action="store_true", help="draw the keypoints after lifting to 3D and projection")
    arguments = parser.parse_args()
    try:
        run(open_source(arguments.inputs, step=arguments.step), arguments)
    except Im2HandsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def run(source: Source, arguments: argparse.Namespace) -> None:
    """Detect hands in all frames, print the results and write the contact sheet.

    Parameters
    ----------
    source : Source
        Pictures or clip.
    arguments : argparse.Namespace
        Parsed options, see ``main``.
    """
    boxes = HandBoxes.read(arguments.hand_boxes) if arguments.hand_boxes else None
    video = source.is_sequence
    provider = make_provider(
        arguments.keypoints, video=video, crop_search=not arguments.no_crop_search, hand_boxes=boxes
    )
    frames: list[Frame] = []
    found: list[list[HandDetection]] = []
    seconds: list[float] = []
    for entry, frame in source:
        if isinstance(frame, Im2HandsError):
            print(f"{entry.name:48s} {frame}", file=sys.stderr)
            continue
        start = time.perf_counter()
        hands = provider.detect(frame, found[-1] if video and found else ())
        seconds.append(time.perf_counter() - start)
        frames.append(frame)
        found.append(hands)
        if not video or len(hands) < 2 or seconds[-1] > 0.5:
            described = ", ".join(f"{h.side} {h.score:.2f} ({h.source})" for h in hands) or "no hand"
            print(f"{frame.name:48s} {seconds[-1]:6.2f} s  {described}", flush=True)
    provider.close()
    both = sum(len(hands) == 2 for hands in found)
    one = sum(len(hands) == 1 for hands in found)
    count = max(len(frames), 1)
    print(
        f"{len(frames)} pictures, both hands in {both} ({100 * both / count:.1f} %), one in {one}, none in "
        f"{len(frames) - both - one}; {np.sum(seconds):.1f} s, median {np.median(seconds or [0]):.3f} s"
    )
    if arguments.sheet:
        rows = [i for i in range(len(frames)) if not arguments.only_missing or len(found[i]) < 2]
        if video and len(rows) > arguments.cells:
            rows = [rows[int(i)] for i in np.linspace(0, len(rows) - 1, arguments.cells)]
        cells = [overlay(frames[i], found[i], arguments.lifted, arguments.cell_size) for i in rows]
        columns = max(1, min(6, len(cells)))
        cells += [np.zeros((arguments.cell_size,) * 2 + (3,), np.uint8)] * (-len(cells) % columns)
        sheet = np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
        cv2.imwrite(str(arguments.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        print(f"wrote {arguments.sheet}")


if __name__ == "__main__":
    raise SystemExit(main())
