"""A job of the backend: starts the backend, sends the request, and reads its messages whenever it is polled."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import AddonError, BackendError, JobError, shown
from . import messages
from .advice import advice
from .environment import Found
from .options import Options
from .process import LineProcess
from .task import last_words

State = Literal["starting", "running", "cancelling", "finished", "cancelled", "failed"]
ENDED: tuple[State, ...] = ("finished", "cancelled", "failed")
SILENCE_SECONDS = 30.0
"""After this time without a message the person is warned. A working backend sends one at least every 2 s."""
_CANCEL_SECONDS = 5.0
_JOB = "job-1"
_SIDES, _KEYPOINTS = ("left", "right"), 21
PHASES = {
    "start": "Starting the backend",
    "open": "Opening the pictures",
    "weights": "Loading the networks",
    "keypoints": "Finding the hands",
    "surfaces": "Building the surfaces",
    "drafts": "Preparing the hands",
    "clean": "Cleaning the motion",
}


@dataclass
class Progress:
    """The progress of a job, with one bar for all its phases.

    Parameters
    ----------
    phase : str
        The current phase, a key of ``PHASES``.
    done : int
        Number of steps (mostly frames) done in the phase.
    total : int
        Number of steps of the phase; 0 when it is unknown.
    seconds_left : float or None
        Estimated time to the end of the job, seconds; None when it is unknown.
    fraction : float
        The part of the whole job that is done, 0 to 1.
    """

    phase: str = "start"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    fraction: float = 0.0

    @property
    def text(self) -> str:
        """The progress for the person: phase, counts, time left in words."""
        parts = [PHASES.get(self.phase, self.phase)]
        if self.total > 0:
            parts.append(f"{self.done} of {self.total}")
        if self.seconds_left is not None:
            parts.append(f"{_about(self.seconds_left)} left")
        return ", ".join(parts)


@dataclass
class Job:
    """A running or ended job of the backend; creating the object starts it.

    Call :meth:`poll` until :attr:`has_ended` is true. The fields after ``clock`` are results, filled by polling:
    ``frames`` and ``notes`` hold status and message by frame, ``summary`` the summary of the finished job, ``error``
    the reason of a failure. While hands are found, ``found`` has by frame and side their keypoints (21 lists of x, y
    and z, camera frame, metres), ``images`` the picture of each of these frames ("" for a clip), and ``newest`` is the
    frame that was told of last.

    Parameters
    ----------
    backend : Found
        The backend.
    inputs : list of str
        Pictures, folders or a clip; absolute paths on the backend's machine.
    output : str
        The take's folder; an absolute path there.
    options : Options
        Options of the reconstruction.
    client : str
        Name of this program in the backend's log.
    clock : callable
        Returns the time in seconds; tests replace it.
    request : dict, optional
        A request for a job on the take, such as ``messages.rebuild``; None to reconstruct.
    button : str
        The button that starts such a job, and continues it after an end.

    Raises
    ------
    BackendError
        The backend cannot be started.
    """

    backend: Found
    inputs: list[str]
    output: str
    options: Options = field(default_factory=Options)
    client: str = "im2hands add-on"
    clock: Callable[[], float] = time.monotonic
    request: dict[str, Any] | None = None
    button: str = "Reconstruct"

    state: State = field(default="starting", init=False)
    progress: Progress = field(default_factory=Progress, init=False)
    frames: dict[int, str] = field(default_factory=dict, init=False)
    notes: dict[int, str] = field(default_factory=dict, init=False)
    found: dict[int, dict[str, list[list[float]]]] = field(default_factory=dict, init=False)
    images: dict[int, str] = field(default_factory=dict, init=False)
    newest: int | None = field(default=None, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    summary: dict[str, Any] = field(default_factory=dict, init=False)
    error: AddonError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._process = LineProcess(self.backend.start("serve"))
        self._process.send(messages.encode(messages.hello(self.client)))
        self._heard = self.clock()
        self._cancelled_at: float | None = None
        self._new_frames: deque[int] = deque()

    @property
    def has_ended(self) -> bool:
        """Whether the job is finished, cancelled or failed."""
        return self.state in ENDED

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return self._process.pid

    @property
    def silent_seconds(self) -> float:
        """Seconds since the backend's last message."""
        return self.clock() - self._heard

    @property
    def is_silent(self) -> bool:
        """Whether the person should be warned that the backend sends nothing."""
        return not self.has_ended and self.silent_seconds > SILENCE_SECONDS

    def poll(self) -> list[int]:
        """Read the backend's messages; never waits.

        Returns
        -------
        list of int
            The frames that were finished since the last call.
        """
        return_code = self._process.return_code  # read first: then all messages before the end are in the queue
        for line in self._process.receive():
            message = messages.decode(line)
            if message is not None and not self.has_ended:
                self._heard = self.clock()
                self._handle(message)
        if not self.has_ended:
            if return_code is not None:
                self._end_of_process(return_code)
            elif self._cancelled_at is not None and self.clock() - self._cancelled_at > _CANCEL_SECONDS:
                self._process.kill()
                self._end("cancelled")
        found = list(self._new_frames)
        self._new_frames.clear()
        return found

    def cancel(self, at_once: bool = False) -> None:
        """Ask the backend to end early. What is done is rigged first, which :attr:`progress` shows.

        Parameters
        ----------
        at_once : bool
            Whether to end without that; finished frames stay. :meth:`poll` kills a backend that does not answer within
            5 s.
        """
        if self.state == "starting":
            self._end("cancelled")
        elif self.state == "running" or (self.state == "cancelling" and at_once and self._cancelled_at is None):
            self.state = "cancelling"
            self._cancelled_at = self.clock() if at_once else None
            self._process.send(messages.encode(messages.cancel(_JOB, rig=not at_once)))

    def give_up(self) -> None:
        """Kill a backend that sends nothing; the job fails, finished frames stay."""
        if self.has_ended:
            return
        self._process.kill()
        self._fail(
            BackendError(
                f"The backend sent nothing for {self.silent_seconds:.0f} s and was ended.",
                "The finished frames are kept; start again to continue after them.",
            )
        )

    def close(self) -> None:
        """End the backend: it is asked to end, and killed after 5 s."""
        if not self.has_ended:
            self._end("cancelled")

    def _handle(self, message: dict[str, Any]) -> None:
        """Handle one message. The protocol requires that unknown messages and invalid fields are ignored."""
        handler = getattr(self, f"_on_{message['type']}", None)
        if handler is not None:
            with suppress(TypeError, ValueError, OverflowError):
                handler(message)

    def _on_ready(self, message: dict[str, Any]) -> None:
        if self.state != "starting":
            return
        if message.get("protocol") != messages.PROTOCOL:
            said = message.get("protocol")
            self._fail(
                BackendError(
                    f"The backend uses protocol version {said}, this add-on version {messages.PROTOCOL}.",
                    "Install the backend of this add-on (Preferences > Add-ons > Im2Hands).",
                )
            )
            return
        self.state = "running"
        self.progress = Progress("open")
        request = self.request or messages.reconstruct(self.inputs, self.output, self.options)
        self._process.send(messages.encode({**request, "id": _JOB}))

    def _on_progress(self, message: dict[str, Any]) -> None:
        seconds, share = message.get("seconds_left"), message.get("fraction")
        fraction = min(1.0, float(share)) if isinstance(share, int | float) and math.isfinite(share) else 0.0
        self.progress = Progress(
            phase=str(message.get("phase", "")),
            done=int(message.get("done") or 0),
            total=int(message.get("total") or 0),
            seconds_left=float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else None,
            fraction=max(self.progress.fraction, fraction),
        )

    def _on_hands(self, message: dict[str, Any]) -> None:
        index, hands = message.get("index"), message.get("hands")
        if type(index) is not int or not isinstance(hands, dict):
            return
        sized = {
            side: [[float(x) for x in point] for point in points] for side, points in hands.items() if side in _SIDES
        }
        numbers = [number for points in sized.values() for point in points for number in point]
        is_whole = all(
            len(points) == _KEYPOINTS and {len(point) for point in points} == {3} for points in sized.values()
        )
        if is_whole and all(map(math.isfinite, numbers)):
            self.found[index] = sized
            self.images[index] = str(message.get("image") or "")
            self.newest = index

    def _on_frame(self, message: dict[str, Any]) -> None:
        index = message.get("index")
        if type(index) is not int:
            return
        self.frames[index] = str(message.get("status", ""))
        self.newest = index
        if message.get("message"):
            self.notes[index] = shown(str(message["message"]))
        self._new_frames.append(index)

    def _on_warning(self, message: dict[str, Any]) -> None:
        text = shown(f"{message.get('message', '')} {message.get('hint', '')}".strip())
        if text and text not in self.warnings:
            self.warnings.append(text)

    def _on_error(self, message: dict[str, Any]) -> None:
        error = JobError(
            str(message.get("message", "")), str(message.get("hint") or ""), str(message.get("code") or "internal")
        )
        if error.code == "unknown_type" and message.get("id") == _JOB:
            self._fail(
                BackendError(
                    f"The backend is older than this add-on and does not know {self.button}.",
                    "Install the backend again (Preferences > Add-ons > Im2Hands).",
                )
            )
        elif message.get("fatal", True) and message.get("id") in (_JOB, "hello", None):
            self._fail(error)
        elif error.code != "no_such_job":
            self.warnings.append(str(error))

    def _on_finished(self, message: dict[str, Any]) -> None:
        self.summary = dict(message.get("summary") or {})
        self._end("cancelled" if message.get("cancelled") else "finished")

    def _end_of_process(self, return_code: int) -> None:
        if self.state == "cancelling":
            self._end("cancelled")
            return
        doing = "could not start" if self.state == "starting" else "ended unexpectedly"
        tail = self._process.stderr_tail
        said = f' Its last message: "{last_words(tail)}"' if tail else ""
        if any("No module named im2hands" in line for line in tail):
            place = "on the other machine" if self.backend.command else f"in the Python at {self.backend.python}"
            message = f"im2hands is not installed {place}."
            hint = "Install the backend in Preferences > Add-ons > Im2Hands, or choose another environment."
        elif self.state == "starting":
            message = f"The backend {doing} ({_exit_words(return_code)}).{said}"
            hint = advice(tail) or "Check the backend in Preferences > Add-ons > Im2Hands."
        else:
            message = f"The backend {doing} ({_exit_words(return_code)}).{said}"
            hint = f"The finished frames are kept; {self.button} continues after them."
        self._fail(BackendError(message, hint))

    def _fail(self, error: AddonError) -> None:
        self.error = error
        self._end("failed")

    def _end(self, state: State) -> None:
        self.state = state
        self._process.stop(messages.encode(messages.shutdown()))


def _exit_words(code: int) -> str:
    """An exit code of the backend in words; the large numbers are Windows' code for a crash."""
    if code in (-9, 137):
        return "it was killed, perhaps because memory ran out"
    if code in (-11, 139, -1073741819, 3221225477):
        return "it crashed"
    if code < 0:
        return f"ended by signal {-code}"
    return f"exit code {code}"


def _about(seconds: float) -> str:
    """A duration in words, as exact as an estimate is: seconds by tens, minutes, hours and minutes by fives."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {10 * max(1, round(seconds / 10))} seconds"
    minutes = round(seconds / 60)
    if minutes < 60:
        return "about a minute" if minutes <= 1 else f"about {minutes} minutes"
    hours, rest = divmod(5 * round(seconds / 300), 60)
    told = "1 hour" if hours == 1 else f"{hours} hours"
    return f"about {told} {rest} minutes" if rest else f"about {told}"
