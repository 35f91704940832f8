"""Operator: draw a box where a hand was not found."""

import bpy
import numpy as np
from bpy_extras import view3d_utils

from .. import api
from ..errors import AddonError
from ..scene import corrections, tree, views
from ..scene.tree import take_named
from .frame_range import SIDE_ITEMS
from .of_take import OfTake
from .reporting import finished

_LEAST_DRAG = 4  # pixels of the screen; less is a click


class Im2HandsDrawBox(OfTake, bpy.types.Operator):
    """Draw a box around a hand that was not found on the current frame; the backend reads the hand in it"""

    bl_idname = "im2hands.draw_box"
    bl_label = "Draw Box"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    side: bpy.props.EnumProperty(name="Hand", description="Which hand the box is drawn around", items=SIDE_ITEMS)
    frame: bpy.props.IntProperty(name="Frame", description="Frame, as the take counts them", min=0)
    box: bpy.props.FloatVectorProperty(
        name="Box", description="Left, top, right and bottom in the picture that is shown, pixels", size=4
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the correction."""
        return finished(
            self,
            lambda: api.draw_box(take_named(self.take, context.scene), self.side, self.frame, tuple(self.box)),
        )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Let the person drag a box in the view through the camera."""
        try:
            collection = take_named(self.take, context.scene)
            self.frame = corrections.frame_in_view(collection, context.scene)
            self._lens = corrections.record_of(collection, self.frame)[1].camera
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        area = views.view_through(collection, context.window)
        if area is None:
            self.report({"ERROR"}, "Look through the take's camera first (Edit Keypoints does), then draw the box.")
            return {"CANCELLED"}
        self._region = next(one for one in area.regions if one.type == "WINDOW")
        self._view = area.spaces.active.region_3d
        self._origin = tree.find_object(collection, "origin")
        self._start: tuple[int, int] | None = None
        self._end = (0, 0)
        self._handle = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        context.window.cursor_modal_set("CROSSHAIR")
        context.workspace.status_text_set("Drag a box around the hand. Esc or right click: cancel.")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Follow the mouse."""
        if event.type in ("ESC", "RIGHTMOUSE"):
            self._stop(context)
            return {"CANCELLED"}
        place = event.mouse_x - self._region.x, event.mouse_y - self._region.y
        if event.type == "MOUSEMOVE" and self._start is not None:
            self._end = place
            self._region.tag_redraw()
        elif event.type == "LEFTMOUSE" and event.value == "PRESS":
            self._start = self._end = place
        elif event.type == "LEFTMOUSE" and event.value == "RELEASE" and self._start is not None:
            self._end = place
            self._stop(context)
            if max(abs(a - b) for a, b in zip(self._start, self._end, strict=True)) < _LEAST_DRAG:
                return {"CANCELLED"}
            corners = np.array([self._pixel(self._start), self._pixel(self._end)])
            self.box = [*corners.min(axis=0), *corners.max(axis=0)]
            return self.execute(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for example because another file is opened."""
        self._stop(context)

    def _pixel(self, place: tuple[int, int]) -> tuple[float, float]:
        """Return the pixel of the take's picture that is at a place of the region."""
        ray = view3d_utils.region_2d_to_vector_3d(self._region, self._view, place)
        x, y, z = self._origin.matrix_world.to_3x3().inverted() @ ray
        return self._lens.cx + self._lens.fx * x / -z, self._lens.cy + self._lens.fy * y / z

    def _draw(self) -> None:
        import gpu
        from gpu_extras.batch import batch_for_shader

        if self._start is None or bpy.context.region != self._region:
            return
        (left, top), (right, bottom) = self._start, self._end
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        shader.uniform_float("color", (1.0, 0.8, 0.1, 1.0))
        batch_for_shader(shader, "LINE_STRIP", {"pos": [(*corner, 0.0) for corner in corners]}).draw(shader)

    def _stop(self, context: bpy.types.Context) -> None:
        bpy.types.SpaceView3D.draw_handler_remove(self._handle, "WINDOW")
        context.window.cursor_modal_restore()
        context.workspace.status_text_set(None)
        self._region.tag_redraw()
