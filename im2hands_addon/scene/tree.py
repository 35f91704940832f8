"""The collection of a take and its contents. It is found by the take's folder, and made if it does not exist.

<take>                    settings and provenance as custom properties
    <take> Origin         an empty; moving it moves the whole take
    Camera                has the footage as its background
    Footage               collection of image empties with the footage behind the hands; hidden at first
    Hand.L, Hand.R        collections of a clean mesh (Hand.L) and its armature (Rig.L); only with clean motion
    Surface.L, Surface.R  collections of the implicit surfaces, one object per frame
    Keypoints             collection of 21 empties per hand
"""

from __future__ import annotations

import json

import bpy

from ..errors import InputError
from ..take.reader import Take
from . import camera
from .ownership import ROLE, TAKE, is_local, mark, role_of, take_key

HANDS = {"left": "Hand.L", "right": "Hand.R"}
SURFACES = {"left": "Surface.L", "right": "Surface.R"}
KEYPOINTS = "Keypoints"
FOOTAGE = "Footage"
UNFINISHED = "im2hands_unfinished"
"""Property of a take's collection: whether a run of the take has not come to its end."""


def find_collection(key: str) -> bpy.types.Collection | None:
    """The collection of the take with this key (see ``ownership.take_key``); None when there is none."""
    return next((one for one in bpy.data.collections if one.get(TAKE) == key and is_local(one)), None)


def take_collections(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of all takes in ``scene``."""
    return [one for one in scene.collection.children_recursive if TAKE in one]


def take_named(name: str, scene: bpy.types.Scene) -> bpy.types.Collection:
    """Return a take of a scene by its name.

    Parameters
    ----------
    name : str
        Name of the take's collection; "" for the first take.
    scene : bpy.types.Scene
        The scene.

    Returns
    -------
    bpy.types.Collection
        The take's collection.

    Raises
    ------
    InputError
        There is no such take.
    """
    takes = take_collections(scene)
    found = next((one for one in takes if name in ("", one.name)), None)
    if found is None:
        raise InputError(f"There is no take {name} in this scene." if takes else "There is no take in this scene.")
    return found


def unit_of(scene: bpy.types.Scene) -> float:
    """Length of a scene's unit, metres."""
    return scene.unit_settings.scale_length or 1.0


def ensure_collection(take: Take, scene: bpy.types.Scene) -> bpy.types.Collection:
    """Return the take's collection; make what is missing of it, its origin, its camera and its sub-collections.

    Parameters
    ----------
    take : Take
        The take.
    scene : bpy.types.Scene
        The scene that the collection must be in.

    Returns
    -------
    bpy.types.Collection
        The take's collection.
    """
    key = take_key(take.folder)
    collection = find_collection(key)
    if collection is None:
        collection = bpy.data.collections.new(take.name)
        collection[TAKE] = key
        mark(collection, "take")
    if collection not in scene.collection.children_recursive:
        scene.collection.children.link(collection)
    for role in (*SURFACES.values(), KEYPOINTS):
        ensure_child(collection, role)
    unit = unit_of(scene)
    origin = find_object(collection, "origin")
    if origin is None:
        origin = bpy.data.objects.new(f"{take.name} Origin", None)
        origin.empty_display_type = "ARROWS"
        origin.empty_display_size = 0.05
        origin.rotation_euler = camera.ORIGIN_ROTATION
        # In a scene whose unit is not the metre, for example the foot, the hands have their true size.
        origin.scale = (1.0 / unit,) * 3
        mark(origin, "origin")
        collection.objects.link(origin)
    if find_object(collection, "camera") is None:
        thing = camera.build_camera("Camera", unit)
        thing.parent = origin
        mark(thing, "camera")
        collection.objects.link(thing)
    return collection


def child(collection: bpy.types.Collection, role: str) -> bpy.types.Collection | None:
    """The take's sub-collection with this role, such as ``KEYPOINTS``; None when there is none."""
    return next((one for one in collection.children if one.get(ROLE) == role), None)


def ensure_child(collection: bpy.types.Collection, role: str) -> bpy.types.Collection:
    """Return the take's sub-collection with this role; make it if it does not exist."""
    found = child(collection, role)
    if found is None:
        found = bpy.data.collections.new(role)
        mark(found, role)
        collection.children.link(found)
    return found


def remove_child(collection: bpy.types.Collection, role: str) -> None:
    """Delete the sub-collection with this role; objects that the person put into it move to the take's collection."""
    found = child(collection, role)
    if found is None:
        return
    for thing in [one for one in found.objects if one.name not in collection.objects]:
        collection.objects.link(thing)
    bpy.data.collections.remove(found)


def surface_places(collection: bpy.types.Collection) -> list[bpy.types.Collection]:
    """The existing sub-collections of the take's implicit surfaces."""
    return [place for role in SURFACES.values() if (place := child(collection, role)) is not None]


def show_hands(collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide the clean hands with their rigs, in the viewport and in renders."""
    for role in HANDS.values():
        place = child(collection, role)
        if place is not None:
            place.hide_viewport = place.hide_render = not shown


def show_surfaces(collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide the implicit surfaces, in the viewport and in renders."""
    for place in surface_places(collection):
        place.hide_viewport = place.hide_render = not shown


def surfaces_are_shown(collection: bpy.types.Collection) -> bool:
    """Whether the take has implicit surfaces in this file and shows them in the viewport."""
    return any(not place.hide_viewport and len(place.objects) for place in surface_places(collection))


def find_object(collection: bpy.types.Collection, role: str) -> bpy.types.Object | None:
    """The take's object with this role ("origin", "camera", ...), in any sub-collection; None when there is none."""
    return next((one for one in collection.all_objects if role_of(one) == role), None)


def write_properties(collection: bpy.types.Collection, take: Take) -> None:
    """Store settings, provenance and counts of frames as custom properties, readable without the add-on.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    take : Take
        The take.
    """
    collection["im2hands_settings"] = json.dumps(take.settings, ensure_ascii=False)
    collection["im2hands_provenance"] = json.dumps(take.provenance, ensure_ascii=False)
    collection["im2hands_clean"] = json.dumps(take.clean, ensure_ascii=False)
    collection["im2hands_camera_origin"] = take.camera.origin
    collection[UNFINISHED] = take.is_unfinished
    for status, count in take.counts.items():
        collection[f"im2hands_{status}"] = count
