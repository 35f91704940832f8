"""The collection of a take: found again by its folder, made when it is not there.

<take>              settings and provenance as custom properties
    <take> Origin   an empty; move it and the whole take moves
    Camera
    Hand.L, Hand.R  collections, one object per frame in each
    Keypoints       collection, 21 empties per hand
"""

from __future__ import annotations

import json

import bpy

from ..take_reader import Take
from . import camera
from .ownership import ROLE, TAKE, mark, role_of, take_key

HANDS = {"left": "Hand.L", "right": "Hand.R"}
KEYPOINTS = "Keypoints"


def find_collection(key: str) -> bpy.types.Collection | None:
    """The collection of the take known as ``key`` (see :func:`.ownership.take_key`), or None."""
    return next((one for one in bpy.data.collections if one.get(TAKE) == key and one.library is None), None)


def take_collections(scene: bpy.types.Scene) -> list[bpy.types.Collection]:
    """The collections of all takes in ``scene``."""
    return [one for one in scene.collection.children_recursive if TAKE in one]


def ensure_collection(take: Take, scene: bpy.types.Scene) -> bpy.types.Collection:
    """The take's collection with its origin, camera and sub-collections; whatever is missing is made."""
    key = take_key(take.folder)
    collection = find_collection(key)
    if collection is None:
        collection = bpy.data.collections.new(take.name)
        collection[TAKE] = key
        mark(collection, "take")
    if collection not in scene.collection.children_recursive:
        scene.collection.children.link(collection)
    for role in (*HANDS.values(), KEYPOINTS):
        if child(collection, role) is None:
            made = bpy.data.collections.new(role)
            mark(made, role)
            collection.children.link(made)
    origin = find_object(collection, "origin")
    if origin is None:
        origin = bpy.data.objects.new(f"{take.name} Origin", None)
        origin.empty_display_type = "ARROWS"
        origin.empty_display_size = 0.05
        origin.rotation_euler = camera.ORIGIN_ROTATION
        mark(origin, "origin")
        collection.objects.link(origin)
    if find_object(collection, "camera") is None:
        thing = camera.build_camera("Camera")
        thing.parent = origin
        mark(thing, "camera")
        collection.objects.link(thing)
    return collection


def child(collection: bpy.types.Collection, role: str) -> bpy.types.Collection | None:
    """The sub-collection that :func:`ensure_collection` made for ``role``."""
    return next((one for one in collection.children if one.get(ROLE) == role), None)


def find_object(collection: bpy.types.Collection, role: str) -> bpy.types.Object | None:
    """The object that has ``role`` ("origin", "camera", ...) in the take, in whatever sub-collection it lies."""
    return next((one for one in collection.all_objects if role_of(one) == role), None)


def write_properties(collection: bpy.types.Collection, take: Take) -> None:
    """Settings, provenance and the state of the frames as custom properties, readable without the add-on."""
    collection["im2hands_settings"] = json.dumps(take.settings, ensure_ascii=False)
    collection["im2hands_provenance"] = json.dumps(take.provenance, ensure_ascii=False)
    collection["im2hands_camera_origin"] = take.camera.origin
    for status, count in take.counts.items():
        collection[f"im2hands_{status}"] = count
