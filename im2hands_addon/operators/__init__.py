"""The operators, one per file."""

import bpy

from . import (
    apply_keypoints,
    bake_to_rig,
    bone_table,
    cancel_reconstruction,
    cancel_task,
    check_backend,
    choose_character,
    choose_source,
    conform_to_scene,
    copy_findings,
    doubtful_frame,
    draw_box,
    drop_source,
    ease_edits,
    edit_above_clean,
    edit_keypoints,
    enqueue,
    export_take,
    follow_take,
    frame_hands,
    go_to_frame,
    hold_pose,
    import_take,
    install_backend,
    isolate_take,
    keypoints_from_rig,
    look_through_take,
    mark_absent,
    mirror_pose,
    move_in_depth,
    move_old_takes,
    note_undo,
    pin_hand,
    rebuild_frames,
    reclean,
    reconstruct,
    remove_edit,
    remove_from_queue,
    remove_take,
    retime,
    set_rotation_mode,
    set_scene_to_take,
    show_footage,
    show_surfaces,
    swap_sides,
    use_source,
)

_CLASSES = (
    choose_source.Im2HandsChooseSource,
    use_source.Im2HandsUseSource,
    drop_source.Im2HandsDropSource,
    drop_source.Im2HandsDropHandler,
    enqueue.Im2HandsEnqueue,
    remove_from_queue.Im2HandsRemoveFromQueue,
    reconstruct.Im2HandsReconstruct,
    cancel_reconstruction.Im2HandsCancelReconstruction,
    import_take.Im2HandsImportTake,
    remove_take.Im2HandsRemoveTake,
    show_surfaces.Im2HandsShowSurfaces,
    show_footage.Im2HandsShowFootage,
    set_rotation_mode.Im2HandsSetRotationMode,
    edit_above_clean.Im2HandsEditAboveClean,
    reclean.Im2HandsReclean,
    hold_pose.Im2HandsHoldPose,
    ease_edits.Im2HandsEaseEdits,
    mirror_pose.Im2HandsMirrorPose,
    retime.Im2HandsRetime,
    conform_to_scene.Im2HandsConformToScene,
    set_scene_to_take.Im2HandsSetSceneToTake,
    export_take.Im2HandsExportTake,
    bake_to_rig.Im2HandsBakeToRig,
    follow_take.Im2HandsFollowTake,
    keypoints_from_rig.Im2HandsKeypointsFromRig,
    go_to_frame.Im2HandsGoToFrame,
    doubtful_frame.Im2HandsDoubtfulFrame,
    look_through_take.Im2HandsLookThroughTake,
    frame_hands.Im2HandsFrameHands,
    isolate_take.Im2HandsIsolateTake,
    check_backend.Im2HandsCheckBackend,
    install_backend.Im2HandsInstallBackend,
    cancel_task.Im2HandsCancelTask,
    copy_findings.Im2HandsCopyFindings,
    move_old_takes.Im2HandsMoveOldTakes,
    edit_keypoints.Im2HandsEditKeypoints,
    apply_keypoints.Im2HandsApplyKeypoints,
    move_in_depth.Im2HandsMoveInDepth,
    mark_absent.Im2HandsMarkAbsent,
    swap_sides.Im2HandsSwapSides,
    pin_hand.Im2HandsPinHand,
    draw_box.Im2HandsDrawBox,
    remove_edit.Im2HandsRemoveEdit,
    rebuild_frames.Im2HandsRebuildFrames,
    *note_undo.CLASSES,
    *bone_table.CLASSES,
    *choose_character.CLASSES,
)


def register() -> None:
    """Register the operators and add the entry in File > Import."""
    for one in _CLASSES:
        bpy.utils.register_class(one)
    bpy.types.TOPBAR_MT_file_import.append(import_take.draw_menu)


def unregister() -> None:
    """Unregister the operators and remove the entry."""
    bpy.types.TOPBAR_MT_file_import.remove(import_take.draw_menu)
    for one in reversed(_CLASSES):
        bpy.utils.unregister_class(one)
