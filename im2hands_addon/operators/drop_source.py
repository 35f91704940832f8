"""Operator and handler: files that are dropped into a 3D view become the source, and one click starts."""

from pathlib import Path

import bpy

from .. import planned, running, waiting
from ..errors import AddonError
from ..properties import inputs_of, set_source
from ..scene.sources import CLIPS, PICTURES, of_files
from ..scene.wrapped_text import draw_wrapped
from . import install_backend
from .starts_job import needs_installation

_WIDTH = 420


class Im2HandsDropSource(bpy.types.Operator):
    """Use the dropped photos or the dropped clip as the source, and ask whether to reconstruct the hands in it"""

    bl_idname = "im2hands.drop_source"
    bl_label = "Reconstruct Hands"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    directory: bpy.props.StringProperty(
        name="Folder", description="Folder of the files", subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"}
    )
    files: bpy.props.CollectionProperty(
        name="Files",
        description="The dropped files",
        type=bpy.types.OperatorFileListElement,
        options={"SKIP_SAVE", "HIDDEN"},
    )
    _told: tuple[str, ...] = ()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Choose the files and ask."""
        self._choose(context)
        planned.refresh()
        backend = running.backend()
        self._told = () if backend.is_found or backend.is_named else install_backend.what_is_done()
        button = "Install and Reconstruct" if self._told else "Reconstruct"
        return context.window_manager.invoke_props_dialog(
            self, width=_WIDTH, title="Reconstruct Hands", confirm_text=button
        )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw what is reconstructed, where the take goes, and whether there is a backend."""
        layout = self.layout
        inputs = inputs_of(context.scene.im2hands)
        layout.label(text=f"{len(inputs)} files" if len(inputs) > 1 else Path(inputs[0]).name, icon="FILE_MOVIE")
        draw_wrapped(layout, planned.told(context.scene.im2hands), "FILE_FOLDER", context, width=_WIDTH)
        if running.is_reconstructing():
            draw_wrapped(
                layout, "Another reconstruction is running: this one will wait for it.", "TIME", context, width=_WIDTH
            )
        backend = running.backend()
        if not backend.is_found:
            told = f"{backend.line} {_what_comes()}".rstrip()
            draw_wrapped(layout, told, "ERROR", context, width=_WIDTH)
            for line in self._told if needs_installation() else ():
                draw_wrapped(layout, line, "DOT", context, width=_WIDTH)
            if self._told and not install_backend.may_download():
                layout.operator("extensions.userpref_allow_online", text="Allow Online Access", icon="CHECKMARK")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start, or wait for the reconstruction that runs."""
        if self.files:
            self._choose(context)
        try:
            one = waiting.from_settings(context.scene)
            if self._told and needs_installation():  # a script has seen no dialog
                install_backend.install()
                waiting.hold(one)
            else:
                running.enqueue(one)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}

    def _choose(self, context: bpy.types.Context) -> None:
        set_source(context.scene.im2hands, of_files(self.directory, self.files))


def _what_comes() -> str:
    """What happens to the reconstruction without a backend; "" where the state of the backend tells it."""
    if running.backend().is_named:
        return ""
    if running.is_installing():
        return "It is being installed; then this starts by itself."
    if running.is_working():
        return "A check is running: install the backend when it has ended."
    if not install_backend.may_download():
        return f"It can be installed here when Blender may download: {install_backend.NOT_ONLINE}."
    return "It is installed first; then this starts by itself."


class Im2HandsDropHandler(bpy.types.FileHandler):
    """Photos and clips that are dropped into a 3D view."""

    bl_idname = "IM2HANDS_FH_source"
    bl_label = "Reconstruct Hands"
    bl_import_operator = Im2HandsDropSource.bl_idname
    bl_file_extensions = ";".join((*PICTURES, *CLIPS))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Whether the files are dropped into a 3D view."""
        return context.area is not None and context.area.type == "VIEW_3D"
