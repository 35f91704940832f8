"""``blender --command im2hands``: its files and its exit codes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
import synthetic


@pytest.fixture
def run(addon):
    return addon("command_line").run


def test_reconstruct(run, fake_backend, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    blend, picture = tmp_path / "out 手" / "hands.blend", tmp_path / "out 手" / "hands.png"
    arguments = ["reconstruct", str(photo), "--output", str(tmp_path / "take"), "--backend", fake_backend("good")]
    assert run([*arguments, "--blend", str(blend), "--picture", str(picture), "--hands", "both"]) == 0
    assert blend.is_file() and picture.is_file()
    said = capsys.readouterr()
    assert "3 ok" in said.out and "Building the surfaces" in said.out and "focal length is assumed" in said.err
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert len([thing for thing in bpy.data.objects if thing.type == "MESH"]) == 6


def test_import(run, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right")})
    blend = tmp_path / "hands.blend"
    assert run(["import", str(folder), "--blend", str(blend)]) == 0
    assert blend.is_file()


def test_check(run, fake_backend, capsys: pytest.CaptureFixture) -> None:
    assert run(["check", "--backend", fake_backend("good")]) == 0
    assert "Python: 3.12" in capsys.readouterr().out
    assert run(["check", "--backend", fake_backend("slow")]) == 3
    assert "WRONG weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("behaviour", "code"), [("good", 0), ("fails", 1), ("refuses", 2), ("missing", 3), ("old", 3), ("dies", 3)]
)
def test_exit_codes(run, fake_backend, photo: Path, tmp_path: Path, behaviour: str, code: int) -> None:
    take = str(tmp_path / "take")
    assert run(["reconstruct", str(photo), "--output", take, "--backend", fake_backend(behaviour)]) == code


def test_bad_arguments(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run([]) == 2
    assert run(["dance"]) == 2
    assert run(["reconstruct"]) == 2
    assert run(["reconstruct", "x.jpg", "--fov", "50", "--focal-px", "900"]) == 2
    assert run(["reconstruct", str(tmp_path / "nothing.jpg")]) == 2
    assert run(["import", str(tmp_path)]) == 2
    assert run(["import", str(synthetic.write_take(tmp_path / "take", {1: ()}, version=7))]) == 2
    assert run(["check", "--backend", str(tmp_path / "gone")]) == 3
    assert run(["--help"]) == 0
    said = capsys.readouterr()
    assert "Traceback" not in said.err and "version 7" in said.err


def test_a_blend_that_cannot_be_written(run, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    (tmp_path / "file").write_text("in the way")
    assert run(["import", str(folder), "--blend", str(tmp_path / "file" / "hands.blend")]) == 2


def test_interrupted(run, fake_backend, photo: Path, tmp_path: Path) -> None:
    take = tmp_path / "take"

    def interrupt() -> None:
        end = time.monotonic() + 60
        while not (take / "frames" / "000002.npz").is_file() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    blend = tmp_path / "hands.blend"
    arguments = ["reconstruct", str(photo), "--output", str(take), "--backend", fake_backend("slow", 1000)]
    assert run([*arguments, "--blend", str(blend)]) == 130
    thread.join()
    assert blend.is_file(), "what was finished is saved"
    assert signal.getsignal(signal.SIGINT) is before


def test_everything_on_the_command_line_equals_the_functions(run, addon, tmp_path: Path) -> None:
    import animated
    from test_clean_hands import furthest
    from test_retarget import character, compare, named

    example = animated.make(4)
    folder = animated.write(tmp_path / "take", example)
    names = named(addon, "mixamo")
    character(example, names, bend=0.2, rolls=0.4, scale=1.0)
    shot = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    arguments = ["import", str(folder), "--open", str(shot), "--blend", str(tmp_path / "done.blend")]
    arguments += ["--clean-influence", "0.0", "--rotations", "XYZ", "--surfaces", "none", "--bake-to", "Character"]
    arguments += ["--bake-offset", "2", "--bake-into", "layer", "--reduce-keys", "0.5"]
    arguments += ["--bone-map", "mixamo", "--export", str(tmp_path / "hands.glb")]
    arguments += ["--export", str(tmp_path / "hands.bvh"), "--export-surfaces", str(tmp_path / "surfaces.abc")]
    assert run(arguments) == 0
    assert all((tmp_path / name).is_file() for name in ("hands.glb", "hands_L.bvh", "hands_R.bvh", "surfaces.abc"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "done.blend"))
    collection = bpy.data.collections["take"]
    assert furthest(collection, example, "_raw") < 5e-5
    by_command = keys_of(addon, bpy.data.objects["Character"])
    assert collection.im2hands_smoothing == 0.0
    bpy.ops.wm.open_mainfile(filepath=str(shot))
    assert bpy.ops.im2hands.import_take(filepath=str(folder), surfaces="NONE") == {"FINISHED"}
    bpy.data.collections["take"].im2hands_smoothing = 0.0
    bpy.context.view_layer.objects.active = bpy.data.objects["Character"]
    options = {"offset": 2, "into": "LAYER", "reduce_degrees": 0.5}
    assert bpy.ops.im2hands.bake_to_rig(take="take", **options) == {"FINISHED"}
    assert keys_of(addon, bpy.data.objects["Character"]) == by_command
    assert bpy.ops.im2hands.export_take(take="take", filepath=str(tmp_path / "again.glb")) == {"FINISHED"}
    assert (tmp_path / "again.glb").stat().st_size == pytest.approx((tmp_path / "hands.glb").stat().st_size, rel=0.01)
    bpy.data.collections["take"].im2hands_smoothing = 1.0
    assert bpy.ops.im2hands.bake_to_rig(take="take", bone_map="mixamo") == {"FINISHED"}
    assert compare(bpy.data.objects["Character"], example, names) < 0.1


def keys_of(addon, thing: bpy.types.Object) -> dict:
    animation = addon("scene.animation")
    return {
        (curve.data_path, curve.array_index): np.round(animation.read_values(curve), 5).tolist()
        for curve in animation.curves(thing)
    }


def test_what_cannot_be_done_is_told(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import animated

    folder = str(animated.write(tmp_path / "take", animated.make(2)))
    assert run(["import", folder, "--bake-to", "Nobody"]) == 2
    assert run(["import", folder, "--open", str(tmp_path / "nothing.blend")]) == 2
    assert run(["import", folder, "--export", str(tmp_path / "hands.doc")]) == 2
    assert run(["import", folder, "--export-surfaces", str(tmp_path / "hands.fbx")]) == 2
    said = capsys.readouterr().err
    assert "no object Nobody" in said and "Cannot open" in said and "Traceback" not in said
    with pytest.raises(RuntimeError, match="is not a known format"):
        bpy.ops.im2hands.export_take(filepath=str(tmp_path / "hands"))
    with pytest.raises(RuntimeError, match="armature of a character"):
        bpy.ops.im2hands.bake_to_rig(target="Camera")
