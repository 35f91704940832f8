"""Im2Hands for Blender: reconstruct both hands of a person from photos or a clip as keyframed meshes."""

from . import (
    bake_panel,
    bake_settings,
    command_line,
    edit_panel,
    keymap,
    live_bake,
    manual_links,
    motion_panel,
    operators,
    panels,
    planned,
    preferences,
    presets,
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
    planned,
    live_bake,
    operators,
    presets,
    panels,
    edit_panel,
    motion_panel,
    bake_panel,
    keymap,
    manual_links,
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
