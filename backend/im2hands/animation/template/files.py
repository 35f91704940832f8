"""``template.npz``: the topology, the rig and both hands at rest, as ``docs/take.md`` has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.hands import Side
from im2hands.take.take import TEMPLATE_FILE

from .rest import Rest
from .topology import BONE_NAMES, BONE_PARENTS, Topology

MIRROR = np.array([-1.0, 1.0, 1.0])
"""A left hand is worked on as its mirror image in x."""


def handed(points: np.ndarray, side: Side) -> np.ndarray:
    """Points (..., 3) of a hand of that side as those of a right hand, or back."""
    return points * MIRROR if side == "left" else points


def handed_axes(axes: np.ndarray, side: Side) -> np.ndarray:
    """Bone axes (..., 3, 3) of a right hand as those of a hand of that side: y and z are mirrored, x turned about, so
    that the axes stay right-handed and a positive turn about x closes either hand."""
    if side == "right":
        return axes
    found: np.ndarray = axes * MIRROR[:, None] * MIRROR
    return found


def write_template(folder: Path, topology: Topology, rests: Mapping[Side, Rest], key: str) -> None:
    """Write ``template.npz``.

    Args:
        rests: right hands at rest (see :mod:`.rest`) by the side they stand for. key: what they were computed from.

    Raises:
        TakeError: it cannot be written.
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
