"""Operator: show or hide the implicit surfaces of a take; those on disk are brought in, with progress and Esc."""

import bpy

from ..errors import AddonError
from ..scene import tree
from ..scene.surfaces import SurfaceLoading
from ..scene.tree import take_named
from .of_take import OfTake

_FRAMES_AT_ONCE = 4
"""Frames brought in between two looks at the keyboard: a quarter of a second."""
_PAUSE_SECONDS = 0.01


class Im2HandsShowSurfaces(OfTake, bpy.types.Operator):
    """Show or hide the surfaces that the network reconstructed for each frame. Those on disk are brought in"""

    bl_idname = "im2hands.show_surfaces"
    bl_label = "Show Surfaces"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    shown: bpy.props.BoolProperty(name="Shown", description="Show the surfaces; else hide them", default=True)
    use_range: bpy.props.BoolProperty(
        name="Only Some Frames", description="Bring in only the frames from Start to End", options={"SKIP_SAVE"}
    )
    first: bpy.props.IntProperty(name="Start", description="First frame to bring in", options={"SKIP_SAVE"})
    last: bpy.props.IntProperty(name="End", description="Last frame to bring in", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show or hide the surfaces; all that are missing are brought in before this returns."""
        if not self._begin(context):
            return {"CANCELLED"}
        if self._loading is not None:
            self._loading.step()
        return self._end()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Show or hide the surfaces; many that are missing are brought in batch by batch."""
        if bpy.app.background:
            return self.execute(context)
        if not self._begin(context):
            return {"CANCELLED"}
        if self._loading is None or self._loading.total <= _FRAMES_AT_ONCE:
            if self._loading is not None:
                self._loading.step()
            return self._end()
        manager = context.window_manager
        manager.progress_begin(0, self._loading.total)
        self._timer = manager.event_timer_add(_PAUSE_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Bring in the next batch; Esc ends it and keeps what is there."""
        loading = self._loading
        if event.type == "TIMER":
            loading.step(_FRAMES_AT_ONCE)
            context.window_manager.progress_update(loading.done)
            context.workspace.status_text_set(f"Surfaces: {loading.done} of {loading.total} frames. Esc stops.")
        if event.type != "ESC" and not loading.has_ended:
            return {"RUNNING_MODAL"}
        self._stop(context)
        return self._end()

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for example because another file is opened."""
        self._stop(context)

    def _begin(self, context: bpy.types.Context) -> bool:
        """Show or hide what is in the file and find what is missing; whether that worked."""
        self._loading = None
        try:
            collection = take_named(self.take, context.scene)
            tree.show_surfaces(collection, self.shown)
            if self.shown:
                self._loading = SurfaceLoading(collection, (self.first, self.last) if self.use_range else None)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return False
        return True

    def _stop(self, context: bpy.types.Context) -> None:
        """Remove the timer and the texts."""
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)

    def _end(self) -> set[str]:
        """Report what could not be read and what is left."""
        loading = self._loading
        if loading is not None:
            for problem in loading.problems:
                self.report({"WARNING"}, problem)
            if not loading.has_ended:
                self.report({"INFO"}, f"Brought in {loading.done} of {loading.total} frames. Press it again for more.")
        return {"FINISHED"}
