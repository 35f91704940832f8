"""The demo's clip in Blender: its side view, and the errors against the exact keypoints."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo"


@pytest.fixture
def clip_scenes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DEMO.parent))
    monkeypatch.syspath_prepend(str(DEMO))
    yield importlib.import_module("clip_scenes")
    for name in [one for one in sys.modules if one.split(".")[0] in ("clip_scenes", "contact_sheet", "im2hands_addon")]:
        del sys.modules[name]


def test_from_the_side(addon, clip_scenes, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    collection, _ = addon("api").import_take(folder, surfaces="NONE")
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 120, 90
    camera = addon("scene.tree").find_object(collection, "camera")
    before = np.array(camera.matrix_local)
    picture = clip_scenes._from_the_side(scene, collection, 2)
    in_front = addon("scene.preview").render_hands(scene, 2, collection, samples=4)
    assert picture.shape == (90, 120, 3)
    side, front = np.abs(picture - clip_scenes.GROUND).max(axis=-1) > 0.05, in_front[..., 3] > 0.5
    assert side.mean() > 0.01
    assert (side ^ front).mean() > 0.3 * (side | front).mean(), "it is the view from the front"
    np.testing.assert_array_equal(np.array(camera.matrix_local), before)


def test_figures_are_those_of_the_take(clip_scenes, tmp_path: Path) -> None:
    with np.load(clip_scenes.TRUTH) as truth:
        exact = np.array([truth[f"{frame:06d}_left"] for frame in range(1, 61)])
    raw = exact + 0.010 * np.array([1.0, 0, 0]) * (np.arange(21) > 0)[:, None]
    np.savez(tmp_path / "motion.npz", frames=np.arange(1, 61), left_keypoints_raw=raw, left_keypoints=exact)
    (line,) = clip_scenes.figures(tmp_path)
    assert line.startswith("left hand: keypoint error 9.5 mm raw, 0.0 mm clean")
