"""Renders a preview picture: the hands over the photograph.

Cycles renders on the CPU, so no display is needed. The render has a scene of its own, so the person's scene stays
unchanged.
"""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import numpy as np

from ..errors import InputError
from ..take.reader import read_take
from . import clean, conform, tree
from .blender_versions import ensure_node_tree
from .ownership import TAKE, role_of
from .picture import at_frame, fit, render_still, save_picture
from .shots import read_shown
from .surfaces import SurfaceLoading

_SAMPLES = 48
# Area lights for hands at _LIT_DISTANCE, in the frame of Blender's camera: position in metres, size in metres, power in
# watts, colour.
_LIGHTS = (
    ((-0.70, 0.55, -0.05), 0.35, 9.5, (1.0, 0.95, 0.88)),
    ((0.80, 0.00, -0.15), 0.60, 4.0, (0.80, 0.89, 1.0)),
    ((0.35, 0.60, -1.30), 0.40, 6.0, (1.0, 1.0, 1.0)),
)
_LIT_DISTANCE = 0.6  # metres from the camera
_WORLD = 0.16  # strength of the background light
_OUTLINE = 0.55  # opacity of the dark outline, 0 to 1
_NO_PICTURE = 0.18  # grey value where there is no photo


def render_overlay(
    path: str | Path,
    *,
    scene: bpy.types.Scene | None = None,
    frame: int | None = None,
    collection: bpy.types.Collection | None = None,
    opacity: float = 0.92,
    beside: bool = False,
    samples: int = _SAMPLES,
) -> Path:
    """Render the hands of one frame over the photo, through the take's camera, and write a PNG.

    Parameters
    ----------
    path : str or Path
        The PNG.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.
    frame : int, optional
        The scene frame; None for the scene's current frame.
    collection : bpy.types.Collection, optional
        The take's collection; None for the first take in the scene.
    opacity : float
        Opacity of the hands, 0 to 1.
    beside : bool
        Whether to add the photo without hands on the left.
    samples : int
        Cycles samples per pixel.

    Returns
    -------
    Path
        The PNG's absolute path.

    Raises
    ------
    InputError
        There is no take in the scene, or the PNG cannot be written.
    TakeError
        The frame's surface is on disk, and the take cannot be read.
    """
    scene = scene or bpy.context.scene
    frame = scene.frame_current if frame is None else frame
    collection = collection or next(iter(tree.take_collections(scene)), None)
    if collection is None:
        raise InputError("There is no take in this scene.", "Import one first.")
    if not clean.rigs(collection):
        # Its surface may still be on disk. The import told of frames that cannot be read; they show the photo alone.
        SurfaceLoading(collection, (frame, frame)).step()
    size = scene.render.resolution_x, scene.render.resolution_y
    photo = _photo(collection, conform.to_take(collection, frame), size)
    hands = render_hands(scene, frame, collection, samples)
    picture = _over(hands, photo, opacity)
    if beside:
        picture = np.concatenate([photo, picture], axis=1)
    target = Path(bpy.path.abspath(str(path))).absolute()
    save_picture(target, picture)
    return target


def render_hands(
    scene: bpy.types.Scene, frame: int, collection: bpy.types.Collection, samples: int = _SAMPLES
) -> np.ndarray:
    """Render the hands of one frame without the photo, through the take's camera.

    Parameters
    ----------
    scene : bpy.types.Scene
        The scene; its render size is used.
    frame : int
        The scene frame.
    collection : bpy.types.Collection
        The take's collection.
    samples : int
        Cycles samples per pixel.

    Returns
    -------
    (H, W, 4) float32
        sRGB values and straight alpha, 0 to 1; the first row is the top.
    """
    with at_frame(frame, scene):
        stage = _make_stage(scene, collection, samples)
        try:
            return render_still(stage, frame)
        finally:
            _remove_stage(stage)


def _make_stage(scene: bpy.types.Scene, collection: bpy.types.Collection, samples: int) -> bpy.types.Scene:
    """A scene with the take, lights and a world, for Cycles."""
    stage = bpy.data.scenes.new("Im2Hands Preview")
    stage.collection.children.link(collection)
    camera = tree.find_object(collection, "camera")
    stage.camera = camera
    render = stage.render
    render.engine = "CYCLES"
    stage.cycles.device = "CPU"
    stage.cycles.samples = samples
    stage.cycles.use_denoising = False
    stage.cycles.max_bounces = 3
    for name in ("resolution_x", "resolution_y", "pixel_aspect_x", "pixel_aspect_y"):
        setattr(render, name, getattr(scene.render, name))
    render.resolution_percentage = 100
    render.film_transparent = True
    stage.world = bpy.data.worlds.new("Im2Hands Preview")
    stage.world.color = (_WORLD,) * 3
    background = next((node for node in ensure_node_tree(stage.world).nodes if node.type == "BACKGROUND"), None)
    if background is not None:
        background.inputs["Strength"].default_value = _WORLD
        background.inputs["Color"].default_value = (0.9, 0.95, 1.0, 1.0)
    _add_lights(stage, camera, _distance(collection) / _LIT_DISTANCE)
    return stage


def _add_lights(stage: bpy.types.Scene, camera: bpy.types.Object, scale: float) -> None:
    """Add the lights. For hands ``scale`` times farther than _LIT_DISTANCE the lights are scaled; brightness stays."""
    for position, size, power, color in _LIGHTS:
        data = bpy.data.lights.new("Im2Hands Preview", "AREA")
        data.size, data.energy, data.color = size * scale, power * scale**2, color
        light = bpy.data.objects.new("Im2Hands Preview", data)
        light.parent = camera
        light.location = [scale * value for value in position]
        light.rotation_euler = _towards(position, (0.0, 0.0, -_LIT_DISTANCE))
        stage.collection.objects.link(light)


def _distance(collection: bpy.types.Collection) -> float:
    """Mean distance of the visible hands from the camera, metres; _LIT_DISTANCE without hands."""
    shown = [one for one in collection.all_objects if not one.hide_render]
    depths = [-one.location.z for one in shown if role_of(one) == "surface"]
    rigged = [one.parent for one in shown if role_of(one) == "hand" and role_of(one.parent or one) == "rig"]
    depths += [-rig.pose.bones[0].matrix.translation.z for rig in rigged]
    return max(0.05, sum(depths) / len(depths)) if depths else _LIT_DISTANCE


def _towards(position: tuple[float, float, float], target: tuple[float, float, float]) -> tuple[float, float, float]:
    """XYZ Euler angles that point a light at ``position`` (it shines along its -z axis) at ``target``."""
    x, y, z = (b - a for a, b in zip(position, target, strict=True))
    return math.acos(-z / math.sqrt(x * x + y * y + z * z)), 0.0, math.atan2(y, x) - math.pi / 2


def _remove_stage(stage: bpy.types.Scene) -> None:
    """Delete the scene with its lights and its world; the take stays."""
    lights = [thing for thing in stage.collection.objects if role_of(thing) == ""]
    data = [thing.data for thing in lights]
    world = stage.world
    bpy.data.batch_remove(lights)
    bpy.data.batch_remove(data)
    bpy.data.scenes.remove(stage)
    bpy.data.worlds.remove(world)


def _photo(collection: bpy.types.Collection, frame: int, size: tuple[int, int]) -> np.ndarray:
    """The photo of the frame, (H, W, 3) float32; grey where there is none. ``size`` is (W, H) in pixels."""
    blank = np.full((size[1], size[0], 3), _NO_PICTURE, dtype=np.float32)
    try:
        take = read_take(collection[TAKE])
        shown = read_shown(take, frame)
    except InputError:  # the take or the photo is missing; the hands are still rendered
        return blank
    return blank if shown is None else fit(shown[..., :3], size, blank)


def _over(hands: np.ndarray, photo: np.ndarray, opacity: float) -> np.ndarray:
    """Composite the hands (H, W, 4) over the photo (H, W, 3), with a soft dark outline around them."""
    alpha = hands[..., 3:]
    shade = np.clip(_blurred(alpha, 3) - alpha, 0.0, 1.0) * _OUTLINE
    ground = photo * (1.0 - shade)
    return ground * (1.0 - alpha * opacity) + hands[..., :3] * alpha * opacity


def _blurred(values: np.ndarray, radius: int) -> np.ndarray:
    """A box blur of an array (H, W, 1); edge values are repeated."""
    for axis in (0, 1):
        padded = np.pad(values, [(radius, radius) if one == axis else (0, 0) for one in range(3)], mode="edge")
        total = np.cumsum(
            np.concatenate([np.zeros_like(np.take(padded, [0], axis)), padded], axis), axis, dtype=np.float64
        )
        width = 2 * radius + 1
        count = values.shape[axis]
        upper = np.take(total, np.arange(width, width + count), axis)
        lower = np.take(total, np.arange(count), axis)
        values = ((upper - lower) / width).astype(np.float32)
    return values
