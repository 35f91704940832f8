"""The events that a job and the server send (``docs/protocol.md``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from im2hands.core.errors import Im2HandsError
from im2hands.core.files import json_bytes
from im2hands.take.record import FrameStatus

Phase = Literal["open", "weights", "keypoints", "surfaces", "drafts", "clean"]


@dataclass(frozen=True)
class Event:
    """Base class of all events. Class attribute ``type`` is the event's name in the protocol."""

    type: ClassVar[str] = ""

    def to_dict(self, request_id: str | None) -> dict[str, Any]:
        """Return the event as plain JSON types, with ``type`` and ``id`` first.

        Parameters
        ----------
        request_id : str, optional
            Id of the request that the event answers; None if there is none.

        Returns
        -------
        dict
            Fields of the event.
        """
        return {"type": self.type, "id": request_id, **asdict(self)}

    def to_line(self, request_id: str | None) -> bytes:
        """Return the event as one line of the protocol.

        Parameters
        ----------
        request_id : str, optional
            Id of the request that the event answers; None if there is none.

        Returns
        -------
        bytes
            JSON in UTF-8 with its line end.
        """
        return json_bytes(self.to_dict(request_id)) + b"\n"


@dataclass(frozen=True)
class Ready(Event):
    """The answer to ``hello``: versions, devices and weights of this backend.

    Parameters
    ----------
    protocol : int
        Version of the protocol.
    version : str
        Version of this package.
    python : str
        Version of Python.
    devices : list of dict
        ``name`` and ``description`` of each device.
    weights : list of dict
        ``name``, ``sha256``, ``found`` and ``problem`` of each bundled network.
    platform : str
        Operating system and processor.
    """

    type: ClassVar[str] = "ready"
    protocol: int
    version: str
    python: str
    devices: list[dict[str, str]]
    weights: list[dict[str, Any]]
    platform: str


@dataclass(frozen=True)
class Progress(Event):
    """Progress of a job.

    Parameters
    ----------
    phase : Phase
        The phase.
    done : int
        Number of finished steps of the phase.
    total : int
        Number of all its steps.
    seconds_left : float, optional
        Estimated time until the end of the job; None if it is not known.
    fraction : float
        Share of the whole job that is done, 0 to 1. It never falls.
    """

    type: ClassVar[str] = "progress"
    phase: Phase
    done: int
    total: int
    seconds_left: float | None = None
    fraction: float = 0.0


@dataclass(frozen=True)
class HandsFound(Event):
    """Hands that were found in a frame, before anything is made of them; a later event replaces an earlier one.

    Parameters
    ----------
    index : int
        Index of the frame.
    hands : dict of str to list
        Side to 21 keypoints [x, y, z], camera frame, metres. Those that are not placed yet lie at one distance.
    image : str
        Path of the picture; empty for a clip.
    """

    type: ClassVar[str] = "hands"
    index: int
    hands: dict[str, list[list[float]]]
    image: str = ""


@dataclass(frozen=True)
class FrameDone(Event):
    """A frame is on disk, or has failed.

    Parameters
    ----------
    index : int
        Index of the frame.
    status : FrameStatus
        "ok", "partial", "empty" or "failed".
    file : str
        Path of the frame's file inside the take; empty if there is none.
    message : str
        What went wrong, for a person.
    take : str
        Folder of the take.
    """

    type: ClassVar[str] = "frame"
    index: int
    status: FrameStatus
    file: str
    message: str
    take: str


@dataclass(frozen=True)
class Warned(Event):
    """Something that a person should know; the job goes on.

    Parameters
    ----------
    message : str
        What happened.
    hint : str
        What the person can do about it.
    """

    type: ClassVar[str] = "warning"
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Failed(Event):
    """A request failed.

    Parameters
    ----------
    code : str
        Kind of the error.
    message : str
        What is wrong and where.
    hint : str
        What the person can do about it.
    fatal : bool
        Whether the job or the server ended.
    """

    type: ClassVar[str] = "error"
    code: str
    message: str
    hint: str = ""
    fatal: bool = True

    @classmethod
    def from_error(cls, error: Im2HandsError, fatal: bool = True) -> Failed:
        """Make the event for an error.

        Parameters
        ----------
        error : Im2HandsError
            The error.
        fatal : bool
            Whether the job or the server ended.

        Returns
        -------
        Failed
            The event.
        """
        return cls(error.code, error.message, error.hint, fatal)


@dataclass(frozen=True)
class Summary:
    """Result of a job.

    Parameters
    ----------
    total : int
        Number of frames.
    ok : int
        Frames with both hands.
    partial : int
        Frames with one hand.
    empty : int
        Frames without a hand.
    failed : int
        Frames that failed.
    reused : int
        Frames that the take had before; they are counted in the numbers above too.
    seconds : float
        Duration of the job.
    """

    total: int = 0
    ok: int = 0
    partial: int = 0
    empty: int = 0
    failed: int = 0
    reused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Finished(Event):
    """A job ended.

    Parameters
    ----------
    take : str
        Folder of the take.
    cancelled : bool
        Whether the person stopped the job.
    summary : Summary
        Result of the job.
    """

    type: ClassVar[str] = "finished"
    take: str
    cancelled: bool
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True)
class Heartbeat(Event):
    """The running job is alive; ``job`` is its id."""

    type: ClassVar[str] = "heartbeat"
    job: str


@dataclass(frozen=True)
class Status(Event):
    """The answer to ``status``.

    Parameters
    ----------
    busy : bool
        Whether a job is running.
    job : str, optional
        Id of the running job.
    version : str
        Version of this package.
    """

    type: ClassVar[str] = "status"
    busy: bool
    job: str | None
    version: str


@dataclass(frozen=True)
class Bye(Event):
    """The answer to ``shutdown``. The process ends after it."""

    type: ClassVar[str] = "bye"
