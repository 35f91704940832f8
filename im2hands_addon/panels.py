"""The tab "Im2Hands" in the sidebar of the 3D viewport."""

import bpy

from . import planned, recent, running, setup_view, take_panel, waiting
from .presets import VIEW3D_PT_im2hands_presets
from .process.options import OPTIONS, Option
from .properties import LENS_OPTIONS, SIDEBAR_OPTIONS, Im2HandsSettings, property_of, several_inputs
from .scene import clean, footage, sources, surfaces, tree
from .scene.wrapped_text import draw_wrapped

_OF_SURFACES = ("voxel_mm",)  # a draft has none
_FOR_DETECTION = ("hands", "mirrored")  # they have no effect on keypoints from a file


class _Im2HandsPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Im2Hands"


class Im2HandsSourcesMenu(bpy.types.Menu):
    """Take a source over from Blender, or one used before."""

    bl_idname = "IM2HANDS_MT_sources"
    bl_label = "Sources"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the active movie clip, the selected strip, and the sources used last."""
        layout = self.layout
        icons = {"CLIP": "TRACKER", "STRIP": "SEQUENCE"}
        offered = list(sources.selected(context))
        for kind, name in offered:
            layout.operator("im2hands.use_source", text=name, icon=icons[kind]).kind = kind
        if not offered:
            layout.label(text="No movie clip, no selected strip")
        layout.separator()
        layout.label(text="Recent")
        for number, paths in enumerate(recent.sources()):
            button = layout.operator("im2hands.use_source", text=recent.name_of(paths), icon="FILE_MOVIE")
            button.kind, button.number = "RECENT", number


class Im2HandsSourcePanel(_Im2HandsPanel, bpy.types.Panel):
    """Choose what to reconstruct, and start."""

    bl_idname = "VIEW3D_PT_im2hands"
    bl_label = "Reconstruct Hands"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the source, the take's folder, the job and the state of the backend."""
        settings = context.scene.im2hands
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        row = layout.row(align=True)
        row.prop(settings, "source")
        row.operator("im2hands.choose_source", text="", icon="FILE_FOLDER")
        row.menu(Im2HandsSourcesMenu.bl_idname, text="", icon="DOWNARROW_HLT")
        several = several_inputs(settings)
        if several:
            layout.label(text=f"{len(several)} chosen files", icon="DOCUMENTS")
        layout.prop(settings, "quality")
        layout.prop(settings, "output")
        draw_wrapped(layout, planned.told(settings), "FILE_FOLDER", context)
        _draw_job(layout, context)
        backend = running.backend()
        row = layout.row()
        draw_wrapped(row, backend.line, "CHECKMARK" if backend.is_found else "ERROR", context)
        if not backend.is_found:
            row.operator("preferences.addon_show", text="", icon="PREFERENCES").module = __package__
        if not backend.is_found or running.is_working():
            setup_view.draw_task(layout, context)
            setup_view.draw_findings(layout, context)
        if backend.old_takes:
            told = f"{len(backend.old_takes)} takes lie in the extension's folder, which uninstalling deletes."
            draw_wrapped(layout, told, "ERROR", context)
            layout.operator("im2hands.move_old_takes", icon="FILE_FOLDER")


class Im2HandsOptionsPanel(_Im2HandsPanel, bpy.types.Panel):
    """Options of the reconstruction."""

    bl_idname = "VIEW3D_PT_im2hands_options"
    bl_label = "Options"
    bl_parent_id = "VIEW3D_PT_im2hands"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw_header_preset(self, _context: bpy.types.Context) -> None:
        """Draw the button of the presets."""
        VIEW3D_PT_im2hands_presets.draw_panel_header(self.layout)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the options of the reconstruction."""
        settings = context.scene.im2hands
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "use_range")
        if settings.use_range:
            column = layout.column(align=True)
            column.prop(settings, "frame_start")
            column.prop(settings, "frame_end")
        layout.prop(settings, "camera")
        lens = LENS_OPTIONS.get(settings.camera)
        if lens:
            layout.prop(settings, property_of(OPTIONS[lens]))
        if settings.camera == "clip":
            layout.prop(settings, "movie_clip")
        for option in SIDEBAR_OPTIONS:
            if not option.exclusive and not option.advanced and option.name != "quality":
                _draw_option(layout, settings, option)
        if settings.clean:
            layout.prop(settings, "surfaces")
        layout.prop(settings, "set_scene")
        layout.prop(settings, "use_start")
        if settings.use_start:
            layout.prop(settings, "start_frame")
        layout.prop(settings, "conform")


class Im2HandsAdvancedPanel(_Im2HandsPanel, bpy.types.Panel):
    """Values in place of those that Quality chooses."""

    bl_idname = "VIEW3D_PT_im2hands_advanced"
    bl_label = "Advanced"
    bl_parent_id = "VIEW3D_PT_im2hands_options"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw_header(self, context: bpy.types.Context) -> None:
        """Draw the switch of the whole panel."""
        self.layout.prop(context.scene.im2hands, "use_advanced", text="")

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the values; they are grey while Quality chooses them."""
        settings = context.scene.im2hands
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.active = settings.use_advanced
        if settings.quality != "draft":
            layout.prop(settings, "refine")
        for option in SIDEBAR_OPTIONS:
            if option.advanced and (settings.quality != "draft" or option.name not in _OF_SURFACES):
                _draw_option(layout, settings, option)


def _draw_option(layout: bpy.types.UILayout, settings: Im2HandsSettings, option: Option) -> None:
    """Draw one option, unless another setting makes it irrelevant."""
    from_file = settings.keypoints == "file"
    if (option.needs and not getattr(settings, option.needs)) or (from_file and option.name in _FOR_DETECTION):
        return
    layout.prop(settings, option.name, slider=(option.min, option.max) == (0, 1))
    if option.type == "choice_or_file" and from_file:
        layout.prop(settings, f"{option.name}_file")


class Im2HandsTakesPanel(_Im2HandsPanel, bpy.types.Panel):
    """The takes in the scene, and the frames to check."""

    bl_idname = "VIEW3D_PT_im2hands_takes"
    bl_label = "Takes"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw Import Take, and for each take its counts of frames, its buttons and the frames to check.

        An active armature gets a button that writes its hands' keypoints.
        """
        layout = self.layout
        layout.operator("im2hands.import_take", icon="IMPORT")
        if context.active_object is not None and context.active_object.type == "ARMATURE":
            layout.operator("im2hands.keypoints_from_rig", icon="ARMATURE_DATA").rig = context.active_object.name
        for collection in tree.take_collections(context.scene):
            box = layout.box()
            row = box.row()
            row.label(text=collection.name, icon="OUTLINER_COLLECTION")
            row.operator("im2hands.remove_take", text="", icon="TRASH").take = collection.name
            box.label(text=_counted(collection))
            if collection.get(tree.UNFINISHED) and not running.is_reconstructing():
                row = box.row()
                row.label(text="Not finished", icon="TIME")
                row.operator("im2hands.resume", icon="PLAY").take = collection.name
            take_panel.draw_view(box, collection, context)
            _draw_take(box, collection)
            _draw_surfaces(box, collection, context.scene)
            _draw_footage(box, collection)
            take_panel.draw_timing(box, collection, context.scene)
            if collection.get("im2hands_camera_origin") == "assumed":
                box.label(text="The focal length is assumed", icon="CAMERA_DATA")
            take_panel.draw_doubts(box, collection)


def _counted(collection: bpy.types.Collection) -> str:
    """What the frames of a take have brought, in words; they are counted at the end of a job."""
    counts = [(name, int(collection.get(f"im2hands_{name}", 0))) for name in ("ok", "partial", "empty", "failed")]
    found = ", ".join(f"{count} {name}" for name, count in counts if count)
    started = running.reconstruction()
    is_made = running.is_reconstructing() and started.collection_name == collection.name
    return found or ("its frames are being made" if is_made else "no frames yet")


def _draw_take(layout: bpy.types.UILayout, collection: bpy.types.Collection) -> None:
    """Draw the buttons of a take that has clean hands."""
    if not clean.rigs(collection):
        return
    layout.prop(collection, "im2hands_smoothing", slider=True)
    layout.operator("im2hands.export_take", text="Export", icon="EXPORT").take = collection.name
    rig = next(iter(clean.rigs(collection).values()))
    is_euler = rig.pose.bones[0].rotation_mode != "QUATERNION"
    button = layout.operator(
        "im2hands.set_rotation_mode", text="To Quaternions" if is_euler else "To Euler", icon="ORIENTATION_GIMBAL"
    )
    button.take, button.mode = collection.name, "QUATERNION" if is_euler else "XYZ"


def _draw_surfaces(layout: bpy.types.UILayout, collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Draw the buttons that show and hide the surfaces, and how many are on disk.

    With a preview range in the timeline only its frames are brought in.
    """
    left = surfaces.count_on_disk(collection)
    shown = tree.surfaces_are_shown(collection)
    if not left and not any(len(place.objects) for place in tree.surface_places(collection)):
        return
    row = layout.row(align=True)
    if shown:
        button = row.operator("im2hands.show_surfaces", text="Hide Surfaces", icon="HIDE_OFF")
        button.take, button.shown = collection.name, False
    if left or not shown:
        first, last = scene.frame_preview_start, scene.frame_preview_end
        text = "More Surfaces" if shown else "Show Surfaces"
        if left and scene.use_preview_range:
            text += f" {first}-{last}"
        button = row.operator("im2hands.show_surfaces", text=text, icon="HIDE_ON")
        button.take, button.shown = collection.name, True
        button.use_range, button.first, button.last = scene.use_preview_range, first, last
    if left and (shown or not clean.rigs(collection)):
        layout.label(text=f"Surfaces of {left} frames are on disk", icon="INFO")


def _draw_footage(layout: bpy.types.UILayout, collection: bpy.types.Collection) -> None:
    """Draw the button that shows the footage in space, for a take with footage."""
    if not footage.has_footage(collection):
        return
    shown = footage.footage_is_in_space(collection)
    text, icon = ("Footage in Camera Only", "HIDE_OFF") if shown else ("Footage in Space", "HIDE_ON")
    button = layout.operator("im2hands.show_footage", text=text, icon=icon)
    button.take, button.shown = collection.name, not shown


def _draw_job(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the Reconstruct button or the progress, and the result of the last job."""
    started = running.reconstruction()
    if started is None:
        layout.operator("im2hands.reconstruct", icon="VIEW_PAN")
        _draw_queue(layout, context)
        return
    job = started.job
    if running.is_reconstructing():
        row = layout.row(align=True)
        row.progress(factor=job.progress.fraction, text=f"{100 * job.progress.fraction:.0f} %")
        row.operator("im2hands.cancel_reconstruction", text="", icon="X")
        draw_wrapped(layout, job.progress.text, "TIME", context)
        if job.state == "cancelling":
            draw_wrapped(layout, "Ending: what is done is rigged. X again ends at once.", "INFO", context)
        if job.is_silent:
            text = f"The backend has been silent for {job.silent_seconds:.0f} s. Cancel ends it and keeps what is done."
            draw_wrapped(layout, text, "ERROR", context)
    else:
        layout.operator("im2hands.reconstruct", icon="VIEW_PAN")
    _draw_frames(layout, started, context)
    _draw_queue(layout, context)


def _draw_queue(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw what waits, and the button that adds to it while something runs."""
    if running.is_reconstructing() or running.is_installing():
        layout.operator("im2hands.enqueue", icon="ADD")
    for number, one in enumerate(waiting.queue()):
        row = layout.row(align=True)
        row.label(text=f"Waiting: {one.name}", icon="TIME")
        row.operator("im2hands.remove_from_queue", text="", icon="X").number = number
    if waiting.queue() and not running.backend().is_found:
        draw_wrapped(layout, "It starts when the backend is installed.", "INFO", context)
    for note in waiting.notes():
        draw_wrapped(layout, note, "ERROR", context)


def _draw_frames(layout: bpy.types.UILayout, started: object, context: bpy.types.Context) -> None:
    job = started.job
    statuses = list(job.frames.values())
    if statuses:
        named = ((one, statuses.count(one)) for one in ("ok", "partial", "empty", "failed"))
        text = ", ".join(f"{count} {name}" for name, count in named if count)
        ended = {"cancelled": "Ended early: ", "failed": "Stopped: ", "finished": "Done: "}
        layout.label(text=ended.get(job.state, "") + text)
    if started.error is not None:
        draw_wrapped(layout, str(started.error), "ERROR", context)
    for warning in started.result.warnings[-3:]:
        draw_wrapped(layout, warning, "INFO", context)


CLASSES = (
    Im2HandsSourcesMenu,
    Im2HandsSourcePanel,
    Im2HandsOptionsPanel,
    Im2HandsAdvancedPanel,
    Im2HandsTakesPanel,
)


def register() -> None:
    """Register the panels."""
    for one in CLASSES:
        bpy.utils.register_class(one)


def unregister() -> None:
    """Unregister the panels."""
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
