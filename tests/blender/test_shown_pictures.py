"""On every scene frame, background, footage in space and overlay show the picture of that frame's hands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest
import shown
import synthetic
from test_footage_cards import WHOLE, cards, drawn_corners, in_view

SIZE = (160, 120)
ALIKE = 0.02  # mean difference of two pictures that are the same up to their compression

Pictures = dict[int, np.ndarray]


def numbered(*frames: int, size: tuple[int, int] = SIZE) -> Pictures:
    return {frame: synthetic.numbered_picture(*size, frame) for frame in frames}


def background_on(frame: int, folder: Path) -> np.ndarray | None:
    """The picture behind the hands in the camera's view on a frame, as it is turned there; None without one."""
    scene = bpy.context.scene
    scene.frame_set(frame)
    data = scene.camera.data
    evaluated = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    found = []
    for own, other in zip(data.background_images, evaluated.background_images, strict=True):
        user = own.image_user
        in_range = user.frame_start <= frame < user.frame_start + user.frame_duration
        if other.show_background_image and (in_range or own.image.source == "FILE"):
            pixels = shown.pixels_on(own.image, user, frame, folder)
            pixels = pixels[:, ::-1] if own.use_flip_x else pixels
            found.append(np.rot90(pixels, -round(own.rotation / (math.pi / 2))))
    assert len(found) <= 1, "two pictures at once"
    return found[0] if found else None


def card_on(collection: bpy.types.Collection, frame: int, folder: Path) -> np.ndarray | None:
    """The picture of the footage in space on a frame, as it is turned in the camera's view; None without one."""
    bpy.context.scene.frame_set(frame)
    found = []
    for card in cards(collection):
        user = card.image_user
        in_range = user.frame_start <= frame < user.frame_start + user.frame_duration
        if not card.hide_viewport and (in_range or card.data.source == "FILE"):
            pixels = shown.pixels_on(card.data, user, frame, folder)
            bpy.context.scene.frame_set(frame)
            across = in_view(drawn_corners(card))[0, 1] - in_view(drawn_corners(card))[0, 0]
            assert abs(across[1]) < 1e-4, "the pictures of these tests are not stored on their side"
            found.append(pixels if across[0] > 0 else pixels[:, ::-1])
    assert len(found) <= 1, "two pictures at once"
    return found[0] if found else None


def overlay_on(addon: Callable, frame: int, folder: Path) -> np.ndarray:
    """The left half of the overlay: the picture without hands."""
    path = addon("api").render_overlay(folder / "overlay.png", frame=frame, samples=1, beside=True)
    return np.split(shown.read(path), 2, axis=1)[0]


def alike(found: np.ndarray | None, wanted: np.ndarray) -> bool:
    return found is not None and found.shape == wanted.shape and np.abs(found - wanted / 255).mean() < ALIKE


def check(addon: Callable, folder: Path, wanted: Pictures, *, nothing_on: tuple[int, ...] = ()) -> None:
    """Import a take and compare every place where pictures are shown with the wanted picture of each frame."""
    collection, problems = addon("api").import_take(folder)
    assert not problems
    addon("api").show_footage(collection)
    place = folder.parent
    for frame, pixels in wanted.items():
        assert alike(background_on(frame, place), pixels), f"background on {frame}"
        assert alike(card_on(collection, frame, place), pixels), f"footage in space on {frame}"
        assert alike(overlay_on(addon, frame, place), pixels), f"overlay on {frame}"
    for frame in nothing_on:
        assert background_on(frame, place) is None and card_on(collection, frame, place) is None, frame
        assert np.ptp(overlay_on(addon, frame, place)) < ALIKE, "grey"
    assert not alike(background_on(min(wanted), place), synthetic.numbered_picture(*SIZE, 1023)), "the test can fail"


def test_copies_of_a_clip(addon, tmp_path: Path) -> None:
    """The clip itself, which would show something else, is not used, nor are the copies turned or mirrored."""
    synthetic.write_avi(tmp_path / "clip.avi", [synthetic.picture(*SIZE, seed=3)] * 5)
    clip = {"kind": "video", "files": [str(tmp_path / "clip.avi")], "mirrored": True}
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 6), ("left",)), failed=(3,), **clip)
    pictures = numbered(1, 2, 3, 4, 5)
    pictures[3] = pictures[2]
    synthetic.add_copies(folder, pictures)
    check(addon, folder, pictures, nothing_on=(0, 6))
    data = bpy.context.scene.camera.data
    assert [one.image.source for one in data.background_images] == ["SEQUENCE"]


def test_copies_of_every_third_frame_are_held(addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 4: ("left",)}, step=3, kind="video", files=["gone"])
    own = numbered(1, 4)
    pictures = {frame: own[1 if frame < 4 else 4] for frame in range(1, 7)}
    synthetic.add_copies(folder, pictures)
    check(addon, folder, pictures, nothing_on=(7,))
    assert bpy.context.scene.frame_end == 6


def test_copies_with_holes(addon, tmp_path: Path) -> None:
    frames = (2, 3, 7, 9)
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(frames, ("left",)), kind="video", files=["gone"])
    synthetic.add_copies(folder, numbered(*frames))
    check(addon, folder, numbered(*frames), nothing_on=(1, 4, 6, 8, 10))


def test_copies_of_pictures_of_two_sizes(addon, tmp_path: Path) -> None:
    frames, tall = (1001, 1002, 1003), (90, 120)
    cameras = {1002: synthetic.camera(*tall)}
    folder = synthetic.write_take(
        tmp_path / "take", dict.fromkeys(frames, ("left",)), cameras=cameras,
        images={frame: str(tmp_path / f"shot_{frame}.heic") for frame in frames},
    )  # fmt: skip
    pictures = {**numbered(1001, 1003), **numbered(1002, size=tall)}
    synthetic.add_copies(folder, pictures)
    collection, problems = addon("api").import_take(folder)
    assert not problems
    addon("api").show_footage(collection)
    for frame, pixels in pictures.items():
        assert alike(background_on(frame, tmp_path), pixels) and alike(card_on(collection, frame, tmp_path), pixels)
    backgrounds = bpy.context.scene.camera.data.background_images
    assert [one.frame_method for one in backgrounds] == ["STRETCH", "FIT", "STRETCH"]
    bpy.context.scene.frame_set(1002)
    fitted = 0.5 + (WHOLE - 0.5) * (90 / 160, 1.0)
    np.testing.assert_allclose(in_view(drawn_corners(cards(collection)[1])), fitted, atol=2e-5)
    overlay = overlay_on(addon, 1002, tmp_path)[:, 35:125]
    assert alike(overlay, pictures[1002])


def test_one_copy_stays(addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, images={1: str(tmp_path / "photo.heic")})
    synthetic.add_copies(folder, numbered(1))
    check(addon, folder, {1: numbered(1)[1], 7: numbered(1)[1]})


def test_a_series_that_starts_at_1001(addon, tmp_path: Path) -> None:
    pictures = numbered(*range(1001, 1008))
    files = {frame: str(tmp_path / f"shot.{frame}.png") for frame in pictures}
    for frame, path in files.items():
        synthetic.write_png(Path(path), pictures[frame])
    chosen = {frame: files[frame] for frame in (1001, 1004)}
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(chosen, ("left",)), images=chosen, step=3)
    check(addon, folder, {frame: pictures[frame] for frame in range(1001, 1007)}, nothing_on=(1000, 1007))


def test_a_series_with_missing_numbers(addon, tmp_path: Path) -> None:
    pictures = numbered(11, 12, 15)
    files = {frame: str(tmp_path / f"shot_{frame:04d}.png") for frame in pictures}
    for frame, path in files.items():
        synthetic.write_png(Path(path), pictures[frame])
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(files, ("left",)), images=files)
    check(addon, folder, pictures, nothing_on=(10, 13, 14, 16))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_clip_without_copies(addon, tmp_path: Path, mirrored: bool) -> None:
    pictures = numbered(*range(1, 7))
    stored = [pixels[:, ::-1] if mirrored else pixels for pixels in pictures.values()]
    synthetic.write_avi(tmp_path / "clip.avi", stored)
    clip = {"kind": "video", "files": [str(tmp_path / "clip.avi")], "mirrored": mirrored}
    folder = synthetic.write_take(tmp_path / "take", {2: ("left",), 5: ("left",)}, step=3, **clip)
    check(addon, folder, {frame: pictures[frame] for frame in (2, 3, 5, 6)})


def test_unrelated_photos(addon, tmp_path: Path) -> None:
    pictures = numbered(1, 2, 3)
    files = {frame: str(tmp_path / f"{name}.png") for frame, name in ((1, "anna"), (2, "berta"), (3, "carla"))}
    for frame, path in files.items():
        synthetic.write_png(Path(path), pictures[frame])
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(files, ("left",)), images=files)
    check(addon, folder, pictures, nothing_on=(0, 4))


def test_copies_that_were_deleted(addon, tmp_path: Path) -> None:
    """The source is shown again."""
    pictures = numbered(1, 2)
    files = {frame: str(tmp_path / f"shot_{frame}.png") for frame in pictures}
    for frame, path in files.items():
        synthetic.write_png(Path(path), pictures[frame])
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(files, ("left",)), images=files)
    synthetic.add_copies(folder, {})
    check(addon, folder, pictures)


@pytest.mark.parametrize(
    "pattern",
    ["footage/clip.mp4", "footage/%d.jpg", "footage/%0999999999d.jpg", "footage/%s%06d.jpg", "%06d/a.jpg", "", 5],
)
def test_copies_of_an_unknown_kind_are_ignored(addon, tmp_path: Path, pattern: object) -> None:
    entry = {"pattern": pattern, "reason": "test", "bytes": 0}
    assert addon("take.footage").pattern_of(entry) == ""
    assert addon("take.footage").find_copies(tmp_path, addon("take.footage").pattern_of(entry)) == {}


@pytest.mark.parametrize("pattern", ["../%06d.jpg", "/tmp/%06d.jpg", "a/../../%06d.jpg", "C:/%06d.jpg", "a\\%06d.jpg"])
def test_copies_outside_the_take_are_refused(addon, tmp_path: Path, pattern: str) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    synthetic.add_copies(folder, {}, pattern)
    with pytest.raises(addon("errors").TakeError, match="not a plain path"):
        addon("api").import_take(folder)


def test_links_are_no_copies(addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)}, kind="video", files=["gone"])
    synthetic.add_copies(folder, numbered(1, 2))
    secret = synthetic.write_jpeg(tmp_path / "secret.jpg", synthetic.picture(*SIZE))
    (folder / "footage/000002.jpg").unlink()
    (folder / "footage/000002.jpg").symlink_to(secret)
    assert list(addon("take.reader").read_take(folder).find_copies()) == [1]
