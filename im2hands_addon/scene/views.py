"""Shows a take in the 3D views: through its camera, over its footage, and not inside the default cube."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import bpy

from . import tree
from .ownership import ROLE
from .scene_settings import is_factory_object

_ALONE = (
    "The view shows the take alone, because the default cube lies around the hands. "
    "View > Local View > Toggle Local View shows everything."
)


def look_through(
    collection: bpy.types.Collection, scene: bpy.types.Scene, windows: Sequence[bpy.types.Window] | None = None
) -> list[str]:
    """Look through a take's camera in the largest 3D view of each window that shows its scene.

    Nothing of the person's is hidden. Only where the untouched cube of a new scene lies around the hands, the view
    shows the take alone (local view).

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
    camera = tree.find_object(collection, "camera")
    if camera is None:
        return []
    told = []
    for window, area in _largest_views(scene, windows):
        space = area.spaces.active
        # The local view first: it keeps the view before, and Toggle Local View gives that back.
        if space.local_view is None and any(_is_in_the_way(thing, window.view_layer) for thing in scene.objects):
            _isolate(collection, window, area)
            told = [_ALONE]
        elif space.local_view is not None:
            _show_in(space, collection, window.view_layer)
        if scene.camera != camera:
            space.use_local_camera = True
        if space.use_local_camera:
            space.camera = camera
        space.region_3d.view_perspective = "CAMERA"
    return told


def keep_in_local_views(collection: bpy.types.Collection) -> None:
    """Show new objects of a take in each local view that shows its camera; Blender leaves new objects out."""
    camera = tree.find_object(collection, "camera")
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            space = area.spaces.active if area.type == "VIEW_3D" else None
            if space is None or space.local_view is None or camera is None:
                continue
            if is_in_local_view(camera, space, window.view_layer):
                _show_in(space, collection, window.view_layer)


def leave_local_views(collection: bpy.types.Collection) -> None:
    """End each local view that shows nothing but a take; without the take it would be an empty view of nothing.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection, which is going to be deleted.
    """
    going = {thing.name for thing in collection.all_objects if ROLE in thing}
    for window in bpy.context.window_manager.windows:
        layer = window.view_layer
        for area in window.screen.areas:
            space = area.spaces.active if area.type == "VIEW_3D" else None
            if space is None or space.local_view is None:
                continue
            seen = {thing.name for thing in layer.objects if is_in_local_view(thing, space, layer)}
            if seen and seen <= going:
                _toggle_local_view(window, area, moves=True)


def is_in_local_view(thing: bpy.types.Object, space: bpy.types.SpaceView3D, layer: bpy.types.ViewLayer) -> bool:
    """Whether a visible object is shown in the local view of a 3D view; Blender keeps that in its evaluated copy."""
    if thing.name not in layer.objects or layer.depsgraph is None:
        return False
    return thing.evaluated_get(layer.depsgraph).local_view_get(space)


def _largest_views(
    scene: bpy.types.Scene, windows: Sequence[bpy.types.Window] | None
) -> Iterator[tuple[bpy.types.Window, bpy.types.Area]]:
    for window in bpy.context.window_manager.windows if windows is None else windows:
        areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
        if window.scene == scene and areas:
            yield window, max(areas, key=lambda area: area.width * area.height)


def _is_in_the_way(thing: bpy.types.Object, layer: bpy.types.ViewLayer) -> bool:
    """Whether an object is the untouched cube of a new scene, and visible."""
    return thing.type == "MESH" and is_factory_object(thing) and thing.visible_get(view_layer=layer)


def _isolate(collection: bpy.types.Collection, window: bpy.types.Window, area: bpy.types.Area) -> None:
    """Start a local view of the take; the person's selection stays."""
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
