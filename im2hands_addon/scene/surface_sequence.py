"""A take's implicit surfaces as one object per hand whose mesh changes on every frame, for exporters.

In the .blend each frame is a separate object, which plays without the add-on. Alembic and USD hold one object whose
topology changes. Surfaces that are not in the file are read from disk, one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Matrix

from ..errors import TakeError
from ..take.reader import SIDES
from . import animation, surfaces, tree
from .camera import to_blender
from .materials import hand_material
from .meshes import fill_mesh
from .ownership import FRAME, SIDE


class Sequence:
    """The surfaces of a take, those in the file and those on disk.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Attributes
    ----------
    sides : tuple of str
        The hands that occur, "left" first; empty if the take has no surfaces.

    Raises
    ------
    TakeError
        Surfaces are on disk, and the take cannot be read.
    """

    def __init__(self, collection: bpy.types.Collection) -> None:
        self._objects: dict[str, dict[int, bpy.types.Object]] = {}
        for thing in surfaces.objects(collection):
            self._objects.setdefault(thing[SIDE], {})[int(thing[FRAME])] = thing
        self._on_disk = surfaces.SurfacesOnDisk(collection)
        self._origin = tree.find_object(collection, "origin")
        self.sides = tuple(side for side in SIDES if side in self._objects or side in self._on_disk.sides)

    def show(self, mesh: bpy.types.Mesh, side: str, frame: int) -> None:
        """Fill a mesh with the surface that is seen on a frame, in world space and with its materials.

        Parameters
        ----------
        mesh : bpy.types.Mesh
            The mesh; empty afterwards if no surface is seen.
        side : str
            "left" or "right".
        frame : int
            The scene frame.

        Raises
        ------
        TakeError
            The frame cannot be read.
        """
        mesh.clear_geometry()
        thing = self._seen(side, frame)
        hand = self._on_disk.hand(side, frame) if thing is None else None
        if thing is not None:
            vertices = np.empty(len(thing.data.vertices) * 3, np.float32)
            thing.data.vertices.foreach_get("co", vertices)
            faces = np.empty(len(thing.data.loops), np.int32)
            thing.data.loops.foreach_get("vertex_index", faces)
            _fill(mesh, vertices.reshape(-1, 3), faces.reshape(-1, 3), thing, list(thing.data.materials))
        elif hand is not None:
            _fill(mesh, to_blender(hand.vertices), hand.faces, self._origin, [hand_material(side)])
        else:
            mesh.update()

    def _seen(self, side: str, frame: int) -> bpy.types.Object | None:
        """The object that is visible on a frame according to its keys; None when there is none."""
        for thing in self._objects.get(side, {}).values():
            curve = next((one for one in animation.curves(thing) if one.data_path == "hide_render"), None)
            if curve is not None and not curve.evaluate(frame):
                return thing
        return None


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
def playing(things: Mapping[str, bpy.types.Object], sequence: Sequence, scene: bpy.types.Scene) -> Iterator[None]:
    """Update the meshes of the stand-ins whenever the frame of a scene changes, for a while.

    Parameters
    ----------
    things : mapping of str to bpy.types.Object
        Side -> object from :func:`stand_in`. Its mesh gets the surface of the frame, in world space.
    sequence : Sequence
        The surfaces.
    scene : bpy.types.Scene
        The scene.

    Raises
    ------
    TakeError
        A frame could not be read.
    """
    problems: list[TakeError] = []

    def change(changed: bpy.types.Scene, *_: object) -> None:
        if changed.name != scene.name:
            return
        for side, thing in things.items():
            try:
                sequence.show(thing.data, side, changed.frame_current)
            except TakeError as error:  # Blender would only print it
                problems.append(error)

    bpy.app.handlers.frame_change_pre.append(change)
    materials = set(bpy.data.materials)
    try:
        yield
    finally:
        bpy.app.handlers.frame_change_pre.remove(change)
        for thing in things.values():
            thing.data.materials.clear()
        bpy.data.batch_remove([one for one in set(bpy.data.materials) - materials if not one.users])
    if problems:
        raise problems[0]


def _world(thing: bpy.types.Object) -> Matrix:
    """The world matrix of an object; Blender does not update it for hidden objects."""
    own = thing.matrix_basis
    return _world(thing.parent) @ thing.matrix_parent_inverse @ own if thing.parent else own


def _fill(
    mesh: bpy.types.Mesh,
    vertices: np.ndarray,
    faces: np.ndarray,
    owner: bpy.types.Object,
    materials: list[bpy.types.Material],
) -> None:
    """Fill an empty mesh with vertices (V, 3) in the frame of an object, and faces (F, 3)."""
    place = np.array(_world(owner))
    fill_mesh(mesh, vertices @ place[:3, :3].T + place[:3, 3], faces)
    mesh.materials.clear()
    for material in materials:
        mesh.materials.append(material)
