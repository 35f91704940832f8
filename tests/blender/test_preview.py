"""The preview picture of the hands over the photo."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
import silhouette
import synthetic


@pytest.fixture
def load(addon):
    return lambda path: addon("scene.picture").load_picture(path)[..., :3]


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    for axis in (0, 1):
        mask = np.any([np.roll(mask, shift, axis) for shift in range(-pixels, pixels + 1)], axis=0)
    return mask


def counts() -> dict[str, int]:
    """Counts of all data-blocks except Blender's own render result."""
    images = [image for image in bpy.data.images if image.type != "RENDER_RESULT"]
    return {
        "images": len(images),
        **{kind: len(getattr(bpy.data, kind)) for kind in ("scenes", "objects", "lights", "worlds")},
    }


def test_hands_lie_over_the_photo(addon, load, tmp_path: Path) -> None:
    api, camera = addon("api"), synthetic.camera(160, 120)
    photos = {frame: str(tmp_path / f"photo {frame} ü.png") for frame in (1, 2)}
    for frame, path in photos.items():
        synthetic.write_png(Path(path), synthetic.picture(160, 120, seed=frame))
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("right",)}, cam=camera, images=photos)
    api.import_take(folder)
    scene = bpy.context.scene
    before = counts()
    for frame in (2, 1):
        path = api.render_overlay(tmp_path / "out" / f"{frame}.png", frame=frame, samples=4)
        picture, photo = load(path), load(photos[frame])
        arrays = np.load(folder / f"frames/{frame:06d}.npz")
        covered = np.zeros((120, 160), bool)
        for side in ("left", "right"):
            if f"{side}_faces" in arrays:
                pixels = synthetic.project(arrays[f"{side}_vertices"], camera)
                covered |= silhouette.fill(pixels, arrays[f"{side}_faces"], 160, 120)
        changed = np.abs(picture - photo).max(axis=-1) > 0.02  # includes the soft outline, some pixels around the hands
        assert changed[covered].mean() > 0.97
        assert changed[~grown(covered, 6)].mean() < 0.01
    assert counts() == before
    assert scene.frame_current == 1


def test_beside_the_photo(addon, load, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    synthetic.write_png(photo, synthetic.picture(80, 60))
    cam = synthetic.camera(80, 60)
    addon("api").import_take(synthetic.write_take(tmp_path / "take", {1: ("left",)}, cam=cam, images={1: str(photo)}))
    picture = load(addon("api").render_overlay(tmp_path / "out.png", samples=2, beside=True))
    assert picture.shape == (60, 160, 3)
    np.testing.assert_allclose(picture[:, :80], load(photo), atol=1.5 / 255)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("kind", ["images", "video"])
def test_a_mirror_image_is_turned_back_under_the_hands(addon, load, tmp_path: Path, kind: str, mirrored: bool) -> None:
    """Left and right of the picture differ and the camera is off centre, so that errors cannot cancel out."""
    size, pixels = (80, 60), synthetic.picture(80, 60)
    shown: dict = {"images": {1: str(tmp_path / "selfie.png")}}
    synthetic.write_png(tmp_path / "selfie.png", pixels)
    if kind == "video":
        shown = {"kind": kind, "files": [str(tmp_path / "clip.avi")]}
        synthetic.write_avi(tmp_path / "clip.avi", [pixels])
    cam = synthetic.camera(*size, cx=30.0)
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, cam=cam, mirrored=mirrored, **shown)
    addon("api").import_take(folder)
    photo, picture = np.split(
        load(addon("api").render_overlay(tmp_path / "out.png", samples=2, beside=True)), 2, axis=1
    )
    below = pixels[:, ::-1] if mirrored else pixels
    assert np.abs(photo - below / 255).max() < 0.02
    arrays = np.load(folder / "frames/000001.npz")
    covered = silhouette.fill(synthetic.project(arrays["left_vertices"], cam), arrays["left_faces"], *size)
    away = ~grown(covered, 6)
    assert np.abs(picture - below / 255)[away].max() < 0.02
    assert np.abs(picture - photo).max(axis=-1)[covered].mean() > 0.05


def test_without_a_photo(addon, load, tmp_path: Path) -> None:
    addon("api").import_take(synthetic.write_take(tmp_path / "take", {1: ("left",)}, size=(80, 60)))
    picture = load(addon("api").render_overlay(tmp_path / "out.png", samples=2))
    assert picture.std() > 0.02


def test_nothing_to_show(addon, tmp_path: Path) -> None:
    with pytest.raises(addon("errors").InputError, match="no take"):
        addon("api").render_overlay(tmp_path / "out.png")


def test_fit(addon) -> None:
    fit = addon("scene.picture").fit
    ground = np.zeros((40, 80, 3), np.float32)
    shown = fit(np.ones((10, 10, 3), np.float32), (80, 40), ground)
    assert shown[:, 20:60].min() == 1 and shown[:, :20].max() == 0 and shown[:, 60:].max() == 0
