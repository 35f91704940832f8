"""A rigged take saved by the oldest Blender with the add-on opens and plays in this one without the add-on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from test_clean_hands import NEAR, in_blender

FRAMES = 6

SAVE = """
import os, sys, bpy
zipped, take, blend = sys.argv[1:]
bpy.ops.extensions.package_install_files(repo="user_default", filepath=zipped, enable_on_install=True)
bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
from bl_ext.user_default.im2hands_addon import api
bpy.context.scene.im2hands.voxel_mm = 2.0
collection, problems = api.import_take(take)
assert not problems, problems
api.show_footage(collection)
bpy.ops.wm.save_as_mainfile(filepath=blend, compress=True)
print("SAVED", *bpy.app.version, flush=True)
os._exit(0)  # the bpy 4.2 module crashes when Python ends after anything was registered
"""

PLAY = """
import json, sys, bpy, numpy as np
blend, folder = sys.argv[1:]
bpy.ops.wm.open_mainfile(filepath=blend)
scene = bpy.context.scene
assert not hasattr(scene, "im2hands"), "the add-on is there"
rigs = [one for one in scene.objects if one.type == "ARMATURE"]
for layer, influence in (("", 1.0), ("_raw", 0.0)):
    for owner in (*rigs, *bpy.data.shape_keys):
        owner.animation_data.action_influence = influence
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        for side in "LR":
            thing = scene.objects["Hand." + side].evaluated_get(bpy.context.evaluated_depsgraph_get())
            points = np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])
            np.save(f"{folder}/{side}{frame}{layer}.npy", points)
print("PLAYED" + json.dumps({
    "file": list(bpy.data.version), "frames": [scene.frame_start, scene.frame_end],
    "addons": [one for one in bpy.context.preferences.addons.keys() if "im2hands" in one],
    "pictures": [one.image.name for one in scene.camera.data.background_images],
    "footage": [scene.objects["Footage"].data.name, scene.objects["Footage"].visible_get()],
}))
"""


@pytest.fixture
def oldest_bpy() -> str:
    """The Python of the oldest Blender that the test runner has."""
    python = os.environ.get("IM2HANDS_OLDEST_BPY", "")
    if not python:
        pytest.fail("Set IM2HANDS_OLDEST_BPY to the Python of the oldest bpy there is (`python dev.py test` does).")
    return python


def run(python: str, script: str, resources: Path, *arguments: Path) -> str:
    """Run a script in another Blender with the user folder ``resources`` and return its output; it must not fail."""
    path = resources.with_suffix(".py")
    path.write_text(script, "utf-8")
    env = {"BLENDER_USER_RESOURCES": str(resources), "PATH": "/usr/bin:/bin"}
    command = [python, str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=env, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert not [word for word in ("error", "traceback", "missing", "warning") if word in told.lower()], told
    return done.stdout


def test_a_file_of_the_oldest_blender_plays_here(oldest_bpy: str, extension_file: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    synthetic.write_png(photo, synthetic.picture(160, 120))
    example = animated.make(FRAMES)
    take = animated.write(tmp_path / "take", example, images={1: str(photo)})
    blend = tmp_path / "hands.blend"
    said = run(oldest_bpy, SAVE, tmp_path / "somebody", extension_file, take, blend)
    written = tuple(int(part) for part in said.split("SAVED")[1].split())
    assert (4, 2) <= written[:2] <= bpy.app.version[:2], "a file opens in the Blender that wrote it and in newer ones"

    said = run(sys.executable, PLAY, tmp_path / "nobody", blend, tmp_path)
    played = json.loads(said.split("PLAYED")[1].splitlines()[0])
    assert tuple(played["file"][:2]) == written[:2]
    assert played["frames"] == [1, FRAMES] and played["addons"] == []
    assert played["pictures"] == ["photo.png"] and played["footage"] == ["photo.png", True]
    for side in example.hands:
        for layer in ("", "_raw"):
            wanted = in_blender(animated.posed(example, side, layer))
            for number in range(FRAMES):
                found = np.load(tmp_path / f"{side[0].upper()}{number + 1}{layer}.npy")
                assert np.linalg.norm(found - wanted[number], axis=1).max() < NEAR
                other = wanted[number - 1]
                assert np.linalg.norm(found - other, axis=1).max() > 10 * NEAR, "frames can be told apart"
