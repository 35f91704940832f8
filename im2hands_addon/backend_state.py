"""What the panels show of the backend: looked up on disk when something may have changed, never while they draw."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BackendError
from .locations import backend_setting, bundled_wheel, own_environment
from .process import environment


@dataclass(frozen=True)
class BackendState:
    """The result of one look-up.

    Parameters
    ----------
    is_found : bool
        Whether there is a backend to start.
    line : str
        One line for a person: where it is, or what is wrong.
    has_wheel : bool
        Whether the extension brought the backend's wheel along.
    """

    is_found: bool = False
    line: str = "Looking for the backend"
    has_wheel: bool = False


def look_up() -> BackendState:
    """Look on disk for the backend and its wheel.

    Returns
    -------
    BackendState
        What is there now.
    """
    has_wheel = bundled_wheel() is not None
    try:
        found = environment.find(backend_setting(), own_environment())
    except BackendError as error:
        return BackendState(False, error.message, has_wheel)
    return BackendState(True, f"Backend: {found.where}", has_wheel)
