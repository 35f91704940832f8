"""Differences between the supported Blender versions, 4.2 and newer.

Each function does the same in every version. A difference is recognised by the attribute that it added or removed, so
a newer Blender takes the path of the newest known one. The other modules of the add-on never ask for the version.

* 4.4: actions have slots, layers and channel bags; the sequencer's ``sequences`` are renamed to ``strips``.
* 4.5 or before it: reading settings of the scene from ``bpy.context`` no longer changes the owner of ``bpy.context``.
* 5.0: ``Action.fcurves`` is removed; materials and worlds always have a node tree; bones are selected in the pose; the
  sequencer may show another scene.
"""

from __future__ import annotations

import bpy


def set_up_action(action: bpy.types.Action, datablock: bpy.types.ID) -> None:
    """Prepare a new, empty action for the curves of one data-block.

    Parameters
    ----------
    action : bpy.types.Action
        The action. It gets one slot and one layer; before 4.4 it is restricted to the data-block's type.
    datablock : bpy.types.ID
        The data-block that gives the slot its type and its name. The action is not assigned to it.
    """
    if hasattr(action, "slots"):
        action.slots.new(id_type=datablock.id_type, name=datablock.name)
        action.layers.new("Layer").strips.new(type="KEYFRAME")
    else:
        action.id_root = datablock.id_type


def use_first_slot(user: bpy.types.AnimData | bpy.types.NlaStrip) -> None:
    """Connect an animation or an NLA strip with the first slot of its action; before 4.4 there is nothing to do.

    Parameters
    ----------
    user : bpy.types.AnimData or bpy.types.NlaStrip
        The user of the action; an action must be assigned.
    """
    if hasattr(user, "action_slot"):
        user.action_slot = user.action.slots[0]


def slot_name(animation: bpy.types.AnimData) -> str:
    """Identifier of the slot by which an animation is used; "" without one, and before 4.4."""
    slot = getattr(animation, "action_slot", None)
    return slot.identifier if slot is not None else ""


def use_slot_named(animation: bpy.types.AnimData, name: str) -> None:
    """Connect an animation with a slot of its action by its identifier, the first where there is none of this name."""
    if hasattr(animation, "action_slot"):
        slots = animation.action.slots
        found = slots.get(name) if name else None
        animation.action_slot = found or (slots[0] if slots else None)


def ensure_slot(datablock: bpy.types.ID) -> object:
    """Return the slot by which a data-block is animated; add one to its action where it has none.

    Parameters
    ----------
    datablock : bpy.types.ID
        A data-block with an action.

    Returns
    -------
    bpy.types.ActionSlot or None
        The slot; None before 4.4.
    """
    animation = datablock.animation_data
    if not hasattr(animation, "action_slot"):
        return None
    if animation.action_slot is None:
        animation.action_slot = animation.action.slots.new(id_type=datablock.id_type, name=datablock.name)
    return animation.action_slot


def selected_bones(rig: bpy.types.Object) -> list[str]:
    """Names of the bones that are selected in Pose Mode."""
    return [bone.name for bone in rig.pose.bones if (bone if hasattr(bone, "select") else bone.bone).select]


def all_slots(action: bpy.types.Action) -> list[object]:
    """Return the slots of an action; before 4.4 one None, which stands for the whole action."""
    return list(action.slots) if hasattr(action, "slots") else [None]


def curve_container(
    action: bpy.types.Action, slot: object = None
) -> bpy.types.Action | bpy.types.ActionChannelbag | None:
    """Return what has the ``fcurves`` and ``groups`` of an action; a missing layer or channel bag is added.

    Parameters
    ----------
    action : bpy.types.Action
        The action.
    slot : bpy.types.ActionSlot, optional
        A slot of the action; None for the first.

    Returns
    -------
    bpy.types.Action, bpy.types.ActionChannelbag or None
        The channel bag of the slot; before 4.4 the action itself. None when the action has no slot.
    """
    if not hasattr(action, "slots"):
        return action
    slot = slot or (action.slots[0] if action.slots else None)
    if slot is None:
        return None
    if not action.layers:
        action.layers.new("Layer")
    if not action.layers[0].strips:
        action.layers[0].strips.new(type="KEYFRAME")
    return action.layers[0].strips[0].channelbag(slot, ensure=True)


def active_curve_container(
    animation: bpy.types.AnimData,
) -> bpy.types.Action | bpy.types.ActionChannelbag | None:
    """Return what has the ``fcurves`` and ``groups`` that currently animate a data-block.

    Parameters
    ----------
    animation : bpy.types.AnimData
        The data-block's animation.

    Returns
    -------
    bpy.types.Action, bpy.types.ActionChannelbag or None
        As for :func:`curve_container`; None also without an action or without a slot in it.
    """
    if animation.action is None:
        return None
    if not hasattr(animation, "action_slot"):
        return animation.action
    return curve_container(animation.action, animation.action_slot) if animation.action_slot is not None else None


def sequencer_strips(editor: bpy.types.SequenceEditor) -> bpy.types.bpy_prop_collection:
    """Return the strips of a sequencer; new ones can be added to the result.

    Parameters
    ----------
    editor : bpy.types.SequenceEditor
        The sequencer of a scene.

    Returns
    -------
    bpy.types.bpy_prop_collection
        The strips at the top level.
    """
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def ensure_node_tree(owner: bpy.types.Material | bpy.types.World) -> bpy.types.NodeTree:
    """Return the node tree of a material or a world; before 5.0 it is switched on where it is missing.

    Parameters
    ----------
    owner : bpy.types.Material or bpy.types.World
        The owner of the tree.

    Returns
    -------
    bpy.types.NodeTree
        The tree, with Blender's default nodes in a new material or world.
    """
    if owner.node_tree is None:
        owner.use_nodes = True
    return owner.node_tree


def release_context() -> None:
    """Make no data-block the owner of ``bpy.context``; newer Blenders never make one.

    In 4.2, reading ``tool_settings`` or ``layer_collection`` from ``bpy.context`` makes the scene its owner, and it
    stays the owner when it is freed, for example as another file is opened. From then on Blender reads and writes freed
    memory where a property of ``bpy.context.window`` is set, or a dependency graph of ``bpy.context`` is used: exports
    do both. Rigify reads ``layer_collection``. Reading ``tool_settings`` without a scene takes the owner away.
    """
    with bpy.context.temp_override(scene=None):
        _ = bpy.context.tool_settings


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """Return the scene whose strips the sequencer shows; before 5.0 that is always the scene of the window."""
    return getattr(context, "sequencer_scene", None) or context.scene


def strip_part(strip: bpy.types.ID) -> tuple[int, int, int]:
    """Return the part of a strip between its handles; 5.2 gave these properties other names.

    Parameters
    ----------
    strip : bpy.types.ID
        A strip of pictures in the sequencer.

    Returns
    -------
    skipped : int
        Frames of its files before the part.
    start : int
        Scene frame of the left handle.
    count : int
        Length of the part, frames.
    """
    if hasattr(strip, "left_handle"):
        trimmed = getattr(strip, "content_trim_start", 0)
        return int(trimmed + strip.left_handle_offset), int(strip.left_handle), int(strip.duration)
    trimmed = strip.animation_offset_start
    return int(trimmed + strip.frame_offset_start), int(strip.frame_final_start), int(strip.frame_final_duration)
