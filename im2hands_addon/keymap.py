"""The shortcuts: Shift Ctrl Right and Shift Ctrl Left go to the next and the previous doubtful frame.

They can be changed in Edit > Preferences > Keymap, section Frames.
"""

from dataclasses import dataclass, field

import bpy

from .operators.doubtful_frame import Im2HandsDoubtfulFrame

_KEYS = {"RIGHT_ARROW": False, "LEFT_ARROW": True}


@dataclass
class _Added:
    """The module's state, in one place."""

    items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = field(default_factory=list)


_added = _Added()


def register() -> None:
    """Add the shortcuts. Without a window there is no keymap to add them to."""
    keys = bpy.context.window_manager.keyconfigs.addon
    if keys is None:
        return
    keymap = keys.keymaps.new(name="Frames", space_type="EMPTY")
    for key, backwards in _KEYS.items():
        item = keymap.keymap_items.new(Im2HandsDoubtfulFrame.bl_idname, key, "PRESS", shift=True, ctrl=True)
        item.properties.backwards = backwards
        _added.items.append((keymap, item))


def unregister() -> None:
    """Remove the shortcuts."""
    for keymap, item in _added.items:
        keymap.keymap_items.remove(item)
    _added.items.clear()
