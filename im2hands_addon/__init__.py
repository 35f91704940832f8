"""Im2Hands for Blender: reconstruct both hands of a person from photos or a clip as keyframed meshes."""

from . import (
    bake_panel,
    bake_settings,
    command_line,
    edit_panel,
    keymap,
    live_bake,
    motion_panel,
    operators,
    panels,
    preferences,
    properties,
    running,
    skeleton_overlay,
    take_properties,
)

_MODULES = (
    properties,
    take_properties,
    bake_settings,
    preferences,
    running,
    live_bake,
    operators,
    panels,
    edit_panel,
    motion_panel,
    bake_panel,
    keymap,
    skeleton_overlay,
    command_line,
)


def register() -> None:
    """Register the add-on's settings, handlers, operators, panels and command."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Unregister everything and end running jobs."""
    for module in reversed(_MODULES):
        module.unregister()
