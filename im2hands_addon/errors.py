"""The errors that the add-on shows to the person: what is wrong, and what to do about it (no bpy)."""

from __future__ import annotations


def shown(text: str) -> str:
    r"""Return a text that Blender can keep and show.

    Parameters
    ----------
    text : str
        Any text. A byte of a file name that is not UTF-8 is a lone surrogate in it, for which Blender has no place.

    Returns
    -------
    str
        The text with such bytes as escapes (``\udcff``).
    """
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


class AddonError(Exception):
    """Base of every error that is shown in a report, in a panel or on the command line.

    The class attribute ``exit_code`` is the exit code of the command line for this error.

    Parameters
    ----------
    message : str
        What is wrong and where, in one sentence.
    hint : str
        What the person can do about it, in one sentence; may be empty.
    code : str
        Kind of the error, one of the protocol's codes ("input", "take", "environment", "cancelled", ...). "" for the
        code of the class.
    """

    exit_code = 1
    code = "error"

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        self.message, self.hint = shown(message), shown(hint)
        super().__init__(self.message)
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(AddonError):
    """A path or an option that cannot be used."""

    code = "input"
    exit_code = 2


class TakeError(InputError):
    """A take that cannot be read."""

    code = "take"


class BackendError(AddonError):
    """The backend is missing, is broken, or ended unexpectedly."""

    code = "environment"
    exit_code = 3


_EXIT_CODES = {"input": 2, "take": 2, "environment": 3, "weights": 3, "protocol": 3, "cancelled": 130}


class JobError(AddonError):
    """An error that the backend reported for a job; ``exit_code`` depends on its ``code``."""

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The exit code that the backend's own command line returns for the same error."""
        return _EXIT_CODES.get(self.code, 1)
