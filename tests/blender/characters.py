"""A character for tests: the left arm of a rig that Rigify generates."""

from __future__ import annotations

import bpy


def metarig() -> bpy.types.Object:
    """Add Rigify's human metarig; Rigify is enabled for it."""
    bpy.ops.preferences.addon_enable(module="rigify")
    bpy.ops.object.armature_human_metarig_add()
    return bpy.context.object


def generated(meta: bpy.types.Object) -> bpy.types.Object:
    """Generate the rig of a metarig's left arm; it stands in IK, which is Rigify's default."""
    bpy.ops.object.mode_set(mode="EDIT")
    bones = meta.data.edit_bones
    arm = {"upper_arm.L", *(bone.name for bone in bones["upper_arm.L"].children_recursive)}
    for bone in [bone for bone in bones if bone.name not in arm]:
        bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.pose.rigify_generate()
    rig = bpy.context.object
    assert rig is not meta and rig.pose.bones["upper_arm_parent.L"]["IK_FK"] == 0.0
    meta.hide_set(True)
    return rig
