"""The measured keypoints of a take as coloured sticks: the lines to draw on a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..take.reader import KEYPOINT_NAMES, SIDES
from . import animation, doubt, keypoints, tree
from .camera import to_blender

BONES = tuple(
    (0 if joint == 0 else first + joint - 1, first + joint)
    for first in range(1, len(KEYPOINT_NAMES), 4)
    for joint in range(4)
)
"""Numbers of the keypoints at both ends of each stick: from the wrist to each finger's tip."""


FOUND_COLORS = {"left": (0.30, 0.65, 1.0, 1.0), "right": (1.0, 0.60, 0.20, 1.0)}
"""Of the sticks of hands that a job has found: blue and orange, as the meshes will be."""

_HIDDEN, _HALF = "hide_viewport", 0.5  # a curve of 0 and 1


@dataclass(frozen=True)
class Sticks:
    """One hand on one frame.

    Parameters
    ----------
    points : (21, 3) array
        Keypoints in the world, units of the scene.
    color : tuple of float
        Colour of doubt, see ``doubt.color_of``.
    """

    points: np.ndarray
    color: doubt.Color


def sticks_at(collection: bpy.types.Collection, frame: float) -> list[Sticks]:
    """Return the hands of a take whose keypoints were measured on a frame.

    The curves are evaluated here, so it does not matter whether the keypoints are visible.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : float
        The scene frame.

    Returns
    -------
    list of Sticks
    """
    place, origin = tree.child(collection, tree.KEYPOINTS), tree.find_object(collection, "origin")
    if place is None or origin is None:
        return []
    owners, found = doubt.owners(collection), []
    for side in SIDES:
        empties = keypoints.find_empties(place, side)
        if any(name not in empties for name in KEYPOINT_NAMES):
            continue
        points = [_place(empties[name], frame) for name in KEYPOINT_NAMES]
        if any(point is None for point in points):
            continue
        color = doubt.color_at(owners[side], frame) if side in owners else doubt.UNKNOWN_COLOR
        found.append(Sticks(_in_world(origin, np.array(points)), color))
    return found


def _in_world(origin: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) in the frame of a take's origin, in the world."""
    return (np.array(origin.matrix_world) @ np.c_[points, np.ones(len(points))].T)[:3].T


def sticks_of(collection: bpy.types.Collection, hands: Mapping[str, Sequence[Sequence[float]]]) -> list[Sticks]:
    """Return hands that a job has found, in the colours of their sides.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    hands : mapping of str to (21, 3) numbers
        Side -> keypoints, camera frame, metres.

    Returns
    -------
    list of Sticks
    """
    origin = tree.find_object(collection, "origin")
    if origin is None:
        return []
    return [
        Sticks(_in_world(origin, to_blender(np.array(points))), FOUND_COLORS[side]) for side, points in hands.items()
    ]


def first_with_a_hand(collection: bpy.types.Collection, frames: Iterable[int]) -> int | None:
    """Return the first of some scene frames on which keypoints of a take were measured.

    One curve of each hand tells it, so that thousands of frames can be asked about.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frames : iterable of int
        The scene frames.

    Returns
    -------
    int or None
        None where no hand was found on any of them.
    """
    place = tree.child(collection, tree.KEYPOINTS)
    if place is None:
        return None
    wrists = [keypoints.find_empties(place, side).get(KEYPOINT_NAMES[0]) for side in SIDES]
    curves = [curve for wrist in wrists if wrist is not None for curve in animation.curves(wrist)]
    hidden = [curve for curve in curves if curve.data_path == _HIDDEN]
    return next((frame for frame in frames if any(one.evaluate(frame) <= _HALF for one in hidden)), None)


def _place(empty: bpy.types.Object, frame: float) -> tuple[float, ...] | None:
    """Where a keypoint is on a frame, in the frame of the take's origin; None where it is hidden."""
    curves = {(one.data_path, one.array_index): one for one in animation.curves(empty)}
    hidden = curves.get((_HIDDEN, 0))
    if hidden is None or hidden.evaluate(frame) > _HALF or any(("location", axis) not in curves for axis in range(3)):
        return None
    return tuple(curves["location", axis].evaluate(frame) for axis in range(3))
