"""The reconstructed surfaces: one mesh object per hand and frame, shown on its own frame only.

The visibility is keyed on plain objects, so a file plays without the add-on. An object's origin lies at the wrist.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..take.reader import Hand
from . import animation
from .camera import to_blender
from .materials import hand_material
from .ownership import FRAME, SIDE, mark

SIDE_LETTER = {"left": "L", "right": "R"}


def build_mesh(name: str, vertices: np.ndarray, faces: np.ndarray) -> bpy.types.Mesh:
    """A smooth shaded mesh from ``vertices`` (V, 3) metres, in the object's frame, and triangles ``faces`` (F, 3)."""
    mesh = bpy.data.meshes.new(name)
    fill_mesh(mesh, vertices, faces)
    return mesh


def fill_mesh(mesh: bpy.types.Mesh, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Put ``vertices`` (V, 3) and triangles ``faces`` (F, 3) into an empty mesh, smooth shaded."""
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, dtype=np.float32).ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, dtype=np.int32).ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.validate()
    mesh.shade_smooth()


def build_surface(index: int, side: str, hand: Hand, step: int, now: int) -> bpy.types.Object:
    """The object "Surface.L 0012" of one hand in one frame, in the frame of the take's origin, linked to nothing yet.

    Args:
        index: scene frame from which it is seen. side: "left" or "right". step: how many frames it is held.
        now: the scene's current frame; Blender reads the keys only when that changes.
    """
    name = f"Surface.{SIDE_LETTER[side]} {index:04d}"
    wrist = to_blender(hand.keypoints[0])
    mesh = build_mesh(name, to_blender(hand.vertices) - wrist, hand.faces)
    mesh.materials.append(hand_material(side))
    thing = bpy.data.objects.new(name, mesh)
    thing.location = wrist
    mark(thing, "surface", **{FRAME: index, SIDE: side})
    frames, hidden = animation.held_visibility([index], step)
    for path in ("hide_viewport", "hide_render"):
        animation.write_curve(thing, path, frames, hidden)
        setattr(thing, path, not index <= now < index + step)
    return thing
