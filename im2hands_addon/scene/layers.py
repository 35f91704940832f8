"""The layers of motion of a hand: raw below, clean above it, and a person's keys on top.

After an import the clean motion is the assigned action, so its keys are in the Dope Sheet. :func:`lift` makes it an NLA
strip, and leaves the place of the assigned action to the person: what is keyed there is combined with the clean motion
below, which can then be exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator

import bpy
import numpy as np

from . import animation, blender_versions
from .ownership import mark, role_of

CLEAN, RAW, EDITS = "clean", "raw", "edits"
"""Roles of actions."""
TRACK = "Clean"
"""Name of the NLA track of a lifted clean motion."""


def strips(owner: bpy.types.ID) -> Iterator[tuple[bpy.types.NlaTrack, bpy.types.NlaStrip]]:
    """All NLA strips with an action that animate a data-block, the lowest first."""
    if owner.animation_data is not None:
        for track in owner.animation_data.nla_tracks:
            yield from ((track, strip) for strip in track.strips if strip.action is not None)


def clean_strip(owner: bpy.types.ID) -> bpy.types.NlaStrip | None:
    """The strip of the clean motion; None where that is the assigned action, or not there at all."""
    return next((strip for _, strip in strips(owner) if role_of(strip.action) == CLEAN), None)


def clean_action(owner: bpy.types.ID) -> bpy.types.Action | None:
    """The action with the clean motion of a rig or of shape keys, assigned or as a strip; None without one."""
    animated = owner.animation_data
    if animated is None:
        return None
    if animated.action is not None and role_of(animated.action) == CLEAN:
        return animated.action
    strip = clean_strip(owner)
    return strip.action if strip is not None else None


def is_lifted(owner: bpy.types.ID) -> bool:
    """Whether the clean motion is a strip, with a person's layer above it."""
    return clean_strip(owner) is not None


def lift(owner: bpy.types.ID) -> None:
    """Make the assigned clean motion an NLA strip, and combine what is assigned next with it.

    Parameters
    ----------
    owner : bpy.types.ID
        A rig whose assigned action is the clean motion.
    """
    animated = owner.animation_data
    strength = strength_of(owner)
    action, animated.action = animated.action, None
    animation.put_below(owner, action, TRACK)
    set_strength(owner, strength)
    animated.action_influence = 1.0
    animated.action_blend_type, animated.action_extrapolation = "COMBINE", "HOLD"


def new_layer(collection: bpy.types.Collection, owner: bpy.types.Object) -> bpy.types.Action:
    """Make an empty action for a person's keys above the clean motion; it is not assigned."""
    action = animation.new_action(owner, f"{collection.name} Edits {owner.name}")
    mark(action, EDITS)
    return action


def person_layer(owner: bpy.types.ID) -> bpy.types.Action | None:
    """The assigned action where it is a person's layer above the clean motion, or instead of it; None otherwise."""
    animated = owner.animation_data
    action = animated.action if animated is not None else None
    return action if action is not None and role_of(action) != CLEAN else None


def ensure_layer(collection: bpy.types.Collection, owner: bpy.types.Object) -> bpy.types.Action:
    """Return a person's layer above the clean motion of a rig; it is made where there is none."""
    if not is_lifted(owner) and person_layer(owner) is None:
        lift(owner)
    if person_layer(owner) is None:
        animation.assign(owner, new_layer(collection, owner))
    blender_versions.ensure_slot(owner)
    return owner.animation_data.action


def strength_of(owner: bpy.types.ID) -> float:
    """How far the clean motion covers the raw motion, 0 to 1."""
    strip = clean_strip(owner)
    if strip is None:
        return animation.influence(owner) if person_layer(owner) is None else 1.0
    curve = strip.fcurves.find("influence") if strip.use_animated_influence else None
    if curve is None or not len(curve.keyframe_points):
        return strip.influence if strip.use_animated_influence else 1.0
    return float(animation.read_values(curve)[1].max())


def set_strength(owner: bpy.types.ID, value: float) -> None:
    """Set how far the clean motion covers the raw motion.

    Parameters
    ----------
    owner : bpy.types.ID
        A rig or shape keys of a take.
    value : float
        0 shows only the raw motion, 1 only the clean motion. Values outside are clamped.
    """
    strip = clean_strip(owner)
    if strip is None:
        if person_layer(owner) is None:
            animation.set_influence(owner, value)
        return
    value = min(1.0, max(0.0, value))
    strip.use_animated_influence = value < 1.0  # without it Blender sets the influence to 1
    if value < 1.0:
        strip.influence = value
        curve = strip.fcurves.find("influence")
        if curve is not None and len(curve.keyframe_points):
            frames = animation.read_values(curve)[0]
            both = np.stack([frames, np.full(len(frames), value, np.float32)], axis=1)
            curve.keyframe_points.foreach_set("co", both.ravel())
            curve.update()
