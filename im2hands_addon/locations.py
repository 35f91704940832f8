"""Paths: the backend's environment, new takes, and the files that the extension brings along.

Takes and environments lie in folders of the person, not in the folder that Blender gives to the extension, because
Blender deletes that one when the extension is uninstalled. Older add-ons used it; what lies there is still found.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import bpy

from .errors import InputError, shown
from .person_path import person_path

_BUNDLE = Path(__file__).parent / "backend_wheel"
_PATTERN = re.compile(r"[*?#\[]|%\d*d")
_LONE = re.compile(r"[\ud800-\udfff]")  # Python's characters for the bytes of file names that are not UTF-8
_LONE_BYTES = 0xDC00


def extension_folder(name: str) -> Path:
    """Return a folder inside the one that Blender deletes with the extension; older add-ons wrote there.

    Parameters
    ----------
    name : str
        Name of the folder.

    Returns
    -------
    Path
        The folder; it may not exist.
    """
    try:
        return Path(bpy.utils.extension_path_user(__package__, path=name))
    except ValueError:  # loaded as a plain package, not as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path="im2hands")) / name


def data_folder() -> Path:
    """The person's folder for data of programs, by the custom of the system, with a folder of this add-on in it."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Im2Hands"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Im2Hands"
    named = os.environ.get("XDG_DATA_HOME", "")
    # The custom says that a relative path there is to be ignored.
    return (Path(named) if Path(named).is_absolute() else home / ".local" / "share") / "im2hands"


def environment_folder() -> Path:
    """The folder for the add-on's own environments: that of the preferences, else one in :func:`data_folder`."""
    chosen = _preference("environments")
    return absolute(chosen) if chosen else data_folder()


def takes_folder() -> Path:
    """The folder for takes of unsaved files: that of the preferences, else ``Im2Hands/takes`` in the home folder."""
    chosen = _preference("takes")
    return absolute(chosen) if chosen else Path.home() / "Im2Hands" / "takes"


def own_environment() -> Path:
    """The path with which the names of the add-on's own environments begin (see ``process.installed``).

    Unfinished folders of such names are deleted, so the name must not be one that the person uses for anything else.
    """
    return environment_folder() / "im2hands-environment"


def old_environment() -> Path:
    """As :func:`own_environment`, for environments of older add-ons."""
    return extension_folder("backend")


def old_takes_folder() -> Path:
    """The folder in which older add-ons put the takes of unsaved files."""
    return extension_folder("takes")


def takes_in(folder: Path) -> tuple[Path, ...]:
    """Return the takes that lie in a folder, by name; none if the folder cannot be read."""
    try:
        return tuple(sorted(one for one in folder.iterdir() if (one / "take.json").is_file()))
    except OSError:
        return ()


def _preference(name: str) -> str:
    """A text of the preferences; "" when the add-on is imported as a plain package."""
    addon = bpy.context.preferences.addons.get(__package__)
    return str(getattr(addon.preferences, name)) if addon is not None else ""


def backend_setting() -> str:
    """The backend that the preferences name, or the command for another machine; "" to search for one."""
    if machine := _preference("machine").strip():
        return machine
    chosen = _preference("backend")
    return bpy.path.abspath(chosen) if chosen else ""


def shared_folder() -> tuple[str, str]:
    """The folder that the backend's machine shares with this one: its paths here and there; "" for the same paths."""
    here = _preference("shared_here")
    return (str(absolute(here)), _preference("shared_there").strip()) if here else ("", "")


def wheels_folder() -> Path | None:
    """The folder of wheels to install from, that the preferences name; None for the package index."""
    chosen = _preference("wheels")
    return absolute(chosen) if chosen else None


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


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several files, as ``*.jpg`` and ``shot_####.png`` do; the backend finds them."""
    return not path.exists() and bool(_PATTERN.search(str(path)))


def require_text(path: Path) -> Path:
    """Return a path that Blender can keep.

    Parameters
    ----------
    path : Path
        The path of a take.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    InputError
        The path is not UTF-8, as Blender's names must be.
    """
    if shown(str(path)) != str(path):
        raise InputError(f"The name {path} is not UTF-8, and Blender cannot keep it.", "Give the take another name.")
    return path


def default_takes() -> Path:
    """The folder for new takes: ``takes`` beside the .blend; for an unsaved file, :func:`takes_folder`."""
    return absolute("//takes") if bpy.data.filepath else takes_folder()


def default_take(inputs: list[str]) -> Path:
    """Return the default folder of a new take, named after its input.

    Parameters
    ----------
    inputs : list of str
        Pictures, folders or a clip.

    Returns
    -------
    Path
        A folder in :func:`default_takes`.

    Raises
    ------
    InputError
        There are no inputs.
    """
    if not inputs or not inputs[0]:
        raise InputError("There is nothing to reconstruct.", "Choose a photo, a folder or a clip.")
    first = absolute(inputs[0])
    name = (first.name if first.is_dir() else first.stem) or "take"
    if len(inputs) > 1 or is_pattern(first):
        name = first.parent.name or "take"
    # A byte that is not UTF-8 becomes, for example, "xff": Blender keeps the name.
    return default_takes() / _LONE.sub(lambda found: f"x{ord(found[0]) - _LONE_BYTES:02x}", name)


def take_folder(output: str, inputs: list[str]) -> Path:
    """Return the folder of a take that is to be made.

    Parameters
    ----------
    output : str
        The folder that the person chose; "" for :func:`default_take`.
    inputs : list of str
        Pictures, folders or a clip.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The path cannot be used, or there are no inputs to name the take after.
    """
    return absolute(output) if output else default_take(inputs)


def bone_map_presets() -> Path:
    """The folder of a person's own bone maps, among Blender's presets; it outlives the extension."""
    return Path(bpy.utils.user_resource("SCRIPTS", path="presets/im2hands/bone_maps"))
