"""The hands of one frame as stick hands that a person drags: a mesh per hand, a vertex per keypoint, in edit mode.

Vertices are moved with Blender's own tools, so snapping, proportional editing and undo work. A move in the view
through the camera keeps the depth. The meshes are temporary and are not rendered.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from ..errors import InputError
from ..take.keypoints import read_keypoints
from . import corrections, tree, views
from .camera import to_blender
from .meshes import SIDE_LETTER
from .ownership import FRAME, SIDE, mark, remove_objects, require_local, role_of
from .sticks import BONES

STICKS = "sticks"
_BEFORE = "im2hands_before"
_LEAST_MOVE_M = 1e-5  # less is rounding


def find(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The stick hands of a take that are being edited."""
    return [one for one in collection.all_objects if role_of(one) == STICKS]


def begin(collection: bpy.types.Collection, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Show the hands of the current frame as stick hands and go to edit mode.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene.

    Returns
    -------
    list of bpy.types.Object
        The stick hands.

    Raises
    ------
    InputError
        The take has no such frame, or no hand on it.
    TakeError
        The take cannot be read.
    """
    require_local(collection)
    apply(collection)
    frame = corrections.frame_in_view(collection, scene)
    take, _ = corrections.record_of(collection, frame)
    hands = read_keypoints(take, frame)
    if not hands:
        raise InputError(f"No hand was found on frame {frame}.", "Draw a box around it and rebuild the frame first.")
    origin = tree.find_object(collection, "origin")
    made = [_build(side, points, frame, origin, collection) for side, points in hands.items()]
    views.keep_in_local_views(collection)
    _edit(made)
    return made


def apply(collection: bpy.types.Collection) -> list[str]:
    """Turn what was dragged into corrections, and take the stick hands away.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Returns
    -------
    list of str
        Ids of the corrections; none where nothing was moved.

    Raises
    ------
    InputError
        A keypoint was deleted, or moved behind the camera. The stick hands stay.
    TakeError
        The take cannot be read. The stick hands stay.
    """
    moved = [(thing, *_moved(thing)) for thing in find(collection)]
    names = [
        corrections.add_moved_points(collection, int(thing[FRAME]), thing[SIDE], before, after, numbers)
        for thing, before, after, numbers in moved
        if numbers
    ]
    remove(collection)
    return names


def remove(collection: bpy.types.Collection) -> None:
    """Take the stick hands of a take away; what was dragged is lost."""
    there = find(collection)
    if any(thing.mode == "EDIT" for thing in there) and bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    remove_objects(there)


def places(thing: bpy.types.Object) -> np.ndarray:
    """Return the vertices (V, 3) of a stick hand as they are now, also in edit mode; frame of the take's origin."""
    if thing.mode == "EDIT":
        thing.update_from_editmode()
    points = np.empty(len(thing.data.vertices) * 3, np.float32)
    thing.data.vertices.foreach_get("co", points)
    matrix = np.array(thing.matrix_basis)
    found: np.ndarray = points.reshape(-1, 3).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return found


def move_in_depth(collection: bpy.types.Collection, metres: float) -> int:
    """Move the selected keypoints away from the camera, along the rays that they lie on.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    metres : float
        Distance along the camera's axis; negative towards the camera.

    Returns
    -------
    int
        Number of keypoints that were moved.
    """
    count = 0
    for thing, vertices in _editable(collection):
        for vertex in vertices:
            if not vertex.select:
                continue
            place = np.array(thing.matrix_basis @ vertex.co)
            depth = -place[2]
            scale = max(depth + metres, _LEAST_MOVE_M) / depth
            vertex.co = thing.matrix_basis.inverted() @ type(vertex.co)(place * scale)
            count += 1
    return count


def _editable(collection: bpy.types.Collection) -> Iterator[tuple[bpy.types.Object, object]]:
    """The stick hands with vertices that can be written, in edit mode or not."""
    import bmesh

    for thing in find(collection):
        if thing.mode == "EDIT":
            content = bmesh.from_edit_mesh(thing.data)
            yield thing, content.verts
            bmesh.update_edit_mesh(thing.data)
        else:
            yield thing, thing.data.vertices


def _build(
    side: str, points: np.ndarray, frame: int, origin: bpy.types.Object, collection: bpy.types.Collection
) -> bpy.types.Object:
    """Make the stick hand of one hand, in the take's collection."""
    name = f"Edit.{SIDE_LETTER[side]}"
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(to_blender(points).tolist(), BONES, [])
    thing = bpy.data.objects.new(name, mesh)
    thing.parent = origin
    thing.show_in_front = True
    thing.hide_render = True
    mark(thing, STICKS, **{FRAME: frame, SIDE: side, _BEFORE: points.astype(float).ravel().tolist()})
    collection.objects.link(thing)
    return thing


def _edit(things: list[bpy.types.Object]) -> None:
    """Select objects alone and go to edit mode, to choose vertices. Nothing is selected in it."""
    layer = bpy.context.view_layer
    if bpy.context.mode != "OBJECT" and layer.objects.active is not None:
        bpy.ops.object.mode_set(mode="OBJECT")
    for other in layer.objects.selected:
        other.select_set(False)
    for thing in things:
        thing.select_set(True)
        for part in (thing.data.vertices, thing.data.edges):
            part.foreach_set("select", np.zeros(len(part), bool))
    layer.objects.active = things[0]
    # Not `bpy.context.tool_settings`: see `blender_versions.release_context`.
    bpy.context.scene.tool_settings.mesh_select_mode = (True, False, False)
    bpy.ops.object.mode_set(mode="EDIT")


def _moved(thing: bpy.types.Object) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The keypoints (21, 3) before and now, camera frame, and the numbers of those that were moved."""
    before = np.array(thing[_BEFORE], np.float64).reshape(-1, 3)
    after = to_blender(places(thing))
    if after.shape != before.shape:
        raise InputError(
            f"{thing.name} has {len(after)} vertices in place of {len(before)}.",
            "Undo what deleted or added one, or leave Edit Keypoints with Discard.",
        )
    moves = np.linalg.norm(after - before, axis=1)
    return before, after, np.flatnonzero(moves > _LEAST_MOVE_M).tolist()
