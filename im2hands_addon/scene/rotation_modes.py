"""Converts a take's rotation curves between quaternions and Euler angles, the person's changes included."""

from __future__ import annotations

from typing import get_args

import bpy

from ..errors import InputError
from . import clean
from .ownership import require_local
from .rotation_curves import RotationMode, convert

MODES = get_args(RotationMode)
"""All rotation modes."""


def set_rotation_mode(collection: bpy.types.Collection, mode: RotationMode) -> None:
    """Convert the rotation curves of all bones of a take, in the raw and in the clean motion.

    Euler angles continue beyond half turns instead of jumping by a full turn.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    mode : {"QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"}
        The rotation mode.

    Raises
    ------
    InputError
        The mode is unknown, the take has no rigged hands, or the collection is linked from another file.
    """
    require_local(collection)
    if mode not in MODES:
        raise InputError(f"There is no rotation mode {mode}.", f"Use one of {', '.join(MODES)}.")
    for rig in clean.require_rigs(collection).values():
        for bone in rig.pose.bones:
            convert(rig, bone, mode)
