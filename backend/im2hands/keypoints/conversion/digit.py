"""Results of DIGIT and InterNet: 42 joints in heat-map cells, depth about each wrist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, WRIST, Side

from .files import numbers, tables_of
from .hands import Converted, ForeignHand, Given
from .orders import in_file_order

CELLS = 64.0
"""Cells of the heat map along each axis."""

CROP = 256.0
"""Side of the crop, pixels."""

DEPTH_M = 0.2
"""Half the range of the depth axis, metres."""

_NEAREST, _FARTHEST = 0.1, 10.0  # of a wrist that is found by the palm length, metres
_HALVINGS = 60
_THERE = 0.5  # probability from which a hand is there


def read_digit(paths: Sequence[Path], given: Given) -> Converted:
    """Read DIGIT's results, see ``sources.SOURCES``.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    given : Given
        The camera of the pictures (of the crop, if the files have no ``inv_trans``) and the palm length.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used.
    """
    camera = given.require_camera("DIGIT's heat maps")
    hands: list[ForeignHand] = []
    guessed = 0
    for path, content in tables_of(paths, "Save joint_coord (B, 42, 3) and rel_root_depth (B).", "joint_coord"):
        joints = numbers(content["joint_coord"], f"joint_coord of {path.name}").reshape(-1, 42, 3)
        count = len(joints)
        relative = numbers(content.get("rel_root_depth", np.full(count, np.nan)), "rel_root_depth").reshape(-1)
        types = numbers(content.get("hand_type", np.ones((count, 2))), "hand_type").reshape(count, 2)
        affine = content.get("inv_trans")
        affines = None if affine is None else numbers(affine, "inv_trans").reshape(-1, 2, 3)
        depths = numbers(content.get("root_depth", np.full(count, np.nan)), "root_depth").reshape(-1) / 1000
        for row in range(count):
            frame = row if "frame" not in content else int(np.ravel(content["frame"])[row])
            placed: dict[Side, np.ndarray] = {}
            present: list[tuple[Side, slice]] = []
            if types[row, 0] >= _THERE:
                present.append(("right", slice(0, 21)))
            if types[row, 1] >= _THERE:
                present.append(("left", slice(21, 42)))
            root = float(depths[row])
            for side, rows in present:
                what = f"{side} hand {row} in {path.name}"
                cells = in_file_order(joints[row, rows], given.order or "interhand", what)
                pixels = cells[:, :2] * (CROP / CELLS)
                if affines is not None:
                    pixels = pixels @ affines[row, :, :2].T + affines[row, :, 2]
                behind = (cells[:, 2] / CELLS * 2 - 1) * DEPTH_M
                behind = behind - behind[WRIST]
                depth = root
                if side == "left" and "right" in placed and np.isfinite(relative[row]):
                    depth = float(placed["right"][WRIST, 2]) + (relative[row] / CELLS * 2 - 1) * DEPTH_M
                if not np.isfinite(depth):
                    depth = _depth_of_palm(camera, pixels, behind, given.palm)
                    guessed += 1
                placed[side] = camera.unproject(pixels, depth + behind)
                hands.append(ForeignHand(frame, side, placed[side]))
    notes = [] if not guessed else [f"The depth of {guessed} hands comes from a palm of {given.palm * 1000:.0f} mm."]
    return Converted(tuple(hands), "camera", camera, tuple(notes))


def _depth_of_palm(camera: Camera, pixels: np.ndarray, behind: np.ndarray, palm: float) -> float:
    """Depth of the wrist at which wrist and middle MCP are a palm apart, by halving; metres."""
    pair = [WRIST, MIDDLE_MCP]
    low, high = _NEAREST, _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        wrist, knuckle = camera.unproject(pixels[pair], middle + behind[pair])
        low, high = (middle, high) if np.linalg.norm(wrist - knuckle) < palm else (low, middle)
    return (low + high) / 2
