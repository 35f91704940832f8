"""What the panels show of the backend: whether it is there, and where.

Looking it up reads the disk, so it is done when something may have changed and never while a panel draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import BackendError
from . import environment, installed


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
    old_environment : Path or None
        An environment in the place of older add-ons, which Blender deletes with the extension.
    old_takes : tuple of Path
        Takes in such a place.
    is_named : bool
        Whether the preferences or the environment variable name a backend; an installation would not be looked at.
    """

    is_found: bool = False
    line: str = "Looking for the backend"
    has_wheel: bool = False
    old_environment: Path | None = None
    old_takes: tuple[Path, ...] = ()
    is_named: bool = False


def look_up(
    setting: str, own: Path, wheel: Path | None, *, old: Path | None = None, old_takes: tuple[Path, ...] = ()
) -> BackendState:
    """Look for the backend on disk.

    Parameters
    ----------
    setting : str
        The backend that the preferences name; "" to search for one.
    own : Path
        The path with which the names of the add-on's own environments begin (see ``process.installed``).
    wheel : Path or None
        The wheel that the extension brought along; None without one.
    old : Path, optional
        As ``own``, for the place of older add-ons; None to skip it.
    old_takes : tuple of Path
        The takes in the place of older add-ons.

    Returns
    -------
    BackendState
        What was found.
    """
    rest = (
        wheel is not None,
        installed.current(old) if old is not None else None,
        old_takes,
        environment.is_named(setting),
    )
    try:
        found = environment.find(setting, own, old=old)
    except BackendError as error:
        return BackendState(False, str(error) if environment.is_named(setting) else error.message, *rest)
    return BackendState(True, f"Backend: {found.where}", *rest)
