"""Lists of a large JSON file, entry by entry: the data file of InterHand2.6M's 30 frames per second has many GB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError, SetupError
from im2hands.core.files import open_regular

_AGAIN = "Download the annotations again."
_FLAGS = ([0], [1])  # shared by all pictures: 42 lists for each would need most of the memory


def read_list(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a list in the object that a JSON file holds. Only the current entry is in memory.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Name of the list.

    Yields
    ------
    dict
        An entry. The flags of ``joint_valid`` are lists of one number that all entries share.

    Raises
    ------
    InputError
        The file is missing or damaged, or an entry is no object.
    SetupError
        ijson is not installed.
    """
    try:
        import ijson
    except ImportError as error:
        raise SetupError("ijson is not installed.", "Install it with: pip install 'im2hands[train]'.") from error
    try:
        with open_regular(path) as file:
            for entry in ijson.items(file, f"{key}.item", use_float=True):
                if not isinstance(entry, dict):
                    raise InputError(f'{path}: an entry of "{key}" is no object.', _AGAIN)
                yield _with_shared_flags(entry)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Unpack all annotations of the split.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ijson.JSONError, ValueError) as error:
        raise InputError(f"{path} is damaged: {str(error).splitlines()[0][:200]}.", _AGAIN) from error


def _with_shared_flags(entry: dict[str, Any]) -> dict[str, Any]:
    flags = entry.get("joint_valid")
    if isinstance(flags, list):
        entry["joint_valid"] = [_FLAGS[flag[0]] if flag in _FLAGS else flag for flag in flags]
    return entry
