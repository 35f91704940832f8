"""What the panels show of the backend: whether it is there, and where.

Looking it up reads the disk, so it is done when something may have changed and never while a panel draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BackendError
from . import environment


@dataclass(frozen=True)
class BackendState:
    """The result of one look-up.

    Parameters
    ----------
    is_found : bool
        Whether there is a backend to start.
    line : str
        One line for the person: where the backend is, or what is wrong.
    has_wheel : bool
        Whether the extension brought the backend's wheel along.
    """

    is_found: bool = False
    line: str = "Looking for the backend"
    has_wheel: bool = False


def look_up(setting: str, own: Path, wheel: Path | None) -> BackendState:
    """Look for the backend on disk.

    Parameters
    ----------
    setting : str
        The backend that the preferences name; "" to search for one.
    own : Path
        The path with which the names of the add-on's own environments begin (see ``process.installed``).
    wheel : Path or None
        The wheel that the extension brought along; None without one.

    Returns
    -------
    BackendState
        What was found.
    """
    try:
        found = environment.find(setting, own)
    except BackendError as error:
        return BackendState(False, error.message, wheel is not None)
    return BackendState(True, f"Backend: {found.where}", wheel is not None)
