"""The JSON-lines server that the add-on talks to (``docs/protocol.md``)."""

from __future__ import annotations

import logging
import os
import platform
import queue
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import BinaryIO

from im2hands import __version__
from im2hands.core.errors import Im2HandsError, in_words
from im2hands.core.memory import require_memory
from im2hands.job.clean_job import CleanJob
from im2hands.job.components import Components
from im2hands.job.events import Bye, Event, Failed, Heartbeat, Ready, Status
from im2hands.job.rebuild import RebuildJob
from im2hands.job.reconstruct import ReconstructJob

from .requests import PROTOCOL_VERSION, MessageError, Request, parse_request

HEARTBEAT_SECONDS = 1.0
REST_SECONDS = 1.8
"""Time that a running job has to stop after a shutdown or the end of stdin."""

LAST_RESORT_SECONDS = 2.5
"""Time from the end of stdin until the process is ended in any case."""

JOBS = {
    "reconstruct": ReconstructJob.from_request,
    "rebuild": RebuildJob.from_request,
    "clean": CleanJob.from_request,
}
"""Requests that start a job, and what makes the job from the request."""

log = logging.getLogger(__name__)


class Server:
    """Answers requests until they end. One job runs at a time, on its own thread.

    Parameters
    ----------
    requests : binary stream
        Requests are read from here, one per line.
    events : binary stream
        Events are written here, one per line. Nothing else may write to this stream.
    parts : Components, optional
        Components of the jobs; None for the real ones.
    last_resort : callable
        Ends the process. Called if the server does not stop soon after the requests have ended.
    """

    def __init__(
        self,
        requests: BinaryIO,
        events: BinaryIO,
        parts: Components | None = None,
        last_resort: Callable[[], None] = lambda: os._exit(0),
    ) -> None:
        self._requests, self._events, self._parts, self._last_resort = requests, events, parts, last_resort
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._job: str | None = None
        self._worker: threading.Thread | None = None
        self._cancel, self._stop = threading.Event(), threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        """Serve until stdin ends, the client disconnects, the protocol versions differ, or ``shutdown`` comes."""
        threading.Thread(target=self._read, name="im2hands-requests", daemon=True).start()
        threading.Thread(target=self._beat, name="im2hands-heartbeat", daemon=True).start()
        goes_on = True
        while goes_on and (line := self._inbox.get()) is not None:
            if line.strip():
                goes_on = self._answer(line)
        self._stop_job()
        self._ended.set()

    def _read(self) -> None:
        """Read requests on a thread of their own, so that their end is noticed while the main thread works."""
        try:
            for line in self._requests:
                self._inbox.put(line)
        except (OSError, ValueError):
            log.info("requests can no longer be read")
        log.info("requests ended")
        self._end_job()
        self._inbox.put(None)
        # The main thread may be busy, for example with an import. The process must end in time all the same.
        if not self._ended.wait(LAST_RESORT_SECONDS):
            self._last_resort()

    def _beat(self) -> None:
        """Send heartbeats while a job runs."""
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with self._lock:  # no heartbeat may follow the last event of a job
                if self._job is not None:
                    self._write(Heartbeat(self._job), self._job)

    def _answer(self, line: bytes) -> bool:
        """Answer one line; return whether the server goes on."""
        try:
            request = parse_request(line)
        except MessageError as error:
            self._send(Failed.from_error(error, fatal=False), error.request_id)
            return True
        try:
            return self._serve(request)
        except Im2HandsError as error:
            self._send(Failed.from_error(error, fatal=False), request.id)
        except Exception as error:  # the server goes on after a request that failed
            log.exception("request %s failed", request.type)
            self._send(unexpected_error(error, fatal=False), request.id)
        return True

    def _serve(self, request: Request) -> bool:
        """Carry out one request; return whether the server goes on."""
        if request.type == "hello":
            return self._hello(request)
        if request.type == "status":
            job = self._job
            self._send(Status(job is not None, job, __version__), request.id)
        elif request.type == "cancel":
            self._cancel_job(request)
        elif request.type in JOBS:
            self._start(request)
        else:  # shutdown
            self._stop_job()
            self._send(Bye(), request.id)
            return False
        return True

    def _hello(self, request: Request) -> bool:
        """Answer ``hello``; return whether the protocol versions agree."""
        wanted = request.fields.get("protocol")
        if wanted != PROTOCOL_VERSION:
            older = isinstance(wanted, int) and wanted < PROTOCOL_VERSION
            hint = "Update the add-on." if older else "Set up the backend again from the add-on's preferences."
            message = f"The add-on speaks protocol {wanted}, this backend ({__version__}) speaks {PROTOCOL_VERSION}."
            self._send(Failed("protocol", message, hint), request.id)
            return False
        require_memory()
        from im2hands.core.devices import usable_devices
        from im2hands.weights.folder import list_weights

        weights = [
            {"name": info.name, "sha256": info.sha256, "found": info.found, "problem": info.problem}
            for info in list_weights()
        ]
        devices = [asdict(device) for device in usable_devices()]
        python = platform.python_version()
        system = f"{platform.system()} {platform.release()} {platform.machine()}"  # platform.platform() runs uname
        ready = Ready(PROTOCOL_VERSION, __version__, python, devices, weights, system)
        self._send(ready, request.id)
        return True

    def _cancel_job(self, request: Request) -> None:
        job = self._job
        if job is None or request.fields.get("job") != job:
            raise MessageError("no_such_job", f'The job "{request.fields.get("job")}" is not running.')
        if self._cancel.is_set() or not request.fields.get("rig"):
            self._stop.set()
        self._cancel.set()

    def _end_job(self) -> None:
        """Ask the running job to stop at once."""
        self._stop.set()
        self._cancel.set()

    def _start(self, request: Request) -> None:
        if self._job is not None:
            raise MessageError("busy", "A reconstruction is running.", "Wait for it or cancel it.")
        # New events for each job: abandoned calls of an earlier job must still find theirs set.
        cancel, stop = threading.Event(), threading.Event()
        try:
            job = JOBS[request.type](
                request.fields, lambda event: self._send(event, request.id), cancel.is_set, self._parts, stop.is_set
            )
        except Im2HandsError as error:
            self._send(Failed.from_error(error), request.id)
            return
        self._cancel, self._stop, self._job = cancel, stop, request.id
        self._worker = threading.Thread(target=self._work, args=(request.id, job), name="im2hands-job", daemon=True)
        self._worker.start()

    def _work(self, name: str, job: ReconstructJob | CleanJob) -> None:
        last: Event
        try:
            last = job.run()
        except Im2HandsError as error:
            log.info("job %s: %s", name, error)
            last = Failed.from_error(error)
        except Exception as error:
            log.exception("job %s failed", name)
            last = unexpected_error(error)
        with self._lock:  # a client that reads the last event may request the next job at once
            self._job = None
            self._write(last, name)

    def _stop_job(self) -> None:
        self._end_job()
        if self._worker is not None:
            self._worker.join(REST_SECONDS)

    def _send(self, event: Event, request_id: str | None) -> None:
        with self._lock:
            self._write(event, request_id)

    def _write(self, event: Event, request_id: str | None) -> None:
        """Write one event. The caller holds the lock."""
        try:
            self._events.write(event.to_line(request_id))
            self._events.flush()
        except (OSError, ValueError):  # the client has disconnected
            self._end_job()
            self._inbox.put(None)


def unexpected_error(error: BaseException, fatal: bool = True) -> Failed:
    """Make the event for an error that is no Im2HandsError: a broken installation or a bug.

    Parameters
    ----------
    error : BaseException
        The error. Its traceback is only in the log.
    fatal : bool
        Whether the job or the server ended.

    Returns
    -------
    Failed
        The event.
    """
    words = in_words(error)
    if words is not None:
        return Failed.from_error(words, fatal)
    message = f"Something went wrong inside Im2Hands: {type(error).__name__}: {error}"
    return Failed("internal", message.splitlines()[0], "The log has the details; please report it.", fatal)
