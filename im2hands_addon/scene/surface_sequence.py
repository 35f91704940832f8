"""A take's implicit surfaces as one object per hand whose mesh changes on every frame, for exporters.

In the .blend each frame is a separate object, which plays without the add-on. Alembic and USD hold one object whose
topology changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Matrix

from . import animation, tree
from .meshes import fill_mesh
from .ownership import FRAME, SIDE, role_of

Sequence = dict[int, bpy.types.Object]
"""Frame -> surface object."""


def gather(collection: bpy.types.Collection) -> dict[str, Sequence]:
    """Collect the take's surface objects in this file.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Returns
    -------
    dict
        Side -> frame -> object.
    """
    found: dict[str, Sequence] = {}
    for thing in collection.all_objects:
        if role_of(thing) == "surface" and thing.get(FRAME) is not None:
            found.setdefault(thing[SIDE], {})[int(thing[FRAME])] = thing
    return found


def stand_in(side: str) -> bpy.types.Object:
    """Make the object that stands for one hand's surfaces.

    Parameters
    ----------
    side : str
        "left" or "right".

    Returns
    -------
    bpy.types.Object
        An object with an empty mesh, in no collection.
    """
    mesh = bpy.data.meshes.new(tree.SURFACES[side])
    thing = bpy.data.objects.new(tree.SURFACES[side], mesh)
    # Exporters check once whether an object is animated; without an animation they write a single frame.
    animation.write_curve(thing, "location", [0, 1], [0.0, 0.0])
    thing.modifiers.new("Moving", "WEIGHTED_NORMAL").show_viewport = False
    return thing


@contextmanager
def playing(
    things: Mapping[str, bpy.types.Object], sequences: Mapping[str, Sequence], scene: bpy.types.Scene
) -> Iterator[None]:
    """Update the meshes of the stand-ins whenever the frame of a scene changes, for a while.

    Parameters
    ----------
    things : mapping of str to bpy.types.Object
        Side -> object from :func:`stand_in`. Its mesh gets the surface of the frame, in world space.
    sequences : mapping of str to Sequence
        Side -> surface objects, from :func:`gather`.
    scene : bpy.types.Scene
        The scene.
    """

    def change(changed: bpy.types.Scene, *_: object) -> None:
        if changed.name != scene.name:
            return
        for side, thing in things.items():
            _show(thing.data, _seen(sequences[side], changed.frame_current))

    bpy.app.handlers.frame_change_pre.append(change)
    try:
        yield
    finally:
        bpy.app.handlers.frame_change_pre.remove(change)


def _seen(sequence: Sequence, frame: int) -> bpy.types.Object | None:
    """The surface that is visible on a frame according to its keys; None when there is none."""
    for thing in sequence.values():
        curve = next((one for one in animation.curves(thing) if one.data_path == "hide_render"), None)
        if curve is not None and not curve.evaluate(frame):
            return thing
    return None


def _world(thing: bpy.types.Object) -> Matrix:
    """The world matrix of an object; Blender does not update it for hidden objects."""
    own = thing.matrix_basis
    return _world(thing.parent) @ thing.matrix_parent_inverse @ own if thing.parent else own


def _show(mesh: bpy.types.Mesh, source: bpy.types.Object | None) -> None:
    """Copy a surface in world space, with its materials, into a mesh; None empties the mesh."""
    mesh.clear_geometry()
    if source is None:
        mesh.update()
        return
    vertices = np.empty(len(source.data.vertices) * 3, np.float32)
    source.data.vertices.foreach_get("co", vertices)
    faces = np.empty(len(source.data.loops), np.int32)
    source.data.loops.foreach_get("vertex_index", faces)
    place = np.array(_world(source))
    fill_mesh(mesh, vertices.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3], faces.reshape(-1, 3))
    mesh.materials.clear()
    for material in source.data.materials:
        mesh.materials.append(material)
