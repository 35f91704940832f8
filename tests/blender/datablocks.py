"""Counts the data-blocks of each kind in the file, to check that a removal or an undo leaves none behind."""

from __future__ import annotations

import bpy

KINDS = (
    "objects", "meshes", "armatures", "actions", "shape_keys", "cameras", "collections", "materials", "images",
    "scenes", "worlds", "lights",
)  # fmt: skip


def counted() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in KINDS}
