"""The errors that are shown to a person. Each has a message (what is wrong and where) and a hint (what to do)."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN = 200  # characters of a path in a message


class Im2HandsError(Exception):
    """Base class of every error that is shown to a person.

    Class attribute ``code`` is the kind of error in the protocol. ``exit_code`` is the exit code of the command line.

    Parameters
    ----------
    message : str
        What is wrong and where, in one sentence.
    hint : str
        What the person can do about it, in one sentence; may be empty.
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
    """Something that this machine lacks: weights, a device, a package."""

    code = "environment"
    exit_code = 3


def broken_package(error: ImportError) -> SetupError:
    """Make the error for a package that is missing or cannot be loaded.

    Parameters
    ----------
    error : ImportError
        The error of the import.

    Returns
    -------
    SetupError
        The error to raise or to show.
    """
    return SetupError(
        f"A package the backend needs cannot be loaded: {error}.", "Run im2hands check to see what is missing."
    )


def in_words(error: BaseException) -> Im2HandsError | None:
    """Make the error for what the machine or a file did to the program, which is no mistake in it.

    Parameters
    ----------
    error : BaseException
        Any error.

    Returns
    -------
    Im2HandsError or None
        The error to show; None if the program itself may be wrong.
    """
    if isinstance(error, Im2HandsError):
        return error
    if isinstance(error, ImportError):
        return broken_package(error)
    if isinstance(error, MemoryError):
        return SetupError("There is not enough memory.", "Close other programs, or take smaller pictures.")
    if isinstance(error, OSError) and error.errno is not None:
        name = "" if error.filename is None else f"{str(error.filename)[:_SHOWN]}: "
        return InputError(f"{name}{error.strerror or error}.", "Check the path, the rights and the room on the disk.")
    return None


class WeightsError(SetupError):
    """Weights that are missing, damaged or made for another network."""

    code = "weights"


class TakeError(InputError):
    """A take that cannot be read or written."""

    code = "take"


class DamagedFramesError(TakeError):
    """Frames of a take that cannot be read. The work was done without them.

    Parameters
    ----------
    frames : mapping of int to TakeError
        Why each frame cannot be read, by frame index; not empty.
    done : str
        What was done with the other frames, in one sentence; may be empty.
    """

    _NAMED = 3

    def __init__(self, frames: Mapping[int, TakeError], done: str = "") -> None:
        self.frames = dict(frames)
        named = [f"Frame {index} was left out. {error.message}" for index, error in sorted(frames.items())]
        more = [f"{len(named) - self._NAMED} more frames were left out."] if len(named) > self._NAMED else []
        super().__init__(
            " ".join([*named[: self._NAMED], *more, *([done] if done else [])]),
            "Reconstruct those frames again (im2hands reconstruct with the same pictures and options).",
        )


class UnsafePathError(TakeError):
    """A path in a take that leads out of the take's folder."""


class FrameError(Im2HandsError):
    """A frame that cannot be processed; the job goes on with the other frames."""

    code = "frame"


class Cancelled(Im2HandsError):
    """The job was stopped on request; finished frames are on disk."""

    code = "cancelled"
    exit_code = 130
