"""Where things lie: the backend's environment, new takes, what the extension brought along."""

from __future__ import annotations

from pathlib import Path

import bpy

from .errors import InputError

_BUNDLE = Path(__file__).parent / "backend_wheel"


def user_folder(name: str) -> Path:
    """A folder of the add-on's own that survives its update; it may not exist yet."""
    try:
        return Path(bpy.utils.extension_path_user(__package__, path=name))
    except ValueError:  # loaded as a plain package, not as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path="im2hands")) / name


def own_environment() -> Path:
    """Where the add-on installs the backend: the path that the names of its environments begin with."""
    return user_folder("backend")


def backend_setting() -> str:
    """What the preferences name as the backend, "" for automatic."""
    addon = bpy.context.preferences.addons.get(__package__)
    return bpy.path.abspath(addon.preferences.backend) if addon is not None and addon.preferences.backend else ""


def bundled_wheel() -> Path | None:
    """The backend's wheel that came with the extension, or None."""
    return next(iter(sorted(_BUNDLE.glob("*.whl"))), None)


def bundled_constraints() -> Path | None:
    """The pinned versions that came with the extension, or None."""
    path = _BUNDLE / "constraints.txt"
    return path if path.is_file() else None


def absolute(path: str) -> Path:
    """A path as a person typed it, "//" (beside the .blend) and "~" resolved."""
    return Path(bpy.path.abspath(path)).expanduser().absolute()


def default_take(inputs: list[str]) -> Path:
    """Where the take of these inputs goes when nobody said: "takes" beside the .blend, else in the user's folder.

    Raises:
        InputError: there are no inputs.
    """
    if not inputs or not inputs[0]:
        raise InputError("There is nothing to reconstruct.", "Choose a photo, a folder or a clip.")
    first = absolute(inputs[0])
    name = (first.name if first.is_dir() else first.stem) or "take"
    if len(inputs) > 1:
        name = first.parent.name or name
    base = absolute("//takes") if bpy.data.filepath else user_folder("takes")
    return base / name
