"""The errors the add-on shows to a person: what is wrong, and what to do about it (no bpy)."""

from __future__ import annotations


class AddonError(Exception):
    """Base of every error that reaches a person through a report, the panel or the command line.

    Args:
        message: what is wrong and where, one sentence.
        hint: what the person can do about it, one sentence; may be empty.
        code: kind of error in the words of the protocol ("input", "take", "environment", "cancelled", ...).

    ``exit_code`` is what the command line returns for it.
    """

    exit_code = 1
    code = "error"

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
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
    """The backend is missing, broken, or ended in the middle of its work."""

    code = "environment"
    exit_code = 3


_EXIT_CODES = {"input": 2, "take": 2, "environment": 3, "weights": 3, "protocol": 3, "cancelled": 130}


class JobError(AddonError):
    """The backend answered a job with an error; ``exit_code`` follows its ``code``."""

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The exit code that the backend's own command line gives for the same error."""
        return _EXIT_CODES.get(self.code, 1)
