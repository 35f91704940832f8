"""Results of IntagHand: two hands about their middle MCPs, of a normalised size, with weak-perspective cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import MIDDLE_MCP, SIDES

from .files import numbers, tables_of
from .hands import Converted, ForeignHand, Given, palm_length
from .orders import in_file_order, regressed

NORMALISED_PALM = 0.095
"""Mean length from wrist to middle MCP of the two hands in the source's unit."""

CROP = 256.0
"""Side of the source's picture, pixels: u = 256 s x + 128 t + 128."""


def read_intaghand(paths: Sequence[Path], given: Given) -> Converted:
    """Read IntagHand's results, see ``sources.SOURCES``.

    A hand of weak-perspective scale s appears as large as one at depth f / (256 s) in the source's unit. That gives the
    place of each hand; ``--palm-mm`` gives the unit.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    given : Given
        The camera of the 256-pixel crops, the palm length, and a regressor if the files hold vertices.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used.
    """
    camera = given.require_camera("IntagHand's weak perspective")
    hands = []
    start = 0
    for path, content in tables_of(paths, "Save them under verts3d_left, scale_left, …."):
        joints = {side: _joints(content, side, given, path) for side in SIDES}
        count = max(len(points) for points in joints.values())
        for row in range(count):
            present = [side for side in SIDES if len(joints[side]) > row and np.isfinite(joints[side][row]).all()]
            if not present:
                continue
            factor = given.palm / float(np.mean([palm_length(joints[side][row]) for side in present]))
            for side in present:
                points = joints[side][row]
                scale = float(_rows(content, "scale", side, path).reshape(-1)[row])
                shift = _rows(content, "trans2d", side, path).reshape(-1, 2)[row]
                if not (np.isfinite(scale) and scale > 0 and np.isfinite(shift).all()):
                    raise InputError(f"The scale of the {side} hand {row} in {path.name} is {scale}.", "Leave it out.")
                depth = camera.fx * factor / (CROP * scale)
                root = camera.unproject(CROP / 2 * shift + CROP / 2, depth)
                hands.append(ForeignHand(start + row, side, (points - points[MIDDLE_MCP]) * factor + root))
        start += count
    notes = ["Depths come from the weak-perspective scales; the palm length sets the size."]
    if given.palm_m is None:
        notes.append(f"--palm-mm was not given: {given.palm * 1000:.0f} mm is assumed.")
    return Converted(tuple(hands), "camera", camera, tuple(notes))


def _rows(content: dict[str, Any], name: str, side: str, path: Path) -> np.ndarray:
    """An array of one side, stored as ``name_side`` or in a dictionary ``name``."""
    value = content.get(f"{name}_{side}")
    if value is None and isinstance(content.get(name), dict):
        value = content[name].get(side)
    if value is None:
        raise InputError(f"{path.name} has no {name} of the {side} hand.", f"Save it as {name}_{side}.")
    return numbers(value, f"{name} of the {side} hand in {path.name}")


def _joints(content: dict[str, Any], side: str, given: Given, path: Path) -> np.ndarray:
    """Keypoints (B, 21, 3) of one side in file order; none if the file has none."""
    for name in ("joints3d", "verts3d"):
        there = f"{name}_{side}" in content or (isinstance(content.get(name), dict) and side in content[name])
        if not there:
            continue
        rows = _rows(content, name, side, path)
        rows = rows.reshape(-1, *rows.shape[-2:])
        if rows.shape[-2:] == (778, 3):
            if given.regressor is None:
                raise InputError(
                    f"{path.name} holds vertices of MANO, not keypoints.",
                    "Give --regressor FILE.npy: the J_regressor (16, 778) of your own MANO files.",
                )
            return np.stack([regressed(vertices, given.regressor) for vertices in rows])
        order = given.order or "file"
        return np.stack([in_file_order(row, order, f"{side} hand {k} in {path.name}") for k, row in enumerate(rows)])
    return np.empty((0, 21, 3))
