"""Writer of ``template.npz``: the topology, the rig and both hands at rest; ``docs/take.md`` describes the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import Side
from im2hands.take.take import TEMPLATE_FILE

from .rest import Rest
from .topology import BONE_NAMES, BONE_PARENTS, Topology

MIRROR = np.array([-1.0, 1.0, 1.0])
"""Factors that mirror points in x. A left hand is processed as its mirror image."""


def handed(points: np.ndarray, side: Side) -> np.ndarray:
    """Convert points of a hand of that side to those of a right hand, or back.

    Parameters
    ----------
    points : (..., 3) float
        Points.
    side : Side
        Side of the hand.

    Returns
    -------
    (..., 3) float
        The points; mirrored in x for a left hand.
    """
    return points * MIRROR if side == "left" else points


def handed_axes(axes: np.ndarray, side: Side) -> np.ndarray:
    """Convert bone axes of a right hand to those of a hand of that side.

    For a left hand y and z are mirrored and x is mirrored and reversed. So the axes stay right-handed, and a positive
    rotation about x closes either hand.

    Parameters
    ----------
    axes : (..., 3, 3) float
        Axes of bones; columns x, y, z.
    side : Side
        Side of the hand.

    Returns
    -------
    (..., 3, 3) float
        Axes of the bones of that side.
    """
    if side == "right":
        return axes
    found: np.ndarray = axes * MIRROR[:, None] * MIRROR
    return found


def write_template(folder: Path, topology: Topology, rests: Mapping[Side, Rest], key: str) -> None:
    """Write ``template.npz``.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    topology : Topology
        Topology of the template.
    rests : mapping of Side to Rest
        Right hands at rest (see ``template.rest``), by the side they stand for.
    key : str
        Hash of what they were computed from.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    arrays = {
        "faces": topology.faces,
        "uv": topology.uv,
        "weights": topology.weights,
        "bone_names": np.array(BONE_NAMES),
        "bone_parents": np.array(BONE_PARENTS, np.int32),
        "rim": topology.rim.astype(np.int32),
        "lid": topology.lid.astype(np.int32),
        "key": np.array(key),
    }
    for side, rest in rests.items():
        arrays[f"{side}_rest_vertices"] = handed(rest.vertices, side).astype(np.float32)
        arrays[f"{side}_rest_heads"] = handed(rest.heads, side).astype(np.float32)
        arrays[f"{side}_rest_tails"] = handed(rest.tails, side).astype(np.float32)
        arrays[f"{side}_rest_axes"] = handed_axes(rest.axes, side).astype(np.float32)
        arrays[f"{side}_rest_keypoints"] = handed(rest.keypoints, side).astype(np.float32)
    write_atomically(folder / TEMPLATE_FILE, pack_arrays(arrays))


def read_rests(arrays: Mapping[str, np.ndarray], sides: Sequence[Side]) -> dict[Side, Rest]:
    """Return the hands at rest that ``template.npz`` has, as right hands.

    Parameters
    ----------
    arrays : mapping of str to array
        The arrays of the file.
    sides : sequence of Side
        The hands.

    Returns
    -------
    dict of Side to Rest
        Right hands at rest, by the side they stand for.
    """
    found = {}
    for side in sides:
        vertices, heads, tails, keypoints = (
            handed(arrays[f"{side}_rest_{name}"].astype(np.float64), side)
            for name in ("vertices", "heads", "tails", "keypoints")
        )
        axes = handed_axes(arrays[f"{side}_rest_axes"].astype(np.float64), side)
        found[side] = Rest(vertices, heads, tails, axes, keypoints)
    return found
