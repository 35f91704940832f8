"""The operators, one per file."""

import bpy

from . import (
    bake_to_rig,
    cancel_reconstruction,
    cancel_task,
    check_backend,
    choose_source,
    conform_to_scene,
    export_take,
    go_to_frame,
    import_take,
    install_backend,
    keypoints_from_rig,
    move_old_takes,
    reconstruct,
    remove_take,
    set_rotation_mode,
    set_scene_to_take,
    show_footage,
    show_surfaces,
)

_CLASSES = (
    choose_source.Im2HandsChooseSource,
    reconstruct.Im2HandsReconstruct,
    cancel_reconstruction.Im2HandsCancelReconstruction,
    import_take.Im2HandsImportTake,
    remove_take.Im2HandsRemoveTake,
    show_surfaces.Im2HandsShowSurfaces,
    show_footage.Im2HandsShowFootage,
    set_rotation_mode.Im2HandsSetRotationMode,
    conform_to_scene.Im2HandsConformToScene,
    set_scene_to_take.Im2HandsSetSceneToTake,
    export_take.Im2HandsExportTake,
    bake_to_rig.Im2HandsBakeToRig,
    keypoints_from_rig.Im2HandsKeypointsFromRig,
    go_to_frame.Im2HandsGoToFrame,
    check_backend.Im2HandsCheckBackend,
    install_backend.Im2HandsInstallBackend,
    cancel_task.Im2HandsCancelTask,
    move_old_takes.Im2HandsMoveOldTakes,
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
