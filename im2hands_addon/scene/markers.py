"""Timeline markers where a person should look: one at the start of each run of frames with the same doubt."""

from __future__ import annotations

import json
from collections.abc import Mapping

import bpy

_NAMES = "im2hands_markers"
_RUNS = "im2hands_doubts"


def doubtful_runs(doubts: Mapping[int, str], step: int) -> list[tuple[int, int, str]]:
    """Join frames with the same doubt: (first frame, last frame, doubt), ascending.

    Args:
        doubts: by frame what is doubtful about it, "" for nothing. step: distance of neighbouring frames.
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
    """Replace the take's markers in ``scene``; markers that a person made or renamed stay."""
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
    """Take the take's markers out of ``scene``; markers that a person made or renamed stay."""
    for name in collection.get(_NAMES, "").split("\n"):
        marker = scene.timeline_markers.get(name) if name else None
        if marker is not None:
            scene.timeline_markers.remove(marker)


def read_runs(collection: bpy.types.Collection) -> list[tuple[int, int, str]]:
    """The take's doubtful runs as :func:`write_markers` left them: (first frame, last frame, doubt)."""
    return [(first, last, doubt) for first, last, doubt in json.loads(collection.get(_RUNS, "[]"))]
