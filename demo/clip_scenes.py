"""The clip part of the demo, inside Blender: reconstruct the clip, measure the result, save scenes and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from contact_sheet import load_scaled, sheet
from mathutils import Matrix, Vector

from im2hands_addon import api
from im2hands_addon.scene import tree
from im2hands_addon.scene.picture import load_clip_frame, save_picture
from im2hands_addon.scene.preview import render_hands

CLIP = Path(__file__).resolve().parent / "clip" / "hands_clip.avi"
CAMERA = CLIP.with_name("hands_clip_camera.json")
TRUTH = CLIP.with_name("hands_clip_truth.npz")
SHOWN = (2, 16, 30, 45, 59)
"""Frames on the contact sheet."""

WIDTH = 360
"""Width of a picture on the contact sheet, pixels."""

SIDEWAYS = 65.0
"""Rotation of the side view, degrees; at larger angles one hand hides the other."""

GROUND = 0.86
"""Grey value of the background of the side view, 0 to 1."""


def make_clip_scenes(output: Path, folder: Path, on_poll: Callable) -> tuple[dict[str, int], list[str]]:
    """Write clip_take/, clip.blend, clip_clean.blend and clip.png.

    Parameters
    ----------
    output : Path
        Folder to write to.
    folder : Path
        Folder for temporary pictures.
    on_poll : callable
        See ``im2hands_addon.api.reconstruct``.

    Returns
    -------
    summary : dict of str to int
        Number of frames by status.
    lines : list of str
        The measures of ``figures`` as text.
    """
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    scene, take = bpy.context.scene, output / "clip_take"
    result = api.reconstruct(CLIP, take, scene=scene, surfaces="SHOW", camera=str(CAMERA), on_poll=on_poll)
    size = scene.render.resolution_x, scene.render.resolution_y
    collection = result.collection
    api.show_hands(collection, False)
    bpy.ops.wm.save_as_mainfile(filepath=str(output / "clip.blend"), compress=True)
    rows = [[_scaled(load_clip_frame(CLIP, frame, size), folder) for frame in SHOWN], _overlays(scene, folder)]
    collection, _ = api.import_take(take, scene=scene, surfaces="NONE")
    api.show_hands(collection)
    bpy.ops.wm.save_as_mainfile(filepath=str(output / "clip_clean.blend"), compress=True)
    rows += [_overlays(scene, folder), [_scaled(_from_the_side(scene, collection, frame), folder) for frame in SHOWN]]
    save_picture(output / "clip.png", sheet(rows))
    return dict(result.summary), figures(take)


def _scaled(picture: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "picture.png"
    save_picture(path, picture[..., :3])
    return load_scaled(path, WIDTH)


def _overlays(scene: bpy.types.Scene, folder: Path) -> list[np.ndarray]:
    path = folder / "overlay.png"
    return [load_scaled(api.render_overlay(path, scene=scene, frame=frame), WIDTH) for frame in SHOWN]


def _from_the_side(scene: bpy.types.Scene, collection: bpy.types.Collection, frame: int) -> np.ndarray:
    """Picture of the clean hands from the right of the take's camera, which is restored afterwards."""
    camera = tree.find_object(collection, "camera")
    scene.frame_set(frame)
    heads = [
        Vector(rig.pose.bones[1].matrix.translation) for rig in collection.all_objects if rig.type == "ARMATURE"
    ]  # fmt: skip
    middle = sum(heads, Vector()) / len(heads) + Vector((0, 0.05, 0))
    before = camera.matrix_local.copy()
    # In the local frame of the take's origin the camera looks along -z, and y is up.
    turn = Matrix.Rotation(math.radians(SIDEWAYS), 4, "Y")
    camera.matrix_local = Matrix.Translation(middle) @ turn @ Matrix.Translation(-middle) @ before
    try:
        hands = render_hands(scene, frame, collection)
    finally:
        camera.matrix_local = before
    return hands[..., :3] * hands[..., 3:] + GROUND * (1 - hands[..., 3:])


def figures(take: Path) -> list[str]:
    """Compare the take's raw and clean keypoints with the true ones.

    Parameters
    ----------
    take : Path
        Folder of the take, with clean hands.

    Returns
    -------
    list of str
        One line of text for each hand.
    """
    lines = []
    with np.load(take / "motion.npz") as motion, np.load(TRUTH) as truth:
        for side in ("left", "right"):
            if f"{side}_keypoints" not in motion:
                continue
            exact = np.array([truth[f"{frame:06d}_{side}"] for frame in motion["frames"]], np.float64)
            raw, clean = (motion[f"{side}_{name}"].astype(np.float64) for name in ("keypoints_raw", "keypoints"))
            errors = [_error(found, exact) for found in (raw, clean)]
            jitters = [_jitter(found) for found in (raw, clean, exact)]
            lines.append(
                f"{side} hand: keypoint error {errors[0]:.1f} mm raw, {errors[1]:.1f} mm clean (wrist-aligned); "
                f"jitter {jitters[0]:.1f} mm raw, {jitters[1]:.1f} mm clean, {jitters[2]:.1f} mm true"
            )
    return lines


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    """Mean distance of keypoints (N, 21, 3) in metres, relative to the wrist, in millimetres."""
    away = (found - found[:, :1]) - (exact - exact[:, :1])
    return float(np.nanmean(np.linalg.norm(away, axis=-1)) * 1000)


def _jitter(found: np.ndarray) -> float:
    """Mean length of the third differences of keypoints (N, 21, 3) in metres, in millimetres."""
    return float(np.nanmean(np.linalg.norm(np.diff(found, n=3, axis=0), axis=-1)) * 1000)
