"""The other process as seen from here: where it is installed, how it is started, what it says (no bpy)."""
