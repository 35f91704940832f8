"""Timeline markers at frames that the person should check: one for each run of frames with the same reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import bpy

_NAMES = "im2hands_markers"
_RUNS = "im2hands_doubts"


def doubtful_runs(doubts: Mapping[int, str], step: int) -> list[tuple[int, int, str]]:
    """Join consecutive frames with the same reason for a check.

    Parameters
    ----------
    doubts : mapping of int to str
        Frame -> reason; "" for none.
    step : int
        Distance between consecutive frames.

    Returns
    -------
    list of (int, int, str)
        First frame, last frame and reason of each run, ascending.
    """
    runs: list[tuple[int, int, str]] = []
    for frame in sorted(doubts):
        doubt = doubts[frame]
        if not doubt:
            continue
        if runs and runs[-1][2] == doubt and frame - runs[-1][1] <= step:
            runs[-1] = (runs[-1][0], frame, doubt)
        else:
            runs.append((frame, frame, doubt))
    return runs


def write_markers(
    scene: bpy.types.Scene, collection: bpy.types.Collection, doubts: Mapping[int, str], step: int
) -> None:
    """Replace the take's markers in a scene; markers that the person made or renamed stay.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The take's collection. The names of the markers and the runs are stored in its custom properties.
    doubts : mapping of int to str
        Frame -> reason for a check; "" for none.
    step : int
        Distance between consecutive frames.
    """
    remove_markers(scene, collection)
    runs = doubtful_runs(doubts, step)
    names = []
    for first, last, doubt in runs:
        name = f"{doubt} {first}" if first == last else f"{doubt} {first}-{last}"
        scene.timeline_markers.new(name, frame=first)
        names.append(name)
    collection[_NAMES] = "\n".join(names)
    collection[_RUNS] = json.dumps(runs, ensure_ascii=False)


def remove_markers(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    """Remove the take's markers from a scene; markers that the person made or renamed stay.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The take's collection.
    """
    for name in collection.get(_NAMES, "").split("\n"):
        marker = scene.timeline_markers.get(name) if name else None
        if marker is not None:
            scene.timeline_markers.remove(marker)


def place_markers(scene: bpy.types.Scene, collection: bpy.types.Collection, to_scene: Callable[[int], int]) -> None:
    """Move the take's markers in a scene to other frames.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    collection : bpy.types.Collection
        The take's collection.
    to_scene : callable
        Frame of the take -> scene frame.
    """
    for name, (first, _, _) in zip(collection.get(_NAMES, "").split("\n"), read_runs(collection), strict=False):
        marker = scene.timeline_markers.get(name)
        if marker is not None:
            marker.frame = to_scene(first)


def read_runs(collection: bpy.types.Collection) -> list[tuple[int, int, str]]:
    """Return the runs that :func:`write_markers` stored: first frame, last frame, reason."""
    return [(first, last, doubt) for first, last, doubt in json.loads(collection.get(_RUNS, "[]"))]
