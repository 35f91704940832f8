"""The footage in space fills the view of the take's camera, is behind the hands, and is never visible twice."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from bpy_extras.object_utils import world_to_camera_view
from datablocks import counted
from mathutils import Vector
from test_camera import CAMERAS
from test_footage import write_jpeg, write_pictures

WHOLE = np.array([[(0.0, 1.0), (1.0, 1.0)], [(0.0, 0.0), (1.0, 0.0)]])
"""The corners of the frame, with (0, 0) at its lower left, in the order of a picture's rows and columns."""


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def import_shown(api):
    """A function: ``import_shown(folder)`` imports a take and shows its footage, because Blender skips hidden objects.

    It returns the take's collection and the messages about what could not be imported.
    """

    def imported(folder: Path) -> tuple[bpy.types.Collection, list[str]]:
        collection, problems = api.import_take(folder)
        api.show_footage(collection)
        return collection, problems

    return imported


def cards(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    return [one for one in collection.all_objects if one.type == "EMPTY" and one.empty_display_type == "IMAGE"]


def drawn_corners(card: bpy.types.Object) -> np.ndarray:
    """World positions (2, 2, 3) at which Blender draws the corners of the stored picture, by row and column.

    The longer side of an image empty, with the pixel aspect applied, is as long as the size of the empty.
    """
    size, aspect = np.array(stored_size(card.data), float), np.array(card.data.display_aspect, float)
    sides = size * np.minimum(1.0, aspect / aspect[::-1])
    sides *= card.empty_display_size / sides.max()
    low = np.array(card.empty_image_offset) * sides
    matrix = np.array(card.matrix_world)
    corners = [[(low[0], low[1] + sides[1]), low + sides], [low, (low[0] + sides[0], low[1])]]
    return np.array([[matrix[:3, :3] @ (*corner, 0.0) + matrix[:3, 3] for corner in row] for row in corners])


def stored_size(image: bpy.types.Image) -> tuple[int, int]:
    """Width and height of the (first) file; Blender knows the size of a sequence only when it draws it."""
    if image.source != "SEQUENCE":
        return tuple(image.size)
    first = bpy.data.images.load(image.filepath, check_existing=False)
    size = tuple(first.size)
    bpy.data.images.remove(first)
    return size


def in_view(points: np.ndarray) -> np.ndarray:
    """Project world points (..., 3) into the scene's camera view (..., 2); (0, 0) is its lower left corner."""
    scene = bpy.context.scene
    views = [world_to_camera_view(scene, scene.camera, Vector(point)) for point in points.reshape(-1, 3)]
    return np.array([(view.x, view.y) for view in views]).reshape(*points.shape[:-1], 2)


def seen_on(collection: bpy.types.Collection, frame: int) -> list[str]:
    """Names of the files that visible cards show on a frame."""
    bpy.context.scene.frame_set(frame)
    names = []
    for card in cards(collection):
        if card.hide_viewport:
            continue
        path = card.data.filepath
        if card.data.source == "SEQUENCE":
            user = card.image_user
            user.frame_current = frame - user.frame_start + 1 + user.frame_offset
            path = card.data.filepath_from_user(image_user=user)
        names.append(Path(bpy.path.abspath(path)).name)
    return names


@pytest.mark.parametrize("name", CAMERAS)
def test_fills_the_frame_behind_the_hands(import_shown, tmp_path: Path, name: str) -> None:
    camera = CAMERAS[name]
    images = write_pictures(tmp_path, {1: "photo.png"}, {1: (camera["width"], camera["height"])})
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right")}, cam=camera, images=images)
    collection, _ = import_shown(folder)
    origin = next(one for one in collection.objects if one.name.endswith("Origin"))
    origin.location, origin.scale = (1.0, 2.0, 3.0), (2.0, 2.0, 2.0)
    bpy.context.scene.frame_set(1)
    (card,) = cards(collection)
    assert card.name == "Footage" and card.parent == bpy.context.scene.camera
    np.testing.assert_allclose(in_view(drawn_corners(card)), WHOLE, atol=2e-5)
    arrays = np.load(folder / "frames/000001.npz")
    farthest = max(arrays[f"{side}_vertices"][:, 2].max() for side in ("left", "right"))
    distance = -card.location.z
    assert farthest + 0.05 < distance < farthest + 0.2
    card.location.z *= 1.05
    bpy.context.view_layer.update()
    assert np.abs(in_view(drawn_corners(card)) - WHOLE).max() > 0.01, "the comparison can fail"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_exif_says(addon, import_shown, tmp_path: Path, orientation: int, mirrored: bool) -> None:
    stored = (120, 90)
    path = write_jpeg(tmp_path / "phone.jpg", stored, orientation)
    cam = synthetic.camera(*(stored if orientation < 5 else stored[::-1]), cx=40.0, cy=50.0)
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, cam=cam, images={1: str(path)}, mirrored=mirrored)
    collection, problems = import_shown(folder)
    assert not problems
    turn = addon("take.photo_orientation").read_turn(path)
    corners = np.arange(4).reshape(2, 2)[:, :: -1 if turn.mirror else 1]
    corners = np.rot90(corners, -turn.quarters)[:, :: -1 if mirrored else 1]
    wanted = np.empty((4, 2))
    wanted[corners.ravel()] = WHOLE.reshape(4, 2)
    bpy.context.scene.frame_set(1)
    (card,) = cards(collection)
    np.testing.assert_allclose(in_view(drawn_corners(card)).reshape(4, 2), wanted, atol=2e-5)


def test_a_sequence_whose_lens_changes(import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {frame: f"shot.{frame:04d}.png" for frame in range(11, 15)})
    zoom = {12: synthetic.camera(160, 120, 150.0), 13: synthetic.camera(160, 120, 260.0, cx=70.0)}
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images, cameras=zoom)
    collection, problems = import_shown(folder)
    assert not problems
    (card,) = cards(collection)
    sizes = set()
    for frame in images:
        assert seen_on(collection, frame) == [f"shot.{frame:04d}.png"]
        np.testing.assert_allclose(in_view(drawn_corners(card)), WHOLE, atol=2e-5)
        sizes.add(round(card.matrix_world.to_scale().x, 4))
    assert len(sizes) == 3


def test_unrelated_photos_of_different_sizes(import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png", 3: "carla.png"}, {2: (60, 90)})
    folder = synthetic.write_take(
        tmp_path / "take", dict.fromkeys(images, ("left",)), images=images, cameras={2: synthetic.camera(60, 90)}
    )
    collection, problems = import_shown(folder)
    assert not problems
    assert [card.name for card in cards(collection)] == ["Footage", "Footage 0002", "Footage 0003"]
    for frame, name in {1: "anna.png", 2: "berta.png", 3: "carla.png"}.items():
        assert seen_on(collection, frame) == [name]
    assert seen_on(collection, 9) == []
    bpy.context.scene.frame_set(2)
    fitted = 0.5 + (WHOLE - 0.5) * (60 * (120 / 90) / 160, 1.0)
    np.testing.assert_allclose(in_view(drawn_corners(cards(collection)[1])), fitted, atol=2e-5)


def test_photos_are_held_between_steps(import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 4: "berta.png"})
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images, step=3)
    collection, _ = import_shown(folder)
    seen = [seen_on(collection, frame) for frame in range(8)]
    assert seen == [[], *[["anna.png"]] * 3, *[["berta.png"]] * 3, []]


def test_one_photo_stays(import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png"})
    collection, _ = import_shown(synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images))
    assert seen_on(collection, 1) == seen_on(collection, 7) == ["anna.png"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_clip(import_shown, tmp_path: Path, mirrored: bool) -> None:
    clip = tmp_path / "clip Ü.avi"
    synthetic.write_avi(clip, [np.full((48, 64, 3), 20 * frame, np.uint8) for frame in range(1, 9)])
    folder = synthetic.write_take(
        tmp_path / "take", {4: ("left",)}, cam=synthetic.camera(64, 48, cx=20.0), kind="video", files=[str(clip)],
        mirrored=mirrored,
    )  # fmt: skip
    collection, problems = import_shown(folder)
    assert not problems
    (card,) = cards(collection)
    bpy.context.scene.frame_set(4)
    user = card.image_user
    assert (card.data.source, user.frame_start, user.frame_offset, user.frame_duration) == ("MOVIE", 1, 0, 8)
    assert user.use_auto_refresh
    wanted = WHOLE[:, ::-1] if mirrored else WHOLE
    np.testing.assert_allclose(in_view(drawn_corners(card)), wanted, atol=2e-5)


def test_seen_once_in_the_camera_and_never_rendered(addon, api, tmp_path: Path) -> None:
    """The picture is the camera's background, so the cards are hidden. Showing the cards hides the background."""
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png"})
    folder = animated.write(tmp_path / "take", animated.make(2), images=images)
    collection, _ = api.import_take(folder)
    place, camera = collection.children["Footage"], bpy.context.scene.camera

    def state() -> tuple[bool, bool]:
        bpy.context.scene.frame_set(1)
        return camera.data.show_background_images, place.hide_viewport

    assert state() == (True, True)
    assert not any(card.visible_get() for card in cards(collection))
    api.show_footage(collection)
    assert state() == (False, False)
    assert [card.visible_get() for card in cards(collection)] == [True, False]
    assert api.import_take(folder)[0] == collection and state() == (False, False), "a new import keeps the choice"
    assert bpy.ops.im2hands.show_footage(take="take", shown=False) == {"FINISHED"}
    assert state() == (True, True)
    assert bpy.ops.im2hands.show_footage(take="take") == {"FINISHED"}
    assert state() == (False, False)
    assert place.hide_render and all(card.hide_render for card in cards(collection))
    for card in cards(collection):
        assert (card.empty_image_depth, card.empty_image_side) == ("BACK", "FRONT")


def test_in_the_sidebar(api, tmp_path: Path) -> None:
    from test_interface import PANELS, draw

    images = write_pictures(tmp_path, {1: "anna.png"})
    api.import_take(synthetic.write_take(tmp_path / "a", {1: ("left",)}))
    assert "im2hands.show_footage" not in draw(PANELS[2]).operators, "a take without pictures"
    api.import_take(synthetic.write_take(tmp_path / "b", {1: ("left",)}, images=images))
    assert draw(PANELS[2]).operators.count("im2hands.show_footage") == 1


def test_on_the_command_line(addon, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, blend = addon("command_line").run, tmp_path / "hands.blend"
    images = write_pictures(tmp_path, {1: "anna.png"})
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images)
    assert run(["import", str(folder), "--show-footage", "--blend", str(blend)]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert bpy.data.objects["Footage"].visible_get()
    assert not bpy.context.scene.camera.data.show_background_images
    bare = synthetic.write_take(tmp_path / "bare", {1: ("left",)})
    assert run(["import", str(bare), "--show-footage"]) == 0
    assert "bare has no footage" in capsys.readouterr().err


def test_importing_again_replaces_and_removing_leaves_nothing(api, tmp_path: Path) -> None:
    before = counted()
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png"})
    folder = animated.write(tmp_path / "take", animated.make(2), images=images)
    api.import_take(folder)
    once = counted()
    collection, _ = api.import_take(folder)
    assert counted() == once and [one.name for one in cards(collection)] == ["Footage", "Footage 0002"]
    api.remove_take(collection)
    assert counted() == before


def test_a_picture_that_is_used_elsewhere_stays(api, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png"})
    collection, _ = api.import_take(
        synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images)
    )
    mine = bpy.data.objects.new("mine", None)
    mine.empty_display_type, mine.data = "IMAGE", bpy.data.images["anna.png"]
    collection.children["Footage"].objects.link(mine)
    api.remove_take(collection)
    assert [one.name for one in bpy.data.images] == ["anna.png"]
    assert list(bpy.context.scene.objects) == [mine]


def test_pictures_whose_background_was_taken_away_go_too(api, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png"})
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images))
    backgrounds = bpy.context.scene.camera.data.background_images
    backgrounds[0].image = None  # as the button in the camera's panel does
    backgrounds.clear()
    api.remove_take(collection)
    assert not bpy.data.images


def test_missing_footage(addon, api, import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png", 2: "berta.png"})
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(images, ("left",)), images=images)
    (tmp_path / "anna.png").unlink()
    collection, problems = import_shown(folder)
    assert len(problems) == 1 and "anna.png" in problems[0]
    assert [seen_on(collection, frame) for frame in (1, 2)] == [[], ["berta.png"]]
    assert [card.name for card in cards(collection)] == ["Footage"]
    (tmp_path / "berta.png").unlink()
    again, problems = api.import_take(folder)
    assert again == collection and len(problems) == 1 and "anna.png and 1 more" in problems[0]
    assert not cards(collection) and "Footage" not in collection.children and not bpy.data.images
    with pytest.raises(addon("errors").InputError, match="no footage"):
        api.show_footage(collection)
    with pytest.raises(RuntimeError, match="no footage"):
        bpy.ops.im2hands.show_footage(take="take")


def test_a_camera_that_was_deleted(import_shown, tmp_path: Path) -> None:
    images = write_pictures(tmp_path, {1: "anna.png"})
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, images=images)
    collection, _ = import_shown(folder)
    bpy.data.objects.remove(bpy.context.scene.camera)
    collection, problems = import_shown(folder)
    assert not problems
    (card,) = cards(collection)
    assert card.name == "Footage" and card.parent == bpy.context.scene.camera
    bpy.context.scene.frame_set(1)
    np.testing.assert_allclose(in_view(drawn_corners(card)), WHOLE, atol=2e-5)
