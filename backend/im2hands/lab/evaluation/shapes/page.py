"""The page of pictures: for each method the best, the median and the worst hand, with truth, prediction and error.

The third picture is the prediction in colours of its distance to the true surface, from green (0 mm) over yellow to red
(``WORST_MM`` and more). All three show the hand from the same side and at the same scale.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

from im2hands.core.files import write_atomically
from im2hands.lab.evaluation.measures import Mesh
from im2hands.lab.evaluation.overlay import side_view

from .measure import FOUND, HandRow, Plan
from .predictions import View, read_prediction
from .report import Measured
from .scores import aligned
from .truth import open_truth

SIZE = 256
"""Side of each picture, pixels."""

WORST_MM = 10.0
"""Distance of the last colour, mm."""

_LINE = 18  # height of a line of text, pixels
_QUALITY = 90
_TURN = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # canonical frame to the view: fingers up


def draw_page(path: Path, plan: Plan, views: list[View], measured: Measured) -> None:
    """Draw the page and write it as a JPEG file.

    Parameters
    ----------
    path : Path
        The file.
    plan : Plan
        Settings of the run.
    views : list of View
        The views.
    measured : Measured
        What was measured.

    Raises
    ------
    InputError
        A file is damaged.
    """
    by_name = {view.name: view for view in views}
    strips = []
    for method in plan.methods:
        for alignment in plan.alignments:
            rows = [r for r in measured.rows if (r.method, r.alignment) == (method.name, alignment)]
            found = sorted((r for r in rows if r.state == FOUND), key=_error)
            title = f"{method.name}, alignment {alignment}: {len(found)} of {len(rows)} hands"
            cells = []
            for label, place in (("best", 0), ("median", len(found) // 2), ("worst", len(found) - 1)):
                if found:
                    cells.append(_cell(plan, by_name[found[place].view], found[place], label))
            if cells:
                strips.append(np.concatenate([_text(title, cells[0].shape[1] * len(cells)), np.hstack(cells)]))
    if not strips:
        strips = [_text("No hand was measured.", 3 * SIZE)]
    width = max(strip.shape[1] for strip in strips)
    page = np.concatenate([
        np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)), constant_values=255) for strip in strips
    ])  # fmt: skip
    done, data = cv2.imencode(".jpg", cv2.cvtColor(page, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    write_atomically(path, data.tobytes())


def _error(row: HandRow) -> tuple[float, str, str]:
    distance = row.figures["chamfer_l1_mm"]
    return (distance if np.isfinite(distance) else -row.figures["iou_points"], row.view, row.side)


def _cell(plan: Plan, view: View, row: HandRow, label: str) -> np.ndarray:
    folder = open_truth(plan.truth)
    name = f"{row.frame}_{row.side}"
    shape = folder.shape(name)
    method = next(method for method in plan.methods if method.name == row.method)
    prediction = read_prediction(method, view, shape)
    assert prediction is not None
    vertices = aligned(prediction.mesh.vertices, prediction.joints, shape.keypoints, row.alignment)
    found = Mesh(vertices @ _TURN.T, prediction.mesh.faces)
    true_mesh = folder.mesh(name)
    cloud = folder.cloud(name)[0] if folder.has("pointcloud", name) else None
    surface = cloud if cloud is not None else (np.empty((0, 3)) if true_mesh is None else true_mesh.vertices)
    around = [found]
    pictures = []
    if true_mesh is not None:
        true = Mesh(true_mesh.vertices @ _TURN.T, true_mesh.faces)
        around.append(true)
        pictures.append(side_view({"left": true}, SIZE, 0.0, around))
    else:
        pictures.append(_dots(surface @ _TURN.T, found))
    pictures.append(side_view({"right": found}, SIZE, 0.0, around))
    if len(surface):
        middles = vertices[prediction.mesh.faces].mean(1)
        colours = error_colours(cKDTree(surface).query(middles)[0] * 1000)
        pictures.append(side_view({"right": found}, SIZE, 0.0, around, tints={"right": colours}))
    words = f"{label}: {row.view} {row.side}  " + "  ".join(
        f"{text} {row.figures[key] * factor:.{digits}f}"
        for key, text, factor, digits in (
            ("iou_uniform", "IoU %", 100, 1), ("iou_points", "IoU points %", 100, 1), ("chamfer_l1_mm", "CD mm", 1, 2)
        )
        if np.isfinite(row.figures[key])
    )  # fmt: skip
    strip = np.hstack(pictures)
    return np.concatenate([strip, _text(words, strip.shape[1])])


def error_colours(distances_mm: np.ndarray) -> np.ndarray:
    """Colours (N, 3) of distances (N,) mm: green at 0, yellow at half of ``WORST_MM``, red from ``WORST_MM`` on."""
    share = np.clip(np.asarray(distances_mm) / WORST_MM, 0, 1)
    return np.column_stack([np.clip(2 * share, 0, 1), np.clip(2 - 2 * share, 0, 1), np.zeros(len(share))]) * 255


def _dots(points: np.ndarray, around: Mesh) -> np.ndarray:
    """The true points as dots, where there is no true mesh."""
    picture = np.full((SIZE, SIZE, 3), 245, np.uint8)
    if len(points):
        everything = np.concatenate([points, around.vertices])
        centre = (everything.min(0) + everything.max(0)) / 2
        reach = max(float(np.abs(everything - centre).max()), 1e-9)
        place = ((points[:, :2] - centre[:2]) / reach * 0.45 + 0.5) * SIZE
        x, y = np.clip(place.astype(int), 0, SIZE - 1).T
        picture[y, x] = (86, 180, 233)
    return picture


def _text(line: str, width: int) -> np.ndarray:
    paper = np.full((_LINE + 6, width, 3), 255, np.uint8)
    cv2.putText(paper, line, (4, _LINE - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (20, 20, 20), 1, cv2.LINE_AA)
    return paper
