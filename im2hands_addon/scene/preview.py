"""A picture of the hands over the photograph, for a look without opening Blender.

Rendered with Cycles on the CPU in a scene of its own, so that it works without a display and leaves the person's scene alone.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import bpy
import numpy as np

from ..errors import InputError
from ..photo_orientation import read_turn
from ..take_reader import read_take
from . import tree
from .ownership import TAKE, role_of
from .picture import fit, load_clip_frame, load_picture, save_picture

_SAMPLES = 48
# Lights in the camera's frame: position in metres, size in metres, power in watts, colour.
_LIGHTS = (
    ((-0.55, 0.65, 0.25), 0.5, 14.0, (1.0, 0.95, 0.88)),
    ((0.75, 0.10, 0.10), 0.8, 4.5, (0.82, 0.90, 1.0)),
    ((0.10, 0.55, -1.30), 0.4, 10.0, (1.0, 1.0, 1.0)),
)
_WORLD = 0.35
_OUTLINE = 0.55
_NO_PICTURE = 0.18


def render_overlay(
    scene: bpy.types.Scene | None = None,
    frame: int | None = None,
    path: str | Path = "//hands.png",
    *,
    collection: bpy.types.Collection | None = None,
    opacity: float = 0.92,
    beside: bool = True,
    samples: int = _SAMPLES,
) -> Path:
    """Render one frame's hands as the take's camera sees them, over the photo, and write a PNG.

    Args:
        scene: None for the context's. frame: None for the scene's current one. path: the PNG.
        collection: the take's collection; None for the first take in ``scene``.
        opacity: of the hands, 0 to 1. beside: whether to put the plain photo to the left. samples: Cycles samples.

    Returns:
        The PNG's absolute path.

    Raises:
        InputError: there is no take in the scene, or the PNG cannot be written.
    """
    scene = scene or bpy.context.scene
    frame = scene.frame_current if frame is None else frame
    collection = collection or next(iter(tree.take_collections(scene)), None)
    if collection is None:
        raise InputError("There is no take in this scene.", "Import one first.")
    size = scene.render.resolution_x, scene.render.resolution_y
    photo = _photo(collection, frame, size)
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
    """The hands of ``frame`` alone, from the take's camera, at the size of ``scene``'s render.

    Returns:
        (H, W, 4) float32, sRGB values 0 to 1, alpha not multiplied in, top row first.
    """
    stage = _make_stage(scene, collection, samples)
    try:
        with tempfile.TemporaryDirectory(prefix="im2hands-") as folder:
            stage.render.filepath = str(Path(folder) / "hands.png")
            stage.frame_set(frame)
            bpy.ops.render.render(write_still=True, scene=stage.name)
            return load_picture(stage.render.filepath)
    finally:
        _remove_stage(stage)


def _make_stage(scene: bpy.types.Scene, collection: bpy.types.Collection, samples: int) -> bpy.types.Scene:
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
    render.use_file_extension = False
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGBA"
    render.image_settings.color_depth = "8"
    stage.view_settings.view_transform = "Standard"
    stage.world = bpy.data.worlds.new("Im2Hands Preview")
    stage.world.color = (_WORLD,) * 3
    if stage.world.node_tree is None:
        stage.world.use_nodes = True
    background = next((node for node in stage.world.node_tree.nodes if node.type == "BACKGROUND"), None)
    if background is not None:
        background.inputs["Strength"].default_value = _WORLD
        background.inputs["Color"].default_value = (0.9, 0.95, 1.0, 1.0)
    for position, size, power, color in _LIGHTS:
        data = bpy.data.lights.new("Im2Hands Preview", "AREA")
        data.size, data.energy, data.color = size, power, color
        light = bpy.data.objects.new("Im2Hands Preview", data)
        light.parent = camera
        light.location = position
        light.rotation_euler = _towards(position, (0.0, 0.0, -0.6))
        stage.collection.objects.link(light)
    return stage


def _towards(position: tuple[float, float, float], target: tuple[float, float, float]) -> tuple[float, float, float]:
    """XYZ Euler angles that let a light at ``position`` (it shines along its -z) shine at ``target``."""
    x, y, z = (b - a for a, b in zip(position, target, strict=True))
    return math.acos(-z / math.sqrt(x * x + y * y + z * z)), 0.0, math.atan2(y, x) - math.pi / 2


def _remove_stage(stage: bpy.types.Scene) -> None:
    lights = [thing for thing in stage.collection.objects if role_of(thing) == ""]
    data = [thing.data for thing in lights]
    world = stage.world
    bpy.data.batch_remove(lights)
    bpy.data.batch_remove(data)
    bpy.data.scenes.remove(stage)
    bpy.data.worlds.remove(world)


def _photo(collection: bpy.types.Collection, frame: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32: the picture behind the hands at ``frame``, grey where there is none."""
    blank = np.full((size[1], size[0], 3), _NO_PICTURE, dtype=np.float32)
    try:
        take = read_take(collection[TAKE])
        if take.kind == "video" and take.files:
            return fit(load_clip_frame(take.files[0], frame, size)[..., :3], size, blank)
        held = [record.image for record in take.records.values() if record.index <= frame < record.index + take.step]
        if held and held[0]:
            return fit(load_picture(held[0], read_turn(held[0]))[..., :3], size, blank)
    except InputError:  # the take or the photo was moved away: the hands are still worth a picture
        return blank
    return blank


def _over(hands: np.ndarray, photo: np.ndarray, opacity: float) -> np.ndarray:
    """Lay the hands over the photo, with a soft dark outline that sets them off."""
    alpha = hands[..., 3:]
    shade = np.clip(_blurred(alpha, 3) - alpha, 0.0, 1.0) * _OUTLINE
    ground = photo * (1.0 - shade)
    return ground * (1.0 - alpha * opacity) + hands[..., :3] * alpha * opacity


def _blurred(values: np.ndarray, radius: int) -> np.ndarray:
    """A box blur of (H, W, 1), edges repeated."""
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
