"""The reconstructed surfaces: one mesh object per hand and frame, visible only on its own frame.

The visibility is animated by ordinary keys, so the file plays without the add-on. The origin of each object is at the
wrist.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..take.reader import Hand
from . import animation, visibility
from .camera import to_blender
from .materials import hand_material
from .ownership import FRAME, SIDE, mark

SIDE_LETTER = {"left": "L", "right": "R"}
"""Side -> letter at the end of names in Blender."""


def build_mesh(name: str, vertices: np.ndarray, faces: np.ndarray) -> bpy.types.Mesh:
    """Make a mesh with smooth shading.

    Parameters
    ----------
    name : str
        Name of the mesh.
    vertices : (V, 3) array
        Vertices in the frame of the object, metres.
    faces : (F, 3) array
        Triangles.

    Returns
    -------
    bpy.types.Mesh
        The mesh.
    """
    mesh = bpy.data.meshes.new(name)
    fill_mesh(mesh, vertices, faces)
    return mesh


def fill_mesh(mesh: bpy.types.Mesh, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Fill an empty mesh and set smooth shading.

    Parameters
    ----------
    mesh : bpy.types.Mesh
        The mesh.
    vertices : (V, 3) array
        Vertices in the frame of the object, metres.
    faces : (F, 3) array
        Triangles.
    """
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
    """Make the object of one hand on one frame, such as "Surface.L 0012".

    Parameters
    ----------
    index : int
        Scene frame from which it is visible.
    side : str
        "left" or "right".
    hand : Hand
        The hand.
    step : int
        How many frames it is visible.
    now : int
        The scene's current frame. The visibility is set for it directly, because Blender evaluates the keys only when
        the frame changes.

    Returns
    -------
    bpy.types.Object
        The object in the frame of the take's origin, in no collection.
    """
    name = f"Surface.{SIDE_LETTER[side]} {index:04d}"
    wrist = to_blender(hand.keypoints[0])
    mesh = build_mesh(name, to_blender(hand.vertices) - wrist, hand.faces)
    mesh.materials.append(hand_material(side))
    thing = bpy.data.objects.new(name, mesh)
    thing.location = wrist
    mark(thing, "surface", **{FRAME: index, SIDE: side})
    frames, hidden = visibility.held_visibility([index], step)
    for path in ("hide_viewport", "hide_render"):
        animation.write_curve(thing, path, frames, hidden)
        setattr(thing, path, not index <= now < index + step)
    return thing
