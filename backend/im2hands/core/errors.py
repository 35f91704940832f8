"""The errors a person may meet, each with what went wrong, where, and what to do about it."""

from __future__ import annotations


class Im2HandsError(Exception):
    """Base of every error that is shown to a person.

    Args:
        message: what is wrong and where, one sentence.
        hint: what the person can do about it, one sentence; may be empty.

    ``code`` names the kind of error in the protocol; ``exit_code`` is what the command line returns.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(Im2HandsError):
    """An argument or an input file that cannot be used."""

    code = "input"
    exit_code = 2


class SetupError(Im2HandsError):
    """Something the machine lacks: weights, a device, a package."""

    code = "environment"
    exit_code = 3


def broken_package(error: ImportError) -> SetupError:
    """A package that is missing or cannot be loaded, in words for a person."""
    return SetupError(
        f"A package the backend needs cannot be loaded: {error}.", "Run im2hands check, it says what is missing."
    )


class WeightsError(SetupError):
    """Weights that are missing, damaged or made for another network."""

    code = "weights"


class TakeError(InputError):
    """A take that cannot be read or written."""

    code = "take"


class UnsafePathError(TakeError):
    """A path of a take that leads out of its folder."""


class FrameError(Im2HandsError):
    """One frame that failed; the others go on."""

    code = "frame"


class Cancelled(Im2HandsError):
    """The person asked to stop; what was finished is on disk."""

    code = "cancelled"
    exit_code = 130
