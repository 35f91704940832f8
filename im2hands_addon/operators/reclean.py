"""Operator: solve the motion of a take again."""

import bpy

from .. import api
from ..errors import AddonError
from ..process.options import OPTIONS
from ..properties import value_property
from ..recleaning import CLEAN_OPTIONS, Recleaning, settings_of
from ..scene.tree import take_named
from .of_take import OfTake, has_rigged_take
from .starts_job import StartsJob


class Im2HandsReclean(StartsJob, OfTake, bpy.types.Operator):
    """Solve the motion again with another smoothing, other gaps or another mesh. The pictures are not needed"""

    bl_idname = "im2hands.reclean"
    bl_label = "Re-clean"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while no job of the backend runs, where there is a take with rigged hands."""
        return super().poll(context) and has_rigged_take(cls, context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the options; they begin with those of the take."""
        try:
            told = settings_of(take_named(self.take, context.scene))
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for name, value in told.items():
            setattr(self, name, str(value) if OPTIONS[name].choices else value)
        return context.window_manager.invoke_props_dialog(self)

    def start(self, context: bpy.types.Context) -> Recleaning:
        """Start the clean phase with the options that were set; without a dialog the others stay as they were."""
        given = [option for option in CLEAN_OPTIONS if self.properties.is_property_set(option.name)]
        options = {option.name: option.python_type(getattr(self, option.name)) for option in given}
        # Blender stores floats in single precision.
        options = {name: round(value, 4) if isinstance(value, float) else value for name, value in options.items()}
        return api.start_reclean(take_named(self.take, context.scene), scene=context.scene, **options)


Im2HandsReclean.__annotations__.update({option.name: value_property(option) for option in CLEAN_OPTIONS})
