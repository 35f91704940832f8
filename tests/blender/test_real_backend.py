"""A real photo, reconstructed by the real backend through the operator and through the function."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import bpy
import extension_zip
import numpy as np
import pytest
import silhouette
import synthetic
from test_camera import evaluated_silhouette
from test_import import described, in_blender, world_vertices

from conftest import MODULE

PHOTOS = extension_zip.ROOT / "backend" / "im2hands" / "assets" / "photos"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the bundled photos, at a path with unusual characters."""
    photo = sorted(PHOTOS.glob("*.jpg"))[0]
    folder = tmp_path_factory.mktemp("Fotos mit Händen 手")
    return Path(shutil.copy(photo, folder / "beide Hände 双手.jpg"))


def test_photo_to_scene(addon, real_backend: str, picture: Path, tmp_path: Path) -> None:
    progress, deadline = [], time.monotonic() + 240

    def watch(running) -> None:
        progress.append(running.job.progress.phase)
        assert time.monotonic() < deadline, f"stuck: {running.job.state}, {running.job.progress}"

    result = addon("api").reconstruct(
        picture,
        tmp_path / "Aufnahme 手",
        backend=real_backend,
        voxel_mm=4.0,
        on_poll=watch,
    )
    assert result.exit_code == 0
    assert {"keypoints", "surfaces"} & set(progress)
    take = addon("take.reader").read_take(result.take)
    (record,) = take.records.values()
    assert record.confidence, "no hand was found in the bundled photo"
    scene = bpy.context.scene
    api, direct = addon("api"), described(result.collection)
    assert api.has_clean_hands(result.collection), "no clean hands were made"
    api.show_surfaces(result.collection)
    api.show_hands(result.collection, False)
    scene.frame_set(record.index)
    camera = {name: getattr(take.camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    covered = np.zeros((camera["height"], camera["width"]), bool)
    for side, hand in take.read_hands(record.index).items():
        thing = result.collection.all_objects[f"Surface.{side[0].upper()} {record.index:04d}"]
        np.testing.assert_allclose(world_vertices(thing), in_blender(hand.vertices), atol=1e-6)
        pixels = synthetic.project(hand.vertices, camera)
        covered |= silhouette.fill(pixels, hand.faces, camera["width"], camera["height"])
    assert silhouette.iou(evaluated_silhouette(), covered) >= 0.97
    api.show_surfaces(result.collection, False)
    api.show_hands(result.collection)
    assert silhouette.iou(evaluated_silhouette(), covered) >= 0.9, "the rigged hands are where the surfaces are"

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.preferences.addons[MODULE].preferences.backend = real_backend
    settings = scene_settings(picture, tmp_path / "operator" / "Aufnahme 手")
    settings.voxel_mm = 4.0
    assert bpy.ops.im2hands.reconstruct() == {"FINISHED"}
    assert described(bpy.data.collections["Aufnahme 手"]) == direct


def scene_settings(source: Path, output: Path):
    settings = bpy.context.scene.im2hands
    settings.source, settings.output = str(source), str(output)
    return settings


def test_something_that_is_no_picture(addon, real_backend: str, tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("not a picture")
    with pytest.raises(addon("errors").AddonError) as caught:
        addon("api").reconstruct(path, tmp_path / "take", backend=real_backend)
    assert caught.value.exit_code in (1, 2) and "text.jpg" in str(caught.value)
    assert "Traceback" not in str(caught.value)
