"""The 21 keypoints of the hands of an armature, as the keypoint file that the backend reads with ``--keypoints``.

Joints are the heads of the finger bones; a tip is the tail of a finger's last bone; the wrist is the head of the hand
bone. The bones are found by the bone maps. Positions are in the frame of the scene's camera (x right, y down, z
forward), metres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from ..bone_maps import HAND, find_map
from ..errors import InputError
from . import lens
from .camera import to_blender

FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
"""Fingers in the order of the keypoints; each has bones .01 to .03."""

_DIGITS = 6  # decimals of a metre


@dataclass(frozen=True)
class Written:
    """What was written.

    Parameters
    ----------
    frames : int
        Frames.
    hands : tuple of str
        Sides.
    camera : dict or None
        Camera file's content; None if the camera has no single perspective view.
    """

    frames: int
    hands: tuple[str, ...]
    camera: dict | None


def write_rig_keypoints(
    rig: bpy.types.Object,
    path: Path,
    *,
    bone_map: str | Path = "AUTO",
    frames: tuple[int, int] | None = None,
    scene: bpy.types.Scene | None = None,
) -> Written:
    """Write the keypoints of an armature's hands, and beside them the camera as ``NAME.camera.json``.

    Parameters
    ----------
    rig : bpy.types.Object
        The armature object.
    path : Path
        The JSON file.
    bone_map : str or Path
        See ``scene.retarget.bake_to_rig``.
    frames : tuple of int, optional
        First and last scene frame, inclusive; None for the scene's range.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Returns
    -------
    Written

    Raises
    ------
    InputError
        There is no armature, no camera, no hand with all its finger bones, or the file cannot be written.
    """
    if rig is None or rig.type != "ARMATURE":
        raise InputError("Keypoints are read from an armature.", "Select it.")
    scene = scene or bpy.context.scene
    if scene.camera is None:
        raise InputError("The scene has no camera.", "Add one: the keypoints are written as it sees them.")
    _, found = find_map(bone_map, rig.data.bones.keys())
    hands = {side: names for side, bones in found.items() if (names := _whole(bones)) is not None}
    if not hands:
        raise InputError(
            f"{rig.name} has no hand with a wrist and three bones of every finger.", "Give another bone map."
        )
    first, last = frames or (scene.frame_start, scene.frame_end)
    if first < 0 or last < first:
        raise InputError(f"Frames {first} to {last} cannot be written.", "Frame numbers of a keypoint file start at 0.")
    rows, cameras = _sampled(rig, hands, scene, range(first, last + 1))
    content = {"order": "file", "unit": "m", "space": "camera", "frames": rows}
    camera = cameras[0] if cameras and all(one == cameras[0] for one in cameras) else None
    try:
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        if camera is not None:
            path.with_suffix(".camera.json").write_text(json.dumps(camera, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.", "Choose another file.") from error
    return Written(len(rows), tuple(hands), camera)


def _whole(bones: dict[str, str]) -> list[str] | None:
    """Names of the hand bone and the 15 finger bones, in the order of the keypoints; None if one is missing."""
    wanted = [HAND, *(f"{finger}.{level:02}" for finger in FINGERS for level in (1, 2, 3))]
    return [bones[name] for name in wanted] if all(name in bones for name in wanted) else None


def _sampled(
    rig: bpy.types.Object, hands: dict[str, list[str]], scene: bpy.types.Scene, numbers: range
) -> tuple[dict[str, dict[str, list]], list[dict]]:
    """Frames of the file, and the camera of each frame."""
    before, unit = scene.frame_current, scene.unit_settings.scale_length or 1.0
    rows: dict[str, dict[str, list]] = {}
    cameras = []
    try:
        for number in numbers:
            scene.frame_set(number)
            graph = bpy.context.evaluated_depsgraph_get()
            posed, seen = rig.evaluated_get(graph), scene.camera.evaluated_get(graph)
            to_camera = np.linalg.inv(np.array(seen.matrix_world.normalized()))
            cameras.append(lens.of_camera(scene, seen, graph))
            row = {}
            for side, names in hands.items():
                points = np.array(_points(posed, names))
                local = points @ to_camera[:3, :3].T + to_camera[:3, 3]
                row[side] = np.round(to_blender(local) * unit, _DIGITS).tolist()
                if min(point[2] for point in row[side]) <= 0:
                    raise InputError(
                        f"The {side} hand of frame {number} is behind the camera.",
                        "Move the camera, or leave frames out.",
                    )
            rows[f"{number:06d}"] = row
    finally:
        scene.frame_set(before)
    return rows, cameras


def _points(rig: bpy.types.Object, names: list[str]) -> list[Vector]:
    """The 21 keypoints in the world, file order."""
    bones = [rig.pose.bones[name] for name in names]
    points = [bones[0].head]
    for start in range(1, len(bones), 3):
        finger = bones[start : start + 3]
        points += [*(bone.head for bone in finger), finger[-1].tail]
    return [rig.matrix_world @ point for point in points]
