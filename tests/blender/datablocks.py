"""How many data-blocks of each kind the file has: what a removal or an undo must leave as it was."""

from __future__ import annotations

import bpy

KINDS = (
    "objects", "meshes", "armatures", "actions", "shape_keys", "cameras", "collections", "materials", "images",
    "scenes", "worlds", "lights",
)  # fmt: skip


def counted() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in KINDS}
