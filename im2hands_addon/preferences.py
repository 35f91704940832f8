"""The add-on's preferences: location, check and installation of the backend."""

import bpy

from . import running


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

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the state of the backend, its check and its installation."""
        layout = self.layout
        backend = running.backend()
        layout.use_property_split = True
        layout.prop(self, "backend")
        row = layout.row()
        row.label(text=backend.line, icon="CHECKMARK" if backend.is_found else "ERROR")
        row.operator("im2hands.check_backend", icon="VIEWZOOM")
        task = running.task()
        if task is not None and task.name == "Check" and not task.has_ended:
            layout.label(text="Checking, up to half a minute", icon="TIME")
        for finding in running.findings():
            layout.label(text=finding.text, icon="CHECKMARK" if finding.ok else "ERROR")
        box = layout.box()
        box.label(text="Install", icon="IMPORT")
        box.prop(self, "python")
        if not backend.has_wheel or self.package:
            box.prop(self, "package")
        box.prop(self, "compute")
        if not bpy.app.online_access:
            box.label(text="Needs System > Network > Allow Online Access", icon="INTERNET_OFFLINE")
        if task is not None and task.name != "Check" and not task.has_ended:
            box.progress(factor=task.fraction, text=task.title)
            for line in list(task.lines)[-3:]:
                box.label(text=line[:120])
            box.operator("im2hands.cancel_task", icon="X")
        else:
            box.operator("im2hands.install_backend", icon="IMPORT")


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
