"""The camera's view matches the picture: points project to their pixels, and silhouettes are equal."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
import silhouette
import synthetic
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

CAMERAS = {
    "centred": synthetic.camera(160, 120),
    "upright": synthetic.camera(90, 160),
    "off centre": synthetic.camera(160, 120, cx=60.0, cy=71.5),
    "wide pixels": synthetic.camera(160, 120, fx=150.0, fy=210.0, cx=90.0, cy=50.0),
    "tall pixels": synthetic.camera(120, 160, fx=210.0, fy=160.0, cx=50.0, cy=90.0),
}


def blender_pixels(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Project world points (N, 3) to pixels of the scene's camera with Blender's function; pixel centres are whole."""
    scene = bpy.context.scene
    views = [world_to_camera_view(scene, scene.camera, Vector(point)) for point in points]
    return np.array([(view.x * width - 0.5, (1 - view.y) * height - 0.5) for view in views])


def evaluated_silhouette() -> np.ndarray:
    """The silhouette (H, W) bool of the evaluated scene."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 16
    scene.cycles.filter_width = 0.01
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(Path(bpy.app.tempdir) / "silhouette.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[::-1, :, 3] > 0.5


def projected_silhouette(folder: Path, frame: int, camera: dict) -> np.ndarray:
    arrays = np.load(folder / f"frames/{frame:06d}.npz")
    mask = np.zeros((camera["height"], camera["width"]), bool)
    for side in ("left", "right"):
        if f"{side}_vertices" in arrays:
            pixels = synthetic.project(arrays[f"{side}_vertices"], camera)
            mask |= silhouette.fill(pixels, arrays[f"{side}_faces"], camera["width"], camera["height"])
    return mask


def test_there_and_back(addon) -> None:
    to_blender = addon("scene.camera").to_blender
    points = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(to_blender(to_blender(points)), points)
    np.testing.assert_array_equal(to_blender(np.array([1.0, 2.0, 3.0])), [1.0, -2.0, -3.0])
    assert to_blender(points.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", CAMERAS)
def test_projection_round_trip(addon, tmp_path: Path, name: str) -> None:
    camera = CAMERAS[name]
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right")}, cam=camera)
    addon("api").import_take(folder)
    bpy.context.scene.frame_set(1)
    rng = np.random.default_rng(1)
    pixels = rng.uniform((0, 0), (camera["width"], camera["height"]), size=(40, 2))
    depth = rng.uniform(0.2, 2.0, size=(40, 1))
    points = np.hstack([(pixels - (camera["cx"], camera["cy"])) / (camera["fx"], camera["fy"]) * depth, depth])
    origin = np.array(next(one for one in bpy.data.objects if one.name.endswith("Origin")).matrix_world)
    world = addon("scene.camera").to_blender(points) @ origin[:3, :3].T + origin[:3, 3]
    seen = blender_pixels(world, camera["width"], camera["height"])
    np.testing.assert_allclose(seen, pixels, atol=2e-3)


def test_the_camera_looks_level(addon, tmp_path: Path) -> None:
    addon("api").import_take(synthetic.write_take(tmp_path / "take", {1: ("left",)}))
    bpy.context.view_layer.update()
    matrix = bpy.context.scene.camera.matrix_world.to_3x3()
    np.testing.assert_allclose(matrix @ Vector((0, 0, -1)), (0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(matrix @ Vector((0, 1, 0)), (0, 0, 1), atol=1e-6)


@pytest.mark.parametrize("name", CAMERAS)
def test_silhouette(addon, tmp_path: Path, name: str) -> None:
    camera = CAMERAS[name]
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("right",)}, cam=camera)
    addon("api").import_take(folder)
    for frame in (1, 2):
        bpy.context.scene.frame_set(frame)
        rendered, wanted = evaluated_silhouette(), projected_silhouette(folder, frame, camera)
        assert wanted.sum() > 300
        assert silhouette.iou(rendered, wanted) >= 0.97
    other = projected_silhouette(folder, 1, camera)
    assert silhouette.iou(rendered, other) < 0.8, "the comparison can fail"


def test_photos_of_different_sizes(addon, tmp_path: Path) -> None:
    """A photo of another size is shown as large as fits, and the camera's keys follow it."""
    first, second = synthetic.camera(160, 120), synthetic.camera(90, 150, cx=50.0, cy=70.0)
    frames = {1: ("left", "right"), 2: ("left", "right")}
    folder = synthetic.write_take(tmp_path / "take", frames, cam=first, cameras={2: second})
    addon("api").import_take(folder)
    bpy.context.scene.frame_set(1)
    assert silhouette.iou(evaluated_silhouette(), projected_silhouette(folder, 1, first)) >= 0.97
    scale, left = 120 / 150, (160 - 90 * 120 / 150) / 2
    fitted = synthetic.camera(
        160, 120, fx=second["fx"] * scale, fy=second["fy"] * scale,
        cx=(second["cx"] + 0.5) * scale - 0.5 + left, cy=(second["cy"] + 0.5) * scale - 0.5,
    )  # fmt: skip
    bpy.context.scene.frame_set(2)
    assert silhouette.iou(evaluated_silhouette(), projected_silhouette(folder, 2, fitted)) >= 0.97
