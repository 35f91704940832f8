"""The lens of the scene's camera and of a movie clip, as intrinsics of a picture and as a camera file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import bpy

from ..errors import InputError

Intrinsics = dict[str, float]
"""fx, fy, cx, cy, width, height in pixels; the centre of the first pixel is 0."""


def of_camera(scene: bpy.types.Scene, camera: bpy.types.Object, graph: bpy.types.Depsgraph) -> Intrinsics | None:
    """Return the intrinsics of a camera for the scene's render size.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene.
    camera : bpy.types.Object
        The evaluated camera.
    graph : bpy.types.Depsgraph
        The evaluated dependency graph.

    Returns
    -------
    dict or None
        None if the object is no perspective camera.
    """
    if camera.type != "CAMERA" or camera.data.type != "PERSP":
        return None
    render = scene.render
    width, height = (
        max(1, round(side * render.resolution_percentage / 100)) for side in (render.resolution_x, render.resolution_y)
    )
    matrix = camera.calc_matrix_camera(
        graph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
    )
    return {
        "fx": round(matrix[0][0] * width / 2, 6), "fy": round(matrix[1][1] * height / 2, 6),
        "cx": round((1 - matrix[0][2]) * width / 2 - 0.5, 6), "cy": round((1 + matrix[1][2]) * height / 2 - 0.5, 6),
        "width": width, "height": height,
    }  # fmt: skip


def of_scene(scene: bpy.types.Scene) -> Intrinsics:
    """Return the intrinsics of a scene's camera, as it is on the current frame.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene. Its render size must have the proportions of the picture.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        The scene has no camera, or one that is not a perspective camera.
    """
    if scene.camera is None:
        raise InputError("The scene has no camera.", "Add one, or choose another source of the focal length.")
    graph = bpy.context.evaluated_depsgraph_get()
    found = of_camera(scene, scene.camera.evaluated_get(graph), graph)
    if found is None:
        raise InputError(
            f"{scene.camera.name} is not a perspective camera.", "Change its type, or choose another focal length."
        )
    return found


def of_clip(clip: bpy.types.MovieClip | None) -> Intrinsics:
    """Return the intrinsics of a movie clip's tracking camera. Its lens distortion is left out.

    Parameters
    ----------
    clip : bpy.types.MovieClip or None
        The clip.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        There is no clip, or its file cannot be read.
    """
    if clip is None:
        raise InputError("No movie clip is chosen.", "Choose one, or another source of the focal length.")
    width, height = clip.size
    if not (width and height):
        raise InputError(f"The movie clip {clip.name} cannot be read.", "Check its file.")
    camera = clip.tracking.camera
    # Blender counts from the lower left corner. Pixels that are not square become so by another height.
    across, up = camera.principal_point_pixels
    tall = 1.0 / camera.pixel_aspect
    return {
        "fx": camera.focal_length_pixels, "fy": camera.focal_length_pixels,
        "cx": across - 0.5, "cy": (height - up) * tall - 0.5, "width": width, "height": round(height * tall),
    }  # fmt: skip


def write_file(intrinsics: Intrinsics) -> Path:
    """Write intrinsics as a camera file into Blender's folder for this session, and return its path."""
    with tempfile.NamedTemporaryFile(
        "w", dir=bpy.app.tempdir, prefix="lens-", suffix=".json", delete=False, encoding="utf-8"
    ) as file:
        json.dump(intrinsics, file)
    return Path(file.name)
