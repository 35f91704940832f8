"""What Blender shows of an image on a frame, rendered, because only drawing and rendering follow an image user."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np


def pixels_on(image: bpy.types.Image, user: bpy.types.ImageUser, frame: int, folder: Path) -> np.ndarray:
    """Render an image as its user shows it on a frame, upright as stored.

    Parameters
    ----------
    image : bpy.types.Image
        The image.
    user : bpy.types.ImageUser
        Its user: of a background image, or of an image empty.
    frame : int
        The scene frame.
    folder : Path
        A folder for temporary files.

    Returns
    -------
    (H, W, 3) float
        sRGB values, 0 to 1; the first row is the top.
    """
    width, height = size_on(image, user, frame)
    scene = bpy.data.scenes.new("shown")
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", 0.01
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.dither_intensity = 0.0
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    plane = _plane(image, user, height / width)
    camera = bpy.data.objects.new("shown", bpy.data.cameras.new("shown"))
    camera.data.type, camera.data.ortho_scale, camera.location = "ORTHO", max(1.0, height / width), (0.0, 0.0, 1.0)
    for thing in (plane, camera):
        scene.collection.objects.link(thing)
    scene.camera = camera
    scene.frame_set(frame)
    bpy.context.scene.frame_set(frame)  # every scene is rendered at the frame of the window's scene
    scene.render.filepath = str(folder / "shown.png")
    bpy.ops.render.render(write_still=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    return read(folder / "shown.png")


def read(path: Path) -> np.ndarray:
    """Read a picture file as (H, W, 3) float, 0 to 1; the first row is the top."""
    image = bpy.data.images.load(str(path), check_existing=False)
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1, :, :3]


def size_on(image: bpy.types.Image, user: bpy.types.ImageUser, frame: int) -> tuple[int, int]:
    """Width and height of the stored picture on a frame."""
    if image.source != "SEQUENCE":
        return tuple(image.size)
    user.frame_current = frame - user.frame_start + 1 + user.frame_offset
    height, width = read(Path(bpy.path.abspath(image.filepath_from_user(image_user=user)))).shape[:2]
    return width, height


def _plane(image: bpy.types.Image, user: bpy.types.ImageUser, aspect: float) -> bpy.types.Object:
    """A plane of width 1 that emits the image."""
    mesh = bpy.data.meshes.new("shown")
    corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    mesh.from_pydata([(x, y * aspect, 0.0) for x, y in corners], [], [(0, 1, 2, 3)])
    for place, (x, y) in zip(mesh.uv_layers.new().data, corners, strict=True):
        place.uv = x + 0.5, y + 0.5
    material = bpy.data.materials.new("shown")
    if material.node_tree is None:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    texture, emission, output = (nodes.new(f"ShaderNode{name}") for name in ("TexImage", "Emission", "OutputMaterial"))
    texture.image, texture.interpolation = image, "Closest"
    for name in ("frame_start", "frame_duration", "frame_offset", "use_auto_refresh", "use_cyclic"):
        setattr(texture.image_user, name, getattr(user, name))
    material.node_tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    material.node_tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    mesh.materials.append(material)
    return bpy.data.objects.new("shown", mesh)
