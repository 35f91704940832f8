"""A saved scene is plain data: it plays in a Blender without the add-on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import animated
import bpy
import numpy as np
import synthetic
from test_clean_hands import NEAR, in_blender

HANDS = {1: ("left", "right"), 2: ("right",), 4: ("left", "right")}

PLAY = """
import json, sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
assert not hasattr(bpy.context.scene, "im2hands"), "the add-on is there"
seen = {}
for frame in range(0, 7):
    bpy.context.scene.frame_set(frame)
    seen[frame] = {
        one.name: [list(one.matrix_world @ one.data.vertices[number].co) for number in (0, 100)]
        for one in bpy.context.scene.objects if one.type == "MESH" and not one.hide_render and not one.hide_viewport
    }
wrist = bpy.data.objects["wrist.R"].matrix_world.translation
print("SEEN" + json.dumps({"seen": seen, "images": [one.filepath for one in bpy.data.images], "wrist": list(wrist)}))
"""


def test_plays_without_the_addon(addon, tmp_path: Path) -> None:
    photo = tmp_path / "photo 手.png"
    synthetic.write_png(photo, synthetic.picture(160, 120))
    folder = synthetic.write_take(tmp_path / "take", HANDS, images={1: str(photo)})
    addon("api").import_take(folder)
    blend = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    script = tmp_path / "play.py"
    script.write_text(PLAY, "utf-8")
    empty = {"BLENDER_USER_RESOURCES": str(tmp_path / "nobody"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, str(script), str(blend)], capture_output=True, text=True, timeout=120, env=empty, check=False
    )
    assert "SEEN" in done.stdout, done.stdout + done.stderr
    played = json.loads(done.stdout.split("SEEN")[1].splitlines()[0])
    for frame in range(7):
        things = played["seen"][str(frame)]
        sides = HANDS.get(frame, ())
        assert set(things) == {f"Surface.{side[0].upper()} {frame:04d}" for side in sides}
        for side in sides:
            wanted = np.load(folder / f"frames/{frame:06d}.npz")[f"{side}_vertices"][[0, 100]]
            in_blender = np.stack([wanted[:, 0], wanted[:, 2], -wanted[:, 1]], axis=-1)
            np.testing.assert_allclose(things[f"Surface.{side[0].upper()} {frame:04d}"], in_blender, atol=1e-6)
    assert any(name.endswith("photo 手.png") for name in played["images"])


PLAY_RIGGED = """
import json, sys, bpy, numpy as np
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
assert not hasattr(bpy.context.scene, "im2hands"), "the add-on is there"
for frame in range(1, 7):
    bpy.context.scene.frame_set(frame)
    for side in "LR":
        thing = bpy.data.objects["Hand." + side].evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])
        np.save(sys.argv[2] + f"/{side}{frame}.npy", points)
print("PLAYED")
"""


def test_saved_moved_and_opened_without_the_addon(addon, tmp_path: Path) -> None:
    example = animated.make(6)
    folder = animated.write(tmp_path / "take", example)
    addon("api").import_take(folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), compress=True)
    shutil.rmtree(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    blend = shutil.move(tmp_path / "scene.blend", elsewhere / "moved.blend")
    script = tmp_path / "play.py"
    script.write_text(PLAY_RIGGED, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(blend), str(elsewhere)],
        capture_output=True, text=True, timeout=120, check=False,
        env={"BLENDER_USER_RESOURCES": str(tmp_path / "nobody"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "PLAYED" in done.stdout, done.stdout + done.stderr
    for side in example.hands:
        wanted = in_blender(animated.posed(example, side))
        for number in range(6):
            found = np.load(elsewhere / f"{side[0].upper()}{number + 1}.npy")
            assert np.linalg.norm(found - wanted[number], axis=1).max() < NEAR
