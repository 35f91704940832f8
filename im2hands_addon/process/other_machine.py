"""A backend on another machine: the command that starts it there, and the names of shared folders there (no bpy)."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from ..errors import BackendError, InputError


@dataclass(frozen=True)
class SharedFolder:
    """A folder that both machines see, maybe by different names.

    Parameters
    ----------
    here : str
        Its path on this machine; "" if paths are the same on both.
    there : str
        Its path on the other machine; "" for the same as here.
    """

    here: str = ""
    there: str = ""

    def path_there(self, path: str | Path) -> str:
        """Return the path by which the other machine knows a file of this one.

        Parameters
        ----------
        path : str or Path
            An absolute path of this machine.

        Returns
        -------
        str
            The path there. Without a shared folder it is the same.

        Raises
        ------
        InputError
            The file does not lie in the shared folder, so the other machine cannot see it.
        """
        if not self.here:
            return str(path)
        try:
            rest = Path(path).relative_to(self.here)
        except ValueError as error:
            raise InputError(
                f"{path} does not lie in {self.here}, so the other machine cannot see it.",
                "Put source and take into the shared folder (Preferences > Add-ons > Im2Hands).",
            ) from error
        base = (self.there or self.here).rstrip("/\\")
        parts = [base, *rest.parts]
        return ("\\" if PureWindowsPath(base).drive else "/").join(parts)


def command_of(text: str) -> tuple[str, ...]:
    """Return the words of a command that starts the backend, up to ``im2hands``.

    Parameters
    ----------
    text : str
        The command, such as ``ssh box /opt/im2hands/bin/im2hands``.

    Returns
    -------
    tuple of str
        Its words; ``serve`` or ``check`` follows them. The first is the path of the program.

    Raises
    ------
    BackendError
        It is no command, or its program is not on this machine.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BackendError(f"This is no command: {text} ({error}).", "Close its quotation marks.") from error
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise BackendError(
            f"There is no program {words[0] if words else text} on this machine.",
            "Write a command such as: ssh box /opt/im2hands/bin/im2hands",
        )
    return (program, *words[1:])
