"""Operator: go to the next or the previous doubtful frame of the takes in the scene."""

import bpy

from ..scene import conform, markers, tree


class Im2HandsDoubtfulFrame(bpy.types.Operator):
    """Go to the next frame at which a hand is missing, filled in or doubtful"""

    bl_idname = "im2hands.doubtful_frame"
    bl_label = "Next Doubtful Frame"

    backwards: bpy.props.BoolProperty(name="Backwards", description="Go to the previous one", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The tooltip for the direction."""
        direction = "previous" if properties.backwards else "next"
        return f"Go to the {direction} frame at which a hand is missing, filled in or doubtful"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where a take in the scene has doubtful frames."""
        if not any(markers.read_runs(one) for one in tree.take_collections(context.scene)):
            cls.poll_message_set("No take in this scene has doubtful frames")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Go to the start of the next run of doubtful frames, and tell its reason."""
        scene = context.scene
        reasons: dict[int, list[str]] = {}
        for collection in tree.take_collections(scene):
            for first, _, reason in markers.read_runs(collection):
                reasons.setdefault(round(conform.to_scene(collection, first)), []).append(
                    f"{reason} ({collection.name})"
                )
        now = scene.frame_current
        found = [frame for frame in reasons if (frame < now if self.backwards else frame > now)]
        if not found:
            self.report({"INFO"}, f"No doubtful frame {'before' if self.backwards else 'after'} frame {now}")
            return {"CANCELLED"}
        frame = max(found) if self.backwards else min(found)
        scene.frame_set(frame)
        self.report({"INFO"}, f"Frame {frame}: {', '.join(reasons[frame])}")
        return {"FINISHED"}
