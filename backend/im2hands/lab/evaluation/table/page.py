"""The page of pictures for the table: the best, the median and the worst scene of each row.

For each scene the page shows the picture cropped around the hands, the meshes drawn over it, a side view of the meshes,
the same side view of the true meshes, and the measurements. Scenes are ranked by IoU in rows with exact keypoints and
by MPJPE in rows with predicted keypoints; scenes with missing hands rank last. Only the meshes on the page are
reconstructed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.core.hands import MIDDLE_MCP, WRIST
from im2hands.lab.evaluation.held_out import TrueScene, true_scenes
from im2hands.lab.evaluation.measures import CUT_M, Mesh
from im2hands.lab.evaluation.overlay import draw_meshes, side_view, tile
from im2hands.surfaces.hand_crop import crop_hands

from .rows import Result, RowKey, by_row, format_table, mean, summarise
from .scene import Attempt, ExactKeypoints, Finder, Refiner, Surfaces, attempts

PAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""File formats of the page."""

SIZE = 192
"""Height of each picture on the page, pixels."""

_LINE = 18  # height of a line of text, pixels
_GAP = 8  # pixels
_PAPER, _INK, _FAINT = 255, 20, 90  # grey levels
_QUALITY = 88  # of JPEG


def check_page(path: Path) -> None:
    """Check that the page can be written, before hours of measuring.

    Parameters
    ----------
    path : Path
        File to write later.

    Raises
    ------
    InputError
        The file name has another suffix, or its folder does not exist.
    """
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise InputError(
            f"--page {path} is not a picture file.", f"Give a name that ends in {' or '.join(PAGE_SUFFIXES)}."
        )
    if not path.resolve().parent.is_dir():
        raise InputError(f"There is no folder for the page {path}.", "Make the folder, or give another --page.")


def notable(results: Sequence[Result]) -> dict[str, Result]:
    """Choose the best, the median and the worst result of one row.

    Parameters
    ----------
    results : sequence of Result
        Results of one row.

    Returns
    -------
    dict of str to Result
        Keys "best", "median" and "worst"; fewer if the row has fewer than three scenes.
    """
    order = sorted(results, key=_rank)
    if not order:
        return {}
    places = {"best": 0, "worst": len(order) - 1, "median": len(order) // 2}
    chosen: dict[str, Result] = {}
    for name, place in places.items():
        if all(order[place].scene != other.scene for other in chosen.values()):
            chosen[name] = order[place]
    return {name: chosen[name] for name in ("best", "median", "worst") if name in chosen}


def _rank(result: Result) -> tuple[int, float, int]:
    """Sort key of a scene in its row, best first: number of missing hands, then error, then scene number."""
    off = -mean(result.iou) if result.source == "exact" else mean(result.mpjpe_mm)
    return 2 - len(result.iou), off if np.isfinite(off) else 0.0, result.scene


def draw_page(
    path: Path,
    results: Sequence[Result],
    data: Path,
    surfaces: Mapping[str, Surfaces],
    keypoints: Callable[[int], Mapping[str, Finder]],
    refiner: Refiner | None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the page and write it to a file.

    Parameters
    ----------
    path : Path
        Picture file to write.
    results : sequence of Result
        Measured results of all rows.
    data : Path
        Scene set that they were measured on.
    surfaces : Mapping of str to Surfaces
        Reconstructors by method name. Rows of other methods are left out.
    keypoints : callable
        Gives the keypoint sources, by name, for a scene number.
    refiner : Refiner or None
        Keypoint refinement; None leaves out the refined rows.
    progress : callable or None
        Called with the number of scenes done and their total.

    Raises
    ------
    InputError
        There are no results or no keypoints for the page, or the set is damaged.
    """
    chosen = {
        key: notable(group)
        for key, group in by_row(results).items()
        if key.method in surfaces and (refiner is not None or not key.refined)
    }
    if not chosen:
        raise InputError("There is no measured scene for the page.", "Measure some first: leave out --part.")
    numbers = sorted({result.scene for named in chosen.values() for result in named.values()})
    cells: dict[tuple[RowKey, str], np.ndarray] = {}
    for done, scene in enumerate(true_scenes(data, numbers), start=1):
        here = {
            (key, name): result
            for key, named in chosen.items()
            for name, result in named.items()
            if result.scene == scene.number
        }
        for attempt in attempts(scene, surfaces, keypoints(scene.number), refiner, {key for key, _ in here}):
            for (key, name), result in here.items():
                if key == attempt.key:
                    cells[key, name] = _cell(scene, attempt, name, result)
        if progress:
            progress(done, len(numbers))
    strips = [
        _strip(key, [result for result in results if result.key == key], [cells[key, name] for name in named])
        for key, named in chosen.items()
        if all((key, name) in cells for name in named)  # a keypoint source may have become unavailable
    ]
    if not strips:
        raise InputError("No keypoint source of the scenes for the page can be used.", "See the warnings above.")
    width = max(strip.shape[1] for strip in strips)
    page = np.concatenate([_padded(strip, strip.shape[0] + _GAP, width) for strip in strips])
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix.lower() != ".png" else []
    done_well, data_bytes = cv2.imencode(path.suffix.lower(), cv2.cvtColor(page, cv2.COLOR_RGB2BGR), options)
    assert done_well
    write_atomically(path, data_bytes.tobytes())


def _strip(key: RowKey, results: Sequence[Result], cells: Sequence[np.ndarray]) -> np.ndarray:
    """One row of the page: its name, its means as in the table, and its scenes."""
    titles, figures = format_table(summarise(results)).splitlines()
    pictures = np.concatenate([_padded(cell, cell.shape[0], cell.shape[1] + _GAP) for cell in cells], axis=1)
    words = f"{len(results)} scenes, means:   " + ",  ".join(
        f"{title} {figure}" for title, figure in zip(_words(titles)[3:], _words(figures)[-7:], strict=True)
    )
    return np.concatenate([_text([key.name, words], pictures.shape[1], bold=1), pictures])


def _words(line: str) -> list[str]:
    """Columns of a line of the table; a unit stays with its title."""
    for pair in ("IoU %", "pen. ml", "both %"):
        line = line.replace(pair, pair.replace(" ", "_"))
    return [word.replace("_", " ") for word in line.split()]


def _cell(scene: TrueScene, attempt: Attempt, name: str, result: Result) -> np.ndarray:
    """One scene of a row: four pictures and two lines of text."""
    crop = crop_hands(scene.frame, scene.camera, ExactKeypoints().hands(scene))
    true = {side: without_forearm(mesh, scene.keypoints[side]) for side, mesh in scene.meshes.items()}
    both = [*true.values(), *attempt.meshes.values()]
    pictures = [
        crop.image,
        draw_meshes(crop.image, attempt.meshes, crop.camera),
        _titled(side_view(attempt.meshes, SIZE, around=both), "from the side"),
        _titled(side_view(true, SIZE, around=both), "the truth"),
    ]
    row = tile(pictures, SIZE)
    found = {2: "both hands", 1: "one hand", 0: "no hand"}[len(result.iou)]
    sides = "" if result.both or len(result.iou) < 2 else ", wrong sides"
    lines = [f"{name}: scene {result.scene}, {result.mode}; {found}{sides}", _figures(result)]
    return np.concatenate([row, _text(lines, row.shape[1])])


def without_forearm(mesh: Mesh, keypoints: np.ndarray) -> Mesh:
    """Return the part of a mesh that is measured: the faces in front of the cut behind the wrist.

    Parameters
    ----------
    mesh : Mesh
        Camera frame, metres.
    keypoints : (21, 3) float
        Keypoints of the same hand, camera frame, metres.

    Returns
    -------
    Mesh
        Open at the cut.
    """
    behind = keypoints[WRIST] - keypoints[MIDDLE_MCP]
    place = (mesh.vertices - keypoints[WRIST]) @ behind / np.linalg.norm(behind)
    kept = np.asarray(mesh.faces)[(place < CUT_M)[mesh.faces].all(axis=1)]
    used, faces = np.unique(kept, return_inverse=True)
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3))


def _figures(result: Result) -> str:
    parts = []
    for label, value, form in (
        ("IoU", 100 * mean(result.iou), "{:.1f} %"), ("Chamfer", mean(result.chamfer_mm), "{:.2f} mm"),
        ("MPJPE", mean(result.mpjpe_mm), "{:.1f} mm"), ("gap", result.gap_mm, "{:.1f} mm"),
        ("pen.", result.penetration_ml, "{:.2f} ml"),
    ):  # fmt: skip
        if np.isfinite(value):
            parts.append(f"{label} {form.format(value)}")
    return "   ".join(parts)


def _text(lines: Sequence[str], width: int, bold: int = 0) -> np.ndarray:
    """Picture (H, width, 3) of lines of text; the first ``bold`` lines are larger."""
    paper = np.full((_LINE * len(lines) + _GAP, width, 3), _PAPER, np.uint8)
    for k, line in enumerate(lines):
        size, ink = (0.55, _INK) if k < bold else (0.42, _FAINT if bold else _INK)
        at = (4, _LINE * (k + 1) - 4)
        cv2.putText(paper, line, at, cv2.FONT_HERSHEY_SIMPLEX, size, (ink,) * 3, 1, cv2.LINE_AA)
    return paper


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    cv2.putText(picture, title, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (_FAINT,) * 3, 1, cv2.LINE_AA)
    return picture


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend a picture with background below and to the right."""
    grown = ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0))
    return np.pad(picture, grown, constant_values=_PAPER)
