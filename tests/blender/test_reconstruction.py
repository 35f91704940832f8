"""Frames appear in the scene while the backend works; operator and function give the same result."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest
from test_import import described

from conftest import MODULE


@pytest.fixture
def api(addon):
    return addon("api")


def mesh_frames(collection: bpy.types.Collection) -> set[int]:
    return {thing["im2hands_frame"] for thing in collection.all_objects if thing.type == "MESH"}


def test_function(api, fake_backend, photo: Path, tmp_path: Path) -> None:
    result = api.reconstruct(photo, tmp_path / "take", backend=fake_backend("good"))
    assert result.exit_code == 0 and not result.cancelled
    assert result.take == tmp_path / "take" and result.summary["ok"] == 3
    assert mesh_frames(result.collection) == {1, 2, 3}
    assert result.warnings == ("The focal length is assumed. Give the field of view.",)


def test_frames_appear_as_they_come(api, fake_backend, photo: Path, tmp_path: Path) -> None:
    running = api.start(photo, tmp_path / "take", backend=fake_backend("slow", 1000))
    seen = []

    def watch(now) -> None:
        collection = bpy.data.collections.get("take")
        count = len(mesh_frames(collection)) if collection else 0
        seen.append(count)
        if count >= 3:
            now.cancel()

    result = running.run(watch)
    assert result.cancelled and result.exit_code == 130
    assert 1 <= min(count for count in seen if count) < max(seen)
    assert mesh_frames(result.collection) >= {1, 2, 3}


def test_backend_killed_keeps_the_frames_and_goes_on(api, addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    backend = fake_backend("dies", 4)
    with pytest.raises(addon("errors").BackendError, match="ended unexpectedly"):
        api.reconstruct(photo, tmp_path / "take", backend=backend)
    assert mesh_frames(bpy.data.collections["take"]) == {1, 2}
    result = api.reconstruct(photo, tmp_path / "take", backend=backend)
    assert mesh_frames(result.collection) == {1, 2, 3, 4}
    assert result.summary["reused"] == 2
    assert len([one for one in bpy.data.collections if one.name.startswith("take")]) == 1


def test_one_hand(api, fake_backend, photo: Path, tmp_path: Path) -> None:
    result = api.reconstruct(photo, tmp_path / "take", backend=fake_backend("one_hand"))
    assert {one.name.split()[0] for one in result.collection.all_objects if one.type == "MESH"} == {"Surface.L"}


def test_any_path(api, fake_backend, tmp_path: Path) -> None:
    import synthetic

    photo = tmp_path / "Fotos von Händen 手" / "beide Hände 双手.png"
    synthetic.write_png(photo, synthetic.picture(160, 120))
    result = api.reconstruct(photo, tmp_path / "Aufnahme Ä 手", backend=fake_backend("good"))
    assert mesh_frames(result.collection) == {1, 2, 3}


def test_operator_equals_function(api, fake_backend, photo: Path, tmp_path: Path) -> None:
    backend = fake_backend("good")
    bpy.context.preferences.addons[MODULE].preferences.backend = backend
    settings = bpy.context.scene.im2hands
    settings.source, settings.output = str(photo), str(tmp_path / "operator" / "take")
    assert bpy.ops.im2hands.reconstruct() == {"FINISHED"}
    by_operator = described(bpy.data.collections["take"])
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    result = api.reconstruct(photo, tmp_path / "function" / "take", backend=backend)
    assert described(result.collection) == by_operator


def test_bad_input(api, addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    errors = addon("errors")
    backend = fake_backend("refuses")
    with pytest.raises(errors.InputError, match="There is no"):
        api.reconstruct(tmp_path / "nothing.jpg", backend=backend)
    with pytest.raises(errors.InputError, match="nothing to reconstruct"):
        api.reconstruct([], backend=backend)
    with pytest.raises(errors.InputError, match="Not an option"):
        api.reconstruct(photo, backend=backend, colour="blue")
    with pytest.raises(errors.JobError, match="not a picture"):
        api.reconstruct(photo, tmp_path / "take", backend=backend)
    assert not bpy.data.collections


def test_operator_reports_and_raises_nothing_else(fake_backend, photo: Path, tmp_path: Path) -> None:
    settings = bpy.context.scene.im2hands
    own = bpy.context.preferences.addons[MODULE].preferences
    own.backend = str(tmp_path / "nowhere")
    settings.source = str(photo)
    with pytest.raises(RuntimeError, match=r'is not there.*Correct or clear "Backend".*Preferences'):
        bpy.ops.im2hands.reconstruct()
    own.backend = fake_backend("missing")
    with pytest.raises(RuntimeError, match="im2hands is not installed in the Python"):
        bpy.ops.im2hands.reconstruct()
    settings.source = ""
    with pytest.raises(RuntimeError, match="nothing to reconstruct"):
        bpy.ops.im2hands.reconstruct()


def test_where_takes_go(addon, photo: Path, tmp_path: Path) -> None:
    default_take = addon("locations").default_take
    assert default_take([str(photo)]).parts[-2:] == ("takes", "photo")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert default_take([str(photo)]) == tmp_path / "takes" / "photo"
    assert default_take([str(tmp_path)]).name == tmp_path.name
    assert default_take([str(photo), str(photo)]).name == tmp_path.name


def test_the_settings_reach_the_backend(addon, tmp_path: Path) -> None:
    properties = addon("properties")
    settings = bpy.context.scene.im2hands
    table = addon("process.options").OPTIONS
    shown = {name: option.default for name, option in table.items() if option.label and not option.exclusive}
    assert properties.options_of(settings) == {name: shown[name] for name in shown if not table[name].advanced}
    settings.use_range, settings.frame_start, settings.frame_end, settings.step = True, 5, 20, 3
    settings.keypoints, settings.keypoints_file = "file", str(tmp_path / "k.json")
    settings.camera, settings.fov, settings.mirrored = "fov", 50.0, True
    settings.refine, settings.use_advanced = False, True
    said = properties.options_of(settings)
    assert said["frames"] == "5-20" and said["step"] == 3 and said["fov"] == 50.0
    assert said["mirrored"] is True and said["stage"] == "keypoints"
    assert said["keypoints"] == str(tmp_path / "k.json")
    settings.camera = "focal"
    assert properties.options_of(settings)["focal_px"] == 1200.0
    settings.camera, settings.camera_file = "file", "/shots/camera.json"
    assert properties.options_of(settings)["camera"].endswith("camera.json")
    addon("process.options").Options(**properties.options_of(settings))


def test_choosing_files(addon, tmp_path: Path) -> None:
    settings = bpy.context.scene.im2hands
    several = [{"name": "b.jpg"}, {"name": "a.jpg"}]
    bpy.ops.im2hands.choose_source(directory=str(tmp_path), files=several)
    inputs_of = addon("properties").inputs_of
    assert inputs_of(settings) == [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    bpy.ops.im2hands.choose_source(directory=str(tmp_path), files=several[:1])
    assert inputs_of(settings) == [str(tmp_path / "b.jpg")]
    bpy.ops.im2hands.choose_source(directory=str(tmp_path), files=[{"name": ""}])
    assert inputs_of(settings) == [str(tmp_path)]
    bpy.ops.im2hands.choose_source(directory=str(tmp_path), files=several)
    settings.source = str(tmp_path / "typed.mp4")
    assert inputs_of(settings) == [str(tmp_path / "typed.mp4")]
