"""Measure reconstructions of photos of RGB2Hands and EgoHands: keypoints in the picture, silhouettes, contact sheets.

Each sequence is reconstructed into a take of its own, photo by photo. Keypoints are compared in pixels with the marked
ones, which lie on the skin and lack wrist and tips. The silhouette of each reconstructed hand is compared with the
outline of the person's own hand. Outlines leave out what hides a hand and silhouettes do not, so the intersection over
union (IoU) is a weak score. A hand that was not found has an IoU of 0 and no keypoint error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.farm import add_executor
from im2hands.core.files import json_bytes, write_atomically
from im2hands.core.hands import SIDES, Side
from im2hands.job.components import Components
from im2hands.job.events import Event
from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions
from im2hands.lab.datasets.egohands import EgoHands
from im2hands.lab.datasets.marked_photo import MarkedPhoto
from im2hands.lab.datasets.rgb2hands import Rgb2Hands
from im2hands.take.take import Take

from .measures import Mesh
from .overlay import COLOURS, draw_meshes

SHEET_HEIGHT, SHEET_COLUMNS = 240, 4
"""Height of a picture on a contact sheet, pixels, and pictures in a row."""


class Marked(Protocol):
    """A data set of marked photos."""

    sequences: dict[str, Path]

    def photos(self, sequence: str) -> Any:
        """Yield the photos of a sequence; see ``MarkedPhoto``."""


DATASETS: dict[str, Callable[[Path], Marked]] = {"rgb2hands": Rgb2Hands, "egohands": EgoHands}


@dataclass(frozen=True)
class HandResult:
    """How well a marked hand was reconstructed.

    Parameters
    ----------
    sequence : str
        Sequence of the photo.
    photo : str
        Name of the photo.
    side : Side
        The hand.
    found : bool
        Whether the hand was found.
    keypoint_px : float, optional
        Mean distance of its keypoints from the marked ones, pixels. None without marks or hand.
    keypoint_palms : float, optional
        The same in lengths from the little finger's to the index finger's MCP, as marked. None if these are unknown.
    iou : float, optional
        IoU of silhouette and outline. None without an outline.
    """

    sequence: str
    photo: str
    side: Side
    found: bool
    keypoint_px: float | None = None
    keypoint_palms: float | None = None
    iou: float | None = None


def spread(photos: Sequence[MarkedPhoto], count: int) -> list[MarkedPhoto]:
    """Choose at most ``count`` photos, evenly spread."""
    return [photos[int(k)] for k in np.unique(np.linspace(0, len(photos) - 1, count).astype(int))]


def measure_hand(photo: MarkedPhoto, side: Side, hand: Mapping[str, np.ndarray] | None, camera: Camera) -> HandResult:
    """Compare a hand with its marks.

    Parameters
    ----------
    photo : MarkedPhoto
        The photo.
    side : Side
        The hand.
    hand : mapping of str to array, optional
        The hand's arrays in a take; None if it was not found.
    camera : Camera
        Camera of the reconstruction.

    Returns
    -------
    HandResult
        The comparison.
    """
    pixels = palms = iou = None
    marks = photo.keypoints.get(side)
    if marks is not None and hand is not None:
        marked = np.isfinite(marks).all(1)
        if marked.any():
            shown = camera.project(hand["keypoints"])
            pixels = float(np.linalg.norm(shown - marks, axis=1)[marked].mean())
            palm = float(np.linalg.norm(marks[5] - marks[17]))
            palms = pixels / palm if np.isfinite(palm) and palm > 0 else None
    outline = photo.outlines.get(side)
    if outline is not None:
        wanted = _filled(outline[None], camera)
        shape = np.zeros_like(wanted)
        if hand is not None and "vertices" in hand:
            shape = _filled(camera.project(hand["vertices"])[hand["faces"]], camera)
        iou = float((shape & wanted).sum() / max((shape | wanted).sum(), 1))
    return HandResult(photo.sequence, photo.name, side, hand is not None, pixels, palms, iou)


def _filled(polygons: np.ndarray, camera: Camera) -> np.ndarray:
    """The pixels (H, W) bool that polygons (P, N, 2) cover."""
    mask = np.zeros((camera.height, camera.width), np.uint8)
    corners = np.clip(np.rint(polygons * 16), -(2**20), 2**20).astype(np.int32)
    for polygon in corners:
        cv2.fillPoly(mask, [polygon], 1, cv2.LINE_8, 4)
    return mask.astype(bool)


def evaluate_photos(
    photos: Sequence[MarkedPhoto], output: Path, parts: Components | None = None, **options: Any
) -> list[HandResult]:
    """Reconstruct the photos of a sequence into a take, measure them, and draw their contact sheet.

    Parameters
    ----------
    photos : sequence of MarkedPhoto
        Photos of one sequence.
    output : Path
        Folder of the take ``takes/<sequence>`` and the sheet ``sheets/<sequence>.jpg``.
    parts : Components, optional
        Components of the reconstruction; None for the real ones.
    **options : Any
        Options of the reconstruction.

    Returns
    -------
    list of HandResult
        One entry for each marked hand.

    Raises
    ------
    Im2HandsError
        The photos cannot be reconstructed.
    """
    sequence = photos[0].sequence
    folder = output / "takes" / sequence
    if photos[0].camera is not None:
        camera_file = output / "cameras" / f"{sequence}.json"
        write_atomically(camera_file, json_bytes(photos[0].camera.to_dict()))
        options = {**options, "camera": str(camera_file)}
    request = ReconstructOptions(
        tuple(str(photo.path.absolute()) for photo in photos), str(folder), sequence="no", clean=False, footage="never",
        resume=folder.exists(), **options,
    )  # fmt: skip

    def ignore(event: Event) -> None:
        """Events are not shown: the take has the result."""

    ReconstructJob(request, ignore, lambda: False, parts).run()
    take = Take.open(folder)
    records = {record.extra.get("image"): record for record in take.records.values()}
    results, pictures = [], []
    for photo in photos:
        record = records.get(str(photo.path.absolute()))
        hands = take.read_frame(record.index) if record is not None and record.file else {}
        found = None if record is None else record.extra.get("camera")
        camera = _camera(found or take.header["camera"])
        results += [measure_hand(photo, side, hands.get(side), camera) for side in photo.marked_sides]
        pictures.append(_drawn(photo, hands, camera))
    sheet = contact_sheet(pictures)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    assert done
    write_atomically(output / "sheets" / f"{sequence}.jpg", data.tobytes())
    return results


def _camera(values: Mapping[str, Any]) -> Camera:
    return Camera(*(values[name] for name in ("fx", "fy", "cx", "cy", "width", "height")))


def _drawn(photo: MarkedPhoto, hands: Mapping[Side, Mapping[str, np.ndarray]], camera: Camera) -> np.ndarray:
    """The photo with the reconstructed meshes, the outlines and the marked keypoints, RGB."""
    image = cv2.imread(str(photo.path), cv2.IMREAD_COLOR)
    if image is None:
        return np.zeros((camera.height, camera.width, 3), np.uint8)
    meshes = {side: Mesh(hand["vertices"], hand["faces"]) for side, hand in hands.items() if "vertices" in hand}
    drawn = draw_meshes(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), meshes, camera)
    for side in SIDES:
        if side in photo.outlines:
            cv2.polylines(drawn, [np.rint(photo.outlines[side]).astype(np.int32)], True, COLOURS[side], 2)
        for x, y in photo.keypoints.get(side, np.zeros((0, 2))):
            if np.isfinite(x):
                cv2.circle(drawn, (round(x), round(y)), 3, COLOURS[side], -1)
    return drawn


def contact_sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange pictures (H, W, 3) in rows of :data:`SHEET_COLUMNS`, all of one height."""
    scaled = [
        cv2.resize(p, (max(1, round(p.shape[1] * SHEET_HEIGHT / p.shape[0])), SHEET_HEIGHT)) for p in pictures
    ]  # fmt: skip
    rows = [np.concatenate(scaled[k : k + SHEET_COLUMNS], axis=1) for k in range(0, len(scaled), SHEET_COLUMNS)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def summary(results: Sequence[HandResult]) -> dict[str, Any]:
    """Summarise results.

    Parameters
    ----------
    results : sequence of HandResult
        Marked hands.

    Returns
    -------
    dict of str to Any
        ``hands``, ``found`` (share), ``keypoint_px`` and ``keypoint_palms`` (means over the found hands with marks) and
        ``iou`` (mean over the hands with outlines). None where nothing was measured.
    """

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return {
        "hands": len(results), "found": mean([float(r.found) for r in results]),
        "keypoint_px": mean([r.keypoint_px for r in results]),
        "keypoint_palms": mean([r.keypoint_palms for r in results]), "iou": mean([r.iou for r in results]),
    }  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate marked-photos``."""
    add = parser.add_argument
    add("--data", required=True, choices=tuple(DATASETS), help="the data set")
    add("--root", required=True, type=Path, metavar="DIR", help="folder of the data set")
    add("--output", required=True, type=Path, metavar="DIR", help="folder of takes, contact sheets and results")
    add("--sequences", nargs="+", metavar="NAME", help="only these sequences")
    add("--photos", type=int, default=10, metavar="N", help="photos of each sequence, evenly spread (default: 10)")
    add("--both-hands", action="store_true", help="only photos in which both hands are marked")
    add("--weights", default="bundled", help='"bundled" or a folder')
    add("--voxel-mm", type=float, default=1.7)
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add_executor(parser)
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, parts: Components | None = None) -> int:
    """Run ``im2hands evaluate marked-photos``.

    Parameters
    ----------
    arguments : argparse.Namespace
        Parsed options.
    parts : Components, optional
        Components of the reconstruction; None for the real ones.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    InputError
        The data set cannot be used, or has no such sequence or no such photo.
    """
    if arguments.photos < 1:
        raise InputError(f"--photos {arguments.photos} is not possible.", "Give 1 or more.")
    data = DATASETS[arguments.data](arguments.root)
    names = arguments.sequences or list(data.sequences)
    unknown = [name for name in names if name not in data.sequences]
    if unknown:
        raise InputError(f"There is no sequence {unknown[0]!r}.", f"Choose of {', '.join(data.sequences)}.")
    results: dict[str, list[HandResult]] = {}
    for name in names:
        photos = [p for p in data.photos(name) if not arguments.both_hands or len(p.marked_sides) == len(SIDES)]
        if not photos:
            continue
        results[name] = evaluate_photos(
            spread(photos, arguments.photos), arguments.output, parts,
            weights=arguments.weights, voxel_mm=arguments.voxel_mm, device=arguments.device,
            executor=arguments.executor,
        )  # fmt: skip
    if not results:
        marked = "both hands are marked" if arguments.both_hands else "a hand is marked"
        hint = "Name others with --sequences" + (", or leave out --both-hands." if arguments.both_hands else ".")
        raise InputError(f"The sequences {', '.join(names)} have no photo in which {marked}.", hint)
    rows = {name: summary(found) for name, found in results.items()}
    rows["all"] = summary([result for found in results.values() for result in found])
    report = {
        "data": arguments.data, "weights": arguments.weights, "rows": rows,
        "hands": [vars(result) for found in results.values() for result in found],
    }  # fmt: skip
    write_atomically(arguments.output / "results.json", json_bytes(report, 1) + b"\n")
    table = format_table(rows)
    write_atomically(arguments.output / "results.md", table.encode("utf-8"))
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if arguments.json else table)
    return 0


def format_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Format summaries as a Markdown table, one row a sequence."""

    def shown(value: float | None, form: str) -> str:
        return "" if value is None else form.format(value)

    lines = ["| sequence | hands | found | 2D error px | 2D error palms | silhouette IoU |", "| --- " * 6 + "|"]
    lines += [
        f"| {name} | {row['hands']} | {shown(row['found'], '{:.0%}')} | {shown(row['keypoint_px'], '{:.1f}')} "
        f"| {shown(row['keypoint_palms'], '{:.2f}')} | {shown(row['iou'], '{:.2f}')} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"
