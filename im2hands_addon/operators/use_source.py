"""Operator: take a source over from Blender: the active movie clip, the selected strip, or one used before."""

import bpy

from .. import recent
from ..errors import InputError
from ..properties import set_source
from ..scene import sources
from .reporting import finished


class Im2HandsUseSource(bpy.types.Operator):
    """Use this as the source of the reconstruction"""

    bl_idname = "im2hands.use_source"
    bl_label = "Use as Source"
    bl_options = {"INTERNAL", "UNDO"}  # noqa: RUF012

    kind: bpy.props.EnumProperty(
        name="Kind",
        description="What to use",
        items=(
            ("CLIP", "Active Movie Clip", "The movie clip of the scene or of a clip editor"),
            ("STRIP", "Selected Strip", "The active strip of the sequencer, from handle to handle"),
            ("RECENT", "Recent", "A source of an earlier reconstruction"),
        ),
        options={"SKIP_SAVE"},
    )
    number: bpy.props.IntProperty(
        name="Number", description="Which of the recent sources, from 0", min=0, options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """Tell the whole path of a recent source."""
        known = recent.sources()
        if properties.kind == "RECENT" and properties.number < len(known):
            return "\n".join(known[properties.number][:5])
        return properties.bl_rna.properties["kind"].enum_items[properties.kind].description

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Store the source in the scene's settings."""
        return finished(self, lambda: set_source(context.scene.im2hands, self._source(context)))

    def _source(self, context: bpy.types.Context) -> sources.Source:
        if self.kind == "RECENT":
            known = recent.sources()
            if self.number >= len(known):
                raise InputError("There is no such source.", "Choose a file.")
            return sources.Source(known[self.number])
        if self.kind == "CLIP":
            clip = sources.active_clip(context)
            if clip is None:
                raise InputError("There is no active movie clip.", "Open one in the Movie Clip Editor.")
            return sources.of_clip(clip)
        strip = sources.active_strip(context)
        if strip is None:
            raise InputError("No strip with pictures is selected.", "Select a movie or image strip in the Sequencer.")
        return sources.of_strip(strip)
