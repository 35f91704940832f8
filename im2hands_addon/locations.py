"""Paths: the backend's environment, new takes, and the files that the extension brings along."""

from __future__ import annotations

from pathlib import Path

import bpy

from .errors import InputError
from .person_path import person_path

_BUNDLE = Path(__file__).parent / "backend_wheel"


def user_folder(name: str) -> Path:
    """Return a folder that belongs to the add-on and survives its updates.

    Parameters
    ----------
    name : str
        Name of the folder inside the add-on's user folder.

    Returns
    -------
    Path
        The folder; it may not exist yet.
    """
    try:
        return Path(bpy.utils.extension_path_user(__package__, path=name))
    except ValueError:  # loaded as a plain package, not as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path="im2hands")) / name


def own_environment() -> Path:
    """The path with which the names of the add-on's own environments begin (see ``process.installed``)."""
    return user_folder("backend")


def backend_setting() -> str:
    """The backend that the preferences name; "" to search for one."""
    addon = bpy.context.preferences.addons.get(__package__)
    return bpy.path.abspath(addon.preferences.backend) if addon is not None and addon.preferences.backend else ""


def bundled_wheel() -> Path | None:
    """The backend's wheel that the extension brings along; None without one."""
    return next(iter(sorted(_BUNDLE.glob("*.whl"))), None)


def bundled_constraints() -> Path | None:
    """The file of pinned versions that the extension brings along; None without one."""
    path = _BUNDLE / "constraints.txt"
    return path if path.is_file() else None


def absolute(path: str) -> Path:
    """Make a typed path absolute.

    Parameters
    ----------
    path : str
        The path. "//" at its start stands for the folder of the .blend, "~" for the home folder.

    Returns
    -------
    Path
        The absolute path.

    Raises
    ------
    InputError
        No path can be written like this.
    """
    return person_path(bpy.path.abspath(path)).absolute()


def default_take(inputs: list[str]) -> Path:
    """Return the default folder of a new take, named after its input.

    Parameters
    ----------
    inputs : list of str
        Pictures, folders or a clip.

    Returns
    -------
    Path
        A folder in ``takes`` beside the .blend; for an unsaved file, in ``takes`` in the add-on's user folder.

    Raises
    ------
    InputError
        There are no inputs.
    """
    if not inputs or not inputs[0]:
        raise InputError("There is nothing to reconstruct.", "Choose a photo, a folder or a clip.")
    first = absolute(inputs[0])
    name = (first.name if first.is_dir() else first.stem) or "take"
    if len(inputs) > 1:
        name = first.parent.name or name
    base = absolute("//takes") if bpy.data.filepath else user_folder("takes")
    return base / name
