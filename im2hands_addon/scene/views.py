"""Shows a take in the 3D views: through its camera, over its footage, with the hands in the middle, and alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import bpy
import numpy as np
from mathutils import Vector

from . import conform, framing, sticks, tree
from .ownership import ROLE

_ALONE = "The view shows the take alone, because {} would hide the hands. Isolate shows everything again."
_NAMED = 3  # objects that are named in a message
_SOLID = ("MESH", "CURVE", "SURFACE", "FONT", "META", "VOLUME", "CURVES", "POINTCLOUD")
"""Types of objects that can hide a hand."""


def present(
    collection: bpy.types.Collection, scene: bpy.types.Scene, windows: Sequence[bpy.types.Window] | None = None
) -> list[str]:
    """Show the result of a job or an import: hands in view, over the photo, and their frames in the timeline.

    The largest 3D view of each window that shows the scene looks through the take's camera, zoomed to the hands. If
    something lies between the camera and the hands, or around them, that view shows the take alone (local view). The
    scene stays as it is, but for the current frame where that is none of the take or has no hand.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The take's scene.
    windows : sequence of bpy.types.Window, optional
        The windows; None for all.

    Returns
    -------
    list of str
        What the person should know about the views.
    """
    if tree.find_object(collection, "camera") is None:
        return []
    _go_into_the_take(collection, scene)
    told = []
    hands = framing.Hands.of(collection)
    for window, area in _largest_views(scene, windows):
        told = _show_freely(collection, hands, window, area) or told
        look_through(collection, scene, area)
        frame_hands(collection, scene, area)
        _fit_timelines(window)
    return told


def watch(collection: bpy.types.Collection, scene: bpy.types.Scene, hands: framing.Hands) -> list[str]:
    """Show a take whose hands are just being found, over its footage. The current frame stays.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The take's scene.
    hands : framing.Hands
        The hands that were found.

    Returns
    -------
    list of str
        What the person should know about the views.
    """
    told: list[str] = []
    for window, area in _largest_views(scene, None):
        told = _show_freely(collection, hands, window, area) or told
        look_through(collection, scene, area)
    fit_timelines(scene)
    return told


def fit_timelines(scene: bpy.types.Scene) -> None:
    """Show the range of a scene in the timelines of the windows that show it."""
    for window in bpy.context.window_manager.windows:
        if window.scene == scene:
            _fit_timelines(window)


def _show_freely(
    collection: bpy.types.Collection, hands: framing.Hands, window: bpy.types.Window, area: bpy.types.Area
) -> list[str]:
    """Show a take alone in a view if something would hide its hands; returns what the person should know of it."""
    space = area.spaces.active
    # The local view first: it keeps the view before, and Toggle Local View gives that back.
    blocking = _in_the_way(collection, hands, window.view_layer) if space.local_view is None else []
    if blocking:
        isolate(collection, window, area)
        more = f" and {len(blocking) - _NAMED} more" if len(blocking) > _NAMED else ""
        return [_ALONE.format(", ".join(blocking[:_NAMED]) + more)]
    if space.local_view is not None:
        _show_in(space, collection, window.view_layer)
    return []


def look_through(collection: bpy.types.Collection, scene: bpy.types.Scene, area: bpy.types.Area) -> None:
    """Look through a take's camera in a 3D view, with its whole picture in sight.

    Where the scene has another camera, only this view looks through the take's.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene.
    area : bpy.types.Area
        The area of the view.
    """
    camera = tree.find_object(collection, "camera")
    if camera is None:
        return
    space = area.spaces.active
    if scene.camera != camera:
        space.use_local_camera = True
    if space.use_local_camera:
        space.camera = camera
    space.region_3d.view_perspective = "CAMERA"
    framing.show_whole_picture(space, area, _aspect(scene))


def frame_hands(collection: bpy.types.Collection, scene: bpy.types.Scene, area: bpy.types.Area) -> bool:
    """Bring the hands of all frames to the middle of a 3D view.

    A view through the take's camera is zoomed, and the camera stays as it is. Any other view orbits about the hands.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene.
    area : bpy.types.Area
        The area of the view.

    Returns
    -------
    bool
        Whether the take has hands.
    """
    space, hands = area.spaces.active, framing.Hands.of(collection)
    if space.region_3d.view_perspective != "CAMERA":
        return framing.show_hands_freely(space, collection, hands)
    if _looks_through(space, collection, scene):
        data = tree.find_object(collection, "camera").data
        return framing.show_hands_in_picture(space, area, data, hands, _aspect(scene))
    space.region_3d.view_perspective = "PERSP"  # another camera, which must not be moved
    return framing.show_hands_freely(space, collection, hands)


def is_alone(collection: bpy.types.Collection, space: bpy.types.SpaceView3D, layer: bpy.types.ViewLayer) -> bool:
    """Whether a 3D view is in a local view of nothing but this take."""
    if space is None or space.local_view is None:
        return False
    seen = [thing for thing in layer.objects if is_in_local_view(thing, space, layer)]
    return bool(seen) and all(thing.name in collection.all_objects for thing in seen)


def toggle_alone(collection: bpy.types.Collection, window: bpy.types.Window, area: bpy.types.Area) -> None:
    """Show a take alone in a 3D view (local view), or everything again if it is alone there.

    Nothing is hidden in the scene or in other views. A local view of another take is exchanged for this one. In a local
    view of the person's own choice the take is shown too.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    window : bpy.types.Window
        The window.
    area : bpy.types.Area
        The area of the view.
    """
    space, layer = area.spaces.active, window.view_layer
    if is_alone(collection, space, layer):
        _toggle_local_view(window, area, moves=False)
        return
    others = [one for one in tree.take_collections(window.scene) if one != collection]
    if any(is_alone(one, space, layer) for one in others):
        _toggle_local_view(window, area, moves=False)
    if space.local_view is None:
        isolate(collection, window, area)
    else:
        _show_in(space, collection, layer)


def keep_in_local_views(collection: bpy.types.Collection) -> None:
    """Show new objects of a take in each local view that shows its camera; Blender leaves new objects out."""
    camera = tree.find_object(collection, "camera")
    for window, _, space in _views():
        if space.local_view is None or camera is None:
            continue
        if is_in_local_view(camera, space, window.view_layer):
            _show_in(space, collection, window.view_layer)


def leave_local_views(collection: bpy.types.Collection) -> None:
    """End each local view of nothing but a take and each view through its camera: they would show nothing without it.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection, which is going to be deleted.
    """
    going = {thing.name for thing in collection.all_objects if ROLE in thing}
    cameras = [thing for thing in collection.all_objects if thing.name in going and thing.type == "CAMERA"]
    for window, area, space in _views():
        if space.use_local_camera and space.camera in cameras:
            space.use_local_camera = False
            space.region_3d.view_perspective = "PERSP"
        if space.local_view is None:
            continue
        layer = window.view_layer
        seen = {thing.name for thing in layer.objects if is_in_local_view(thing, space, layer)}
        if seen and seen <= going:
            _toggle_local_view(window, area, moves=True)


def end_empty_local_views() -> None:
    """End each local view that shows nothing, for example because an undo took the take away that it showed."""
    for window, area, space in _views():
        layer = window.view_layer
        if space.local_view is None or any(is_in_local_view(thing, space, layer) for thing in layer.objects):
            continue
        _toggle_local_view(window, area, moves=True)


def is_in_local_view(thing: bpy.types.Object, space: bpy.types.SpaceView3D, layer: bpy.types.ViewLayer) -> bool:
    """Whether a visible object is shown in the local view of a 3D view; Blender keeps that in its evaluated copy."""
    if thing.name not in layer.objects or layer.depsgraph is None:
        return False
    return thing.evaluated_get(layer.depsgraph).local_view_get(space)


def view_of(context: bpy.types.Context) -> bpy.types.Area | None:
    """The area of the 3D view in which something was pressed; the largest one of the window elsewhere."""
    if context.area is not None and context.area.type == "VIEW_3D":
        return context.area
    return next((area for _, area in _largest_views(context.scene, [context.window])), None) if context.window else None


def _views() -> Iterator[tuple[bpy.types.Window, bpy.types.Area, bpy.types.SpaceView3D]]:
    """All 3D views, with their windows and areas."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                yield window, area, area.spaces.active


def view_through(collection: bpy.types.Collection, window: bpy.types.Window) -> bpy.types.Area | None:
    """The largest 3D view of a window that looks through a take's camera; None without one."""
    areas = [one for one in window.screen.areas if one.type == "VIEW_3D"]
    found = [one for one in areas if _looks_through(one.spaces.active, collection, window.scene)]
    return max(found, key=_size, default=None)


def _looks_through(space: bpy.types.SpaceView3D, collection: bpy.types.Collection, scene: bpy.types.Scene) -> bool:
    """Whether a 3D view looks through a take's camera."""
    camera = tree.find_object(collection, "camera")
    through = space.camera if space.use_local_camera else scene.camera
    return space.region_3d.view_perspective == "CAMERA" and camera is not None and through == camera


def _size(area: bpy.types.Area) -> int:
    return area.width * area.height


def _largest_views(
    scene: bpy.types.Scene, windows: Sequence[bpy.types.Window] | None
) -> Iterator[tuple[bpy.types.Window, bpy.types.Area]]:
    for window in bpy.context.window_manager.windows if windows is None else windows:
        areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
        if window.scene == scene and areas:
            yield window, max(areas, key=_size)


def _aspect(scene: bpy.types.Scene) -> float:
    """Height of the scene's picture divided by its width."""
    render = scene.render
    return (render.resolution_y * render.pixel_aspect_y) / (render.resolution_x * render.pixel_aspect_x)


def _go_into_the_take(collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Go to the take's first frame with a hand if the current frame is none of the take or has no hand."""
    first, last = conform.scene_range(collection)
    frames, now = range(first, last + 1), scene.frame_current
    if now in frames and sticks.first_with_a_hand(collection, [now]) is not None:
        return
    found = sticks.first_with_a_hand(collection, frames)
    scene.frame_set(first if found is None else found)


def _fit_timelines(window: bpy.types.Window) -> None:
    """Show the range of the scene in the timelines of a window."""
    for area in window.screen.areas:
        if area.type != "DOPESHEET_EDITOR" or area.spaces.active.mode != "TIMELINE":
            continue
        region = next(one for one in area.regions if one.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region):
            if bpy.ops.action.view_all.poll():
                bpy.ops.action.view_all()


def _in_the_way(collection: bpy.types.Collection, hands: framing.Hands, layer: bpy.types.ViewLayer) -> list[str]:
    """Names of what hides the hands of a take: visible objects between its camera and the hands, or around them.

    The space between is the box around the pyramid of the camera's view, up to the farthest keypoint.
    """
    camera = tree.find_object(collection, "camera")
    if camera is None or not hands.depth or layer.depsgraph is None:
        return []
    to_camera = camera.matrix_world.inverted()
    data = camera.data
    side = hands.depth * framing.SENSOR_WIDTH_MM / (2 * data.lens)
    high = np.array([side, side, 0.0])
    low = np.array([-side, -side, -hands.depth])
    found = []
    for thing in layer.objects:
        is_ours = ROLE in thing and thing.name in collection.all_objects
        if is_ours or thing.type not in _SOLID or not thing.visible_get(view_layer=layer):
            continue
        seen = thing.evaluated_get(layer.depsgraph)
        corners = np.array([to_camera @ seen.matrix_world @ Vector(corner) for corner in seen.bound_box])
        if (corners.max(axis=0) >= low).all() and (corners.min(axis=0) <= high).all():
            found.append(thing.name)
    return found


def isolate(collection: bpy.types.Collection, window: bpy.types.Window, area: bpy.types.Area) -> None:
    """Start a local view of the take; the person's selection stays.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    window : bpy.types.Window
        The window.
    area : bpy.types.Area
        The area of the view.
    """
    layer, space = window.view_layer, area.spaces.active
    selected = [thing for thing in layer.objects if thing.select_get(view_layer=layer)]
    for thing in layer.objects:
        thing.select_set(ROLE in thing and thing.name in collection.all_objects, view_layer=layer)
    _toggle_local_view(window, area, moves=False)
    for thing in layer.objects:
        thing.select_set(thing in selected, view_layer=layer)
    if space.local_view is not None:
        for thing in layer.objects:
            thing.local_view_set(space, thing.name in collection.all_objects)


def _toggle_local_view(window: bpy.types.Window, area: bpy.types.Area, *, moves: bool) -> None:
    """Start a local view of the selection or end it; ``moves``: turn the view to the selection, or back."""
    region = next(one for one in area.regions if one.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.localview(frame_selected=moves)


def _show_in(space: bpy.types.SpaceView3D, collection: bpy.types.Collection, layer: bpy.types.ViewLayer) -> None:
    for thing in collection.all_objects:
        if thing.name in layer.objects:
            thing.local_view_set(space, True)
