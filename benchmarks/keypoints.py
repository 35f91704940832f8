"""Number of hands found, their sides, and seconds per picture, for your own pictures or clip.

python benchmarks/keypoints.py photos/                                   every picture in the folder
python benchmarks/keypoints.py photos/ --hands both --points points.json photos whose hands a person marked
python benchmarks/keypoints.py clip.mp4 --sheet sheet.png                a clip, and a contact sheet of the results
python benchmarks/keypoints.py clip.mp4 --one-handed stretches.json      a clip that shows one hand for a while

Of a clip it prints figures that need no truth (``im2hands.lab.bench.clip_figures``): swaps, frames in which a hand goes
on from a hand of the other side; leaps, frames in which a hand lies more than a palm from its place in the frame
before; and, with ``--one-handed``, frames with a second hand in stretches that show one. ``--points`` prints in how
many of the marked photos both hands have the right side and lie on average within half a palm of their points. The
formats of both files are those of ``im2hands.lab.bench.marked_points``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import Im2HandsError
from im2hands.core.hands import KEYPOINT_COUNT, KEYPOINT_PARENTS
from im2hands.keypoints import PROVIDERS
from im2hands.keypoints.choosing.prior import HANDS
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.sources import make_provider
from im2hands.lab.bench.clip_figures import invented, leaps, swaps
from im2hands.lab.bench.clip_phases import find_in_clip
from im2hands.lab.bench.marked_points import RIGHT, MarkedPhoto, read_marked, read_stretches
from im2hands.media.source import Entry, Frame, Source, open_source

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
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands (default: auto)")
    parser.add_argument("--hand-boxes", type=Path)
    parser.add_argument("--points", type=Path, metavar="FILE", help="photos: points that a person marked")
    parser.add_argument("--one-handed", type=Path, metavar="FILE", help="clips: stretches that show one hand")
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
    marked = read_marked(arguments.points) if arguments.points else {}
    one_handed = read_stretches(arguments.one_handed) if arguments.one_handed else {}
    boxes = HandBoxes.read(arguments.hand_boxes) if arguments.hand_boxes else None
    provider = make_provider(arguments.keypoints, hands=arguments.hands, hand_boxes=boxes)
    started = time.perf_counter()
    try:
        if source.is_sequence:
            entries, found = in_clip(provider, source, one_handed)
        else:
            entries, found = in_photos(provider, source, marked)
    finally:
        provider.close()
    both = sum(len(hands) == 2 for hands in found)
    one = sum(len(hands) == 1 for hands in found)
    count = max(len(entries), 1)
    seconds = time.perf_counter() - started
    print(
        f"{len(entries)} pictures, both hands in {both} ({100 * both / count:.1f} %), one in {one}, none in "
        f"{len(entries) - both - one}; {seconds:.1f} s, {seconds / count:.3f} s a picture"
    )
    if arguments.sheet:
        write_sheet(source, entries, found, arguments)


def in_photos(
    provider: HandFinder, source: Source, marked: Mapping[str, MarkedPhoto]
) -> tuple[list[Entry], list[list[HandDetection]]]:
    """Detect the hands of photos; print a line for each, and how many of the marked ones are right.

    Parameters
    ----------
    provider : HandFinder
        The provider.
    source : Source
        The photos.
    marked : Mapping of str to MarkedPhoto
        Marked points, by the photo's name without its ending.

    Returns
    -------
    entries : list of Entry
        The photos that could be read.
    found : list of list of HandDetection
        The hands of each.
    """
    entries, found, seconds = list[Entry](), list[list[HandDetection]](), list[float]()
    right = seen = 0
    for entry, frame in source:
        if isinstance(frame, Im2HandsError):
            print(f"{entry.name:48s} {frame}", file=sys.stderr)
            continue
        start = time.perf_counter()
        hands = provider.detect(frame)
        seconds.append(time.perf_counter() - start)
        entries.append(entry)
        found.append(hands)
        described = ", ".join(f"{h.side} {h.score:.2f} ({h.source})" for h in hands) or "no hand"
        photo = marked.get(entry.path.stem)
        if photo is not None:
            size = frame.image.shape[1], frame.image.shape[0]
            errors = photo.errors({hand.side: hand.pixels for hand in hands}, size)
            seen += 1
            right += all(error <= RIGHT for error in errors.values())
            described += "; from the points: " + ", ".join(f"{side} {error:.2f}" for side, error in errors.items())
        print(f"{frame.name:48s} {seconds[-1]:6.2f} s  {described}", flush=True)
    print(f"median {np.median(seconds or [0]):.3f} s a photo")
    if marked:
        print(f"marked photos: all marked hands right, within {RIGHT:g} palm, in {right} of {seen}")
        missing = sorted(set(marked) - {entry.path.stem for entry in entries})
        if missing:
            print(f"marked, but not among the photos: {', '.join(missing)}")
    return entries, found


def in_clip(
    provider: HandFinder, source: Source, one_handed: Mapping[str, list[tuple[int, int]]]
) -> tuple[list[Entry], list[list[HandDetection]]]:
    """Find the hands of a clip or sequence; print the frames that lack a hand, and figures that need no truth.

    Parameters
    ----------
    provider : HandFinder
        The provider.
    source : Source
        The clip or sequence.
    one_handed : Mapping of str to list of (int, int)
        First and last frame of the stretches with one hand, by the clip's name without its ending.

    Returns
    -------
    entries : list of Entry
        The frames that could be read.
    found : list of list of HandDetection
        The hands of each.
    """
    result = find_in_clip(provider, source)
    for error in result.failed:
        print(error, file=sys.stderr)
    for entry, hands in zip(result.entries, result.found, strict=True):
        if len(hands) < 2:
            described = ", ".join(f"{h.side} {h.score:.2f} ({h.source})" for h in hands) or "no hand"
            print(f"{entry.name:48s} {described}", flush=True)
    indices, hands_by_side = [entry.index for entry in result.entries], result.hands()
    for name, rows in (("swaps", swaps(hands_by_side)), ("leaps", leaps(hands_by_side))):
        where = f" (frames {', '.join(str(indices[row]) for row in rows)})" if rows else ""
        print(f"{name}: {len(rows)}{where}")
    stem = source.entries[0].path.stem if source.entries else ""
    if one_handed:
        invented_in, shown_in = invented(hands_by_side, indices, one_handed.get(stem, []))
        print(f"second hands invented: in {invented_in} of {shown_in} frames that show one hand")
    return result.entries, result.found


def write_sheet(
    source: Source, entries: list[Entry], found: list[list[HandDetection]], arguments: argparse.Namespace
) -> None:
    """Write the contact sheet: every photo, or evenly spaced frames of a clip.

    Parameters
    ----------
    source : Source
        Pictures or clip.
    entries : list of Entry
        The frames.
    found : list of list of HandDetection
        The hands of each.
    arguments : argparse.Namespace
        Parsed options, see ``main``.
    """
    rows = [i for i in range(len(entries)) if not arguments.only_missing or len(found[i]) < 2]
    if source.is_sequence and len(rows) > arguments.cells:
        rows = [rows[int(i)] for i in np.linspace(0, len(rows) - 1, arguments.cells)]
    frames = source.read([entries[i] for i in rows])
    cells = [
        overlay(frame, found[row], arguments.lifted, arguments.cell_size)
        for row, (_, frame) in zip(rows, frames, strict=True)
        if isinstance(frame, Frame)
    ]
    columns = max(1, min(6, len(cells)))
    cells += [np.zeros((arguments.cell_size,) * 2 + (3,), np.uint8)] * (-len(cells) % columns)
    if not cells:
        print("no pictures for the contact sheet", file=sys.stderr)
        return
    sheet = np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
    cv2.imwrite(str(arguments.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    print(f"wrote {arguments.sheet}")


if __name__ == "__main__":
    raise SystemExit(main())
