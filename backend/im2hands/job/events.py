"""What a job and the server report: the events of the protocol (``docs/protocol.md``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from im2hands.core.errors import Im2HandsError
from im2hands.core.files import json_bytes
from im2hands.take.take import FrameStatus

Phase = Literal["open", "weights", "keypoints", "surfaces", "clean"]


@dataclass(frozen=True)
class Event:
    """Base of everything the backend says; ``type`` is the name on the wire."""

    type: ClassVar[str] = ""

    def to_dict(self, request_id: str | None) -> dict[str, Any]:
        """Plain JSON types, ``type`` and ``id`` first."""
        return {"type": self.type, "id": request_id, **asdict(self)}

    def to_line(self, request_id: str | None) -> bytes:
        """One line of UTF-8 JSON with its line end."""
        return json_bytes(self.to_dict(request_id)) + b"\n"


@dataclass(frozen=True)
class Ready(Event):
    """The answer to ``hello``: what is installed and at hand."""

    type: ClassVar[str] = "ready"
    protocol: int
    version: str
    python: str
    devices: list[dict[str, str]]
    weights: list[dict[str, Any]]
    platform: str


@dataclass(frozen=True)
class Progress(Event):
    """How far a phase is; ``seconds_left`` is None while it cannot be told."""

    type: ClassVar[str] = "progress"
    phase: Phase
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class FrameDone(Event):
    """A frame is on disk (or has failed: ``file`` is empty then)."""

    type: ClassVar[str] = "frame"
    index: int
    status: FrameStatus
    file: str
    message: str
    take: str


@dataclass(frozen=True)
class Warned(Event):
    """Something a person should know, once; the job goes on."""

    type: ClassVar[str] = "warning"
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Failed(Event):
    """A request that could not be done; ``fatal``: the job or the server ended."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    hint: str = ""
    fatal: bool = True

    @classmethod
    def from_error(cls, error: Im2HandsError, fatal: bool = True) -> Failed:
        """The event that tells of an error."""
        return cls(error.code, error.message, error.hint, fatal)


@dataclass(frozen=True)
class Summary:
    """How a job went: frames by status, frames kept from before, seconds in all."""

    total: int = 0
    ok: int = 0
    partial: int = 0
    empty: int = 0
    failed: int = 0
    reused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Finished(Event):
    """A job ended, by itself or cancelled; ``take`` is the folder."""

    type: ClassVar[str] = "finished"
    take: str
    cancelled: bool
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True)
class Heartbeat(Event):
    """The job with that id is alive."""

    type: ClassVar[str] = "heartbeat"
    job: str


@dataclass(frozen=True)
class Status(Event):
    """The answer to ``status``."""

    type: ClassVar[str] = "status"
    busy: bool
    job: str | None
    version: str


@dataclass(frozen=True)
class Bye(Event):
    """The answer to ``shutdown``; the process ends."""

    type: ClassVar[str] = "bye"
