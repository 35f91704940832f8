"""The add-on's preferences: location, check and installation of the backend."""

import bpy

from . import running, setup_view
from .locations import environment_folder, takes_folder
from .scene.wrapped_text import draw_wrapped


def _look_for_backend(_preferences: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    running.look_for_backend()


class Im2HandsPreferences(bpy.types.AddonPreferences):
    """Settings that hold for all files."""

    bl_idname = __package__

    backend: bpy.props.StringProperty(
        name="Backend",
        description="Python environment of the backend: its folder or its Python. Empty: found automatically",
        subtype="FILE_PATH",
        update=_look_for_backend,
    )
    machine: bpy.props.StringProperty(
        name="Command",
        description="Command that starts the backend on another machine, without a question for a password, such as: "
        "ssh box /opt/im2hands/bin/im2hands. Empty: the backend of this machine",
        update=_look_for_backend,
    )
    shared_here: bpy.props.StringProperty(
        name="Shared Folder",
        description="Folder that the other machine sees, too; sources and takes must lie in it. Empty: all paths are "
        "the same on both machines",
        subtype="DIR_PATH",
    )
    shared_there: bpy.props.StringProperty(
        name="Its Path There",
        description="Path of the shared folder on the other machine. Empty: as on this one",
    )
    wheels: bpy.props.StringProperty(
        name="Wheels",
        description="Folder with the wheels of all packages, to install from without a network. Empty: the packages "
        "are downloaded",
        subtype="DIR_PATH",
    )
    show_all: bpy.props.BoolProperty(name="Show All", description="List also what is in order", options={"SKIP_SAVE"})
    python: bpy.props.StringProperty(
        name="Python",
        description="Python 3.11 to 3.13 for the backend's environment. Empty: found automatically",
        subtype="FILE_PATH",
    )
    package: bpy.props.StringProperty(
        name="Package",
        description="Wheel or source folder of the backend. Empty: the wheel in the extension",
        subtype="FILE_PATH",
    )
    compute: bpy.props.EnumProperty(
        name="Compute",
        description="Which build of PyTorch to install",
        items=(
            ("AUTO", "Automatic", "GPU build if there is an NVIDIA GPU, else CPU build"),
            ("CPU", "CPU", "Small build, runs on every machine"),
            ("GPU", "GPU", "Build with CUDA, several gigabytes"),
        ),
    )

    takes: bpy.props.StringProperty(
        name="Takes",
        description="Folder for takes of files that are not saved yet. Empty: Im2Hands/takes in the home folder",
        subtype="DIR_PATH",
    )
    environments: bpy.props.StringProperty(
        name="Install Into",
        description="Folder for the backend's environment, several gigabytes. Empty: your folder for data of programs",
        subtype="DIR_PATH",
        update=_look_for_backend,
    )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the state of the backend, its check and its installation, and the folders."""
        layout = self.layout
        backend = running.backend()
        layout.use_property_split = True
        layout.prop(self, "takes")
        draw_wrapped(layout, f"Takes of unsaved files: {takes_folder()}", "FILE_FOLDER", context)
        if backend.old_takes:
            told = (
                f"{len(backend.old_takes)} takes lie in the extension's folder ({backend.old_takes[0].parent}). "
                "Uninstalling the extension deletes them."
            )
            draw_wrapped(layout, told, "ERROR", context)
            layout.operator("im2hands.move_old_takes", icon="FILE_FOLDER")
        layout.prop(self, "backend")
        draw_wrapped(layout, backend.line, "CHECKMARK" if backend.is_found else "ERROR", context)
        layout.operator("im2hands.check_backend", icon="VIEWZOOM")
        setup_view.draw_findings(layout, context, all_of_them=self.show_all)
        if running.findings():
            row = layout.row()
            row.prop(self, "show_all")
            row.operator("im2hands.copy_findings", icon="COPYDOWN")
        box = layout.box()
        box.label(text="On Another Machine", icon="NETWORK_DRIVE")
        box.prop(self, "machine")
        if self.machine:
            box.prop(self, "shared_here")
            box.prop(self, "shared_there")
        box = layout.box()
        box.label(text="Install", icon="IMPORT")
        box.prop(self, "python")
        if not backend.has_wheel or self.package:
            box.prop(self, "package")
        box.prop(self, "compute")
        box.prop(self, "environments")
        box.prop(self, "wheels")
        draw_wrapped(box, f"Installs into {environment_folder()}", "FILE_FOLDER", context)
        if backend.old_environment is not None:
            told = (
                f"The environment of an older add-on lies in the extension's folder ({backend.old_environment}). "
                "Uninstalling the extension deletes it. Install Backend makes one in the folder above and removes it."
            )
            draw_wrapped(box, told, "INFO", context)
        if not (bpy.app.online_access or self.wheels):
            told = "Needs System > Network > Allow Online Access, or a folder of wheels"
            draw_wrapped(box, told, "INTERNET_OFFLINE", context)
        setup_view.draw_task(box, context)


def preferences() -> Im2HandsPreferences | None:
    """The add-on's preferences; None when it is imported as a plain package."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon is not None else None


CLASSES = (Im2HandsPreferences,)


def register() -> None:
    """Register the preferences."""
    for one in CLASSES:
        bpy.utils.register_class(one)


def unregister() -> None:
    """Unregister the preferences."""
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
