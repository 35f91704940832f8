"""Deletes a take from the file with all its data; objects that the person added stay."""

from __future__ import annotations

import bpy

from ..errors import InputError
from . import markers, scene_settings, views
from .ownership import ROLE, remove_objects, require_local


def remove_take(collection: bpy.types.Collection) -> None:
    """Delete a take: its collection, objects, meshes, armatures, actions, pictures, materials and markers.

    What the take has set in the scene is given back where nobody has changed it since. A local view that shows nothing
    but the take is ended. Objects and collections that the
    person put into the take are moved to the parent of the take's collection.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Raises
    ------
    InputError
        The collection is linked from another file, or is not a take.
    """
    require_local(collection)
    if collection.get(ROLE) != "take":
        raise InputError(f"{collection.name} is not a take.")
    for scene in bpy.data.scenes:
        if collection in scene.collection.children_recursive:
            markers.remove_markers(scene, collection)
            scene_settings.give_back(scene, collection)
    views.leave_local_views(collection)
    ours = [thing for thing in collection.all_objects if ROLE in thing and thing.library is None]
    parts = [one for one in collection.children_recursive if ROLE in one and one.library is None]
    _keep_own(collection, parts, ours)
    images = _images(ours)
    materials = _materials(ours)
    remove_objects(ours)
    bpy.data.batch_remove([*parts, collection])
    bpy.data.batch_remove([one for one in (*images, *materials) if one.users == 0])


def _parents(collection: bpy.types.Collection) -> list[bpy.types.Collection]:
    """The collections that contain this one, scenes' root collections included."""
    everywhere = [*bpy.data.collections, *(scene.collection for scene in bpy.data.scenes)]
    return [one for one in everywhere if one.library is None and collection.name in one.children]


def _keep_own(
    collection: bpy.types.Collection, parts: list[bpy.types.Collection], ours: list[bpy.types.Object]
) -> None:
    """Link the person's objects and collections in the take to the parents of the take's collection."""
    going = {collection, *parts}
    for target in _parents(collection):
        for one in going:
            for thing in [thing for thing in one.objects if thing not in ours]:
                if thing.name not in target.objects:
                    _stay_in_place(thing, ours)
                    target.objects.link(thing)
            for child in [child for child in one.children if child not in going]:
                if child.name not in target.children:
                    target.children.link(child)


def _stay_in_place(thing: bpy.types.Object, ours: list[bpy.types.Object]) -> None:
    """Keep the world transform of an object whose parent is going to be deleted."""
    if thing.parent in ours:
        place = thing.matrix_world.copy()
        thing.parent = None
        thing.matrix_world = place


def _images(things: list[bpy.types.Object]) -> set[bpy.types.Image]:
    """The pictures of the take's camera backgrounds and image empties."""
    cameras = [thing.data for thing in things if thing.type == "CAMERA"]
    behind = {one.image for camera in cameras for one in camera.background_images if one.image is not None}
    return behind | {thing.data for thing in things if thing.type == "EMPTY" and thing.data is not None}


def _materials(things: list[bpy.types.Object]) -> set[bpy.types.Material]:
    """The marked materials of the take's meshes; the person's own materials are left out."""
    meshes = [thing.data for thing in things if thing.type == "MESH"]
    return {one for mesh in meshes for one in mesh.materials if one is not None and ROLE in one}
