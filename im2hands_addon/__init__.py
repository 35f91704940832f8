"""Im2Hands for Blender: two hands from a photo or a clip as keyframed meshes."""

from . import command_line, operators, panels, preferences, properties, running

_MODULES = (properties, preferences, running, operators, panels, command_line)


def register() -> None:
    """Add everything to Blender."""
    for module in _MODULES:
        module.register()


def unregister() -> None:
    """Take everything away again, and end what runs."""
    for module in reversed(_MODULES):
        module.unregister()
