"""Each frame shows its own picture behind the hands."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import numpy as np
import pytest
import synthetic


@pytest.fixture
def shots(addon):
    return addon("scene.shots")


def import_camera(addon, folder: Path) -> tuple[bpy.types.Camera, list[str]]:
    _, problems = addon("api").import_take(folder)
    return bpy.context.scene.camera.data, problems


def shown_pictures(data: bpy.types.Camera, frame: int) -> list[str]:
    """Names of the files that are visible behind the hands on a frame."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    evaluated = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    shown = []
    for background in evaluated.background_images:
        if background.show_background_image:
            path = background.image.filepath
            if background.image.source == "SEQUENCE":
                user = data.background_images[0].image_user
                user.frame_current = frame - user.frame_start + 1 + user.frame_offset
                path = data.background_images[0].image.filepath_from_user(image_user=user)
            shown.append(Path(bpy.path.abspath(path)).name)
    return shown


def write_pictures(
    folder: Path, names: dict[int, str], sizes: dict[int, tuple[int, int]] | None = None
) -> dict[int, str]:
    for frame, name in names.items():
        synthetic.write_png(folder / name, synthetic.picture(*(sizes or {}).get(frame, (160, 120)), seed=frame))
    return {frame: str(folder / name) for frame, name in names.items()}


def write_jpeg(path: Path, size: tuple[int, int], orientation: int) -> Path:
    """Write a photo of this stored size (width, height) with an EXIF orientation, 1 to 8."""
    image = bpy.data.images.new("phone", *size)
    image.filepath_raw, image.file_format = str(path), "JPEG"
    image.save()
    bpy.data.images.remove(image)
    stored = path.read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + b"\0" * 7
    path.write_bytes(stored[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + stored[2:])
    return path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({1: "a_001.png", 2: "a_002.png", 5: "a_005.png"}, True),
        ({9: "shot 9.png", 10: "shot 10.png"}, True),
        ({12: "v2_0012_x.png", 13: "v2_0013_x.png"}, True),
        ({1: "a_001.png"}, False),
        ({1: "a_007.png", 2: "a_008.png"}, False),
        ({1: "one.png", 2: "two.png"}, False),
        ({1: "a_001.png", 2: "b_002.png"}, False),
        ({1: "a_001.png", 2: "a_002.jpg"}, False),
        ({9: "a_9.png", 10: "a_010.png"}, False),
    ],
)
def test_numbered_sequence(shots, names: dict[int, str], expected: bool) -> None:
    assert shots.numbered_sequence({frame: f"/photos/{name}" for frame, name in names.items()}) is expected


def test_sequence(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "bilder 手", {frame: f"shot.{frame:04d}.png" for frame in range(11, 15)})
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images)
    data, problems = import_camera(addon, folder)
    assert not problems
    assert data.show_background_images and len(data.background_images) == 1
    assert data.background_images[0].image.source == "SEQUENCE"
    for frame in images:
        assert shown_pictures(data, frame) == [f"shot.{frame:04d}.png"]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("source", ["FILE", "SEQUENCE", "MOVIE"])
def test_mirror_images_are_shown_turned_back(addon, tmp_path: Path, source: str, mirrored: bool) -> None:
    names = {1: "selfie.png"} if source == "FILE" else {1: "shot_001.png", 2: "shot_002.png"}
    shown: dict = {"images": write_pictures(tmp_path, names)}
    if source == "MOVIE":
        synthetic.write_avi(tmp_path / "clip.avi", [synthetic.picture(160, 120)] * 2)
        shown = {"kind": "video", "files": [str(tmp_path / "clip.avi")]}
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(names, ("left",)), mirrored=mirrored, **shown)
    data, _ = import_camera(addon, folder)
    assert [background.use_flip_x for background in data.background_images] == [mirrored]
    assert [background.image.source for background in data.background_images] == [source]


def test_unrelated_photos(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png", 3: "carla.png"})
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images)
    data, problems = import_camera(addon, folder)
    assert not problems
    for frame, name in {1: "anna.png", 2: "berta.png", 3: "carla.png"}.items():
        assert shown_pictures(data, frame) == [name]
    assert shown_pictures(data, 9) == []


def test_one_photo_stays(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png"})
    data, _ = import_camera(addon, synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images))
    assert shown_pictures(data, 1) == shown_pictures(data, 7) == ["anna.png"]


def test_photos_of_different_sizes_are_fitted(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "a_1.png", 2: "a_2.png"}, {2: (60, 90)})
    second = synthetic.camera(60, 90)
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)}, images=images, cameras={2: second})
    data, _ = import_camera(addon, folder)
    assert [background.frame_method for background in data.background_images] == ["STRETCH", "FIT"]
    assert shown_pictures(data, 2) == ["a_2.png"]


def test_missing_photos_are_named(addon, tmp_path: Path) -> None:
    images = {1: str(tmp_path / "gone.png"), 2: str(tmp_path / "lost.png")}
    data, problems = import_camera(addon, synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ()}, images=images))
    assert len(problems) == 1 and "gone.png and 1 more" in problems[0]
    assert not data.show_background_images


def test_importing_again_keeps_one_picture(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png"})
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)}, images=images)
    for _ in range(2):
        data, _ = import_camera(addon, folder)
    assert len(data.background_images) == 2
    assert len(bpy.data.images) == 2


def test_importing_again_shows_what_the_file_has_now(addon, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "photo.png"})
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images)
    before = list(import_camera(addon, folder)[0].background_images[0].image.pixels)
    synthetic.write_png(tmp_path / "photo.png", synthetic.picture(160, 120, seed=2))
    assert list(import_camera(addon, folder)[0].background_images[0].image.pixels) != before


def test_clip(addon, tmp_path: Path) -> None:
    clip = tmp_path / "clip Ü.avi"
    synthetic.write_avi(clip, [np.full((48, 64, 3), 20 * frame, np.uint8) for frame in range(1, 9)])
    cam = synthetic.camera(64, 48)
    folder = synthetic.write_take(
        tmp_path / "take", {4: ("left",), 6: ("left",)}, cam=cam, kind="video", files=[str(clip)]
    )
    data, problems = import_camera(addon, folder)
    assert not problems
    (background,) = data.background_images
    assert background.image.source == "MOVIE"
    user = background.image_user
    assert (user.frame_start, user.frame_offset, user.frame_duration) == (1, 0, 8)
    read = addon("scene.picture").load_clip_frame
    for frame in (1, 4, 8):
        assert read(clip, frame, (64, 48))[20, 20, 0] == pytest.approx(20 * frame / 255, abs=0.02)


def test_a_clip_that_is_gone(addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, kind="video", files=[str(tmp_path / "no.mp4")])
    _, problems = import_camera(addon, folder)
    assert len(problems) == 1 and "no.mp4" in problems[0]


def test_photo_stored_on_its_side(addon, tmp_path: Path) -> None:
    """EXIF says: rotate clockwise. The stored picture is 120 x 90; the upright one, used by the take, is 90 x 120."""
    path = write_jpeg(tmp_path / "phone.jpg", (120, 90), 6)
    cam = synthetic.camera(90, 120)
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, cam=cam, images={1: str(path)})
    data, problems = import_camera(addon, folder)
    assert not problems
    (background,) = data.background_images
    assert background.rotation == pytest.approx(math.pi / 2)  # clockwise
    # Blender fits the stored picture into the frame (90 wide, so 67.5 high), then rotates and scales it.
    assert background.scale == pytest.approx(120 / 90)
    assert addon("scene.picture").load_picture(path, addon("take.photo_orientation").read_turn(path)).shape == (
        120,
        90,
        4,
    )
