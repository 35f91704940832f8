"""Operator: copy what the last check or installation said."""

import bpy

from .. import running


class Im2HandsCopyFindings(bpy.types.Operator):
    """Copy all that the last check or installation said, for a question to somebody"""

    bl_idname = "im2hands.copy_findings"
    bl_label = "Copy"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled after a check or an installation."""
        if not running.findings():
            cls.poll_message_set("Press Check first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Put the findings, and the last lines of the programs, on the clipboard."""
        lines = [f"{'ok   ' if one.ok else 'WRONG'} {one.text}" for one in running.findings()]
        task = running.task()
        if task is not None and task.name != "Check":
            lines += ["", *task.lines, *task.stderr_tail]
        head = f"Blender {bpy.app.version_string}, {running.backend().line}"
        context.window_manager.clipboard = "\n".join([head, *lines])
        self.report({"INFO"}, f"Copied {len(lines) + 1} lines")
        return {"FINISHED"}
