"""A child process whose input and output pass through queues, so that Blender never waits for it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import IO

from ..errors import BackendError
from .environment import clean_environment, hidden_window, own_group

_STDERR_LINES = 40
_STOP_SECONDS = 5.0
_DRAIN_SECONDS = 2.0


class LineProcess:
    """A child process to which lines are sent and from which lines are received.

    Every method except :meth:`wait` returns at once. The child must end when its stdin ends, because that also
    happens when this process is killed.

    Parameters
    ----------
    command : list of str
        Program and arguments.

    Raises
    ------
    BackendError
        The child cannot be started.
    """

    def __init__(self, command: list[str]) -> None:
        self.command = command
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean_environment(),
                **own_group(),
            )
        except OSError as error:
            raise BackendError(
                f"{command[0]} cannot be started: {error.strerror or error}.", "Choose another environment."
            ) from error
        self._ended_at: float | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._readers = [
            threading.Thread(target=self._read, args=(self._child.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self._child.stderr, self._keep_stderr), daemon=True),
        ]
        self._writer = threading.Thread(target=self._write, daemon=True)
        for thread in (*self._readers, self._writer):
            thread.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def return_code(self) -> int | None:
        """The exit code; None until the child has ended and all its output has been read."""
        if self._child.poll() is None:
            return None
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        still_reading = any(thread.is_alive() for thread in self._readers)
        # A grandchild may keep the pipes open for ever. After this time the output of the child itself has been read.
        if still_reading and time.monotonic() - self._ended_at < _DRAIN_SECONDS:
            return None
        return self._child.returncode

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines that the child wrote to stderr."""
        return list(self._stderr)

    def send(self, line: bytes) -> None:
        """Send a line to the child; it is lost if the child has ended."""
        self._requests.put(line)

    def receive(self) -> list[bytes]:
        """Return the lines of the child's stdout that arrived since the last call."""
        lines = []
        while True:
            try:
                lines.append(self._lines.get_nowait())
            except queue.Empty:
                return lines

    def stop(self, last_line: bytes = b"") -> None:
        """Ask the child to end; it is killed if it still runs after 5 s.

        Parameters
        ----------
        last_line : bytes
            A last line to send before the child's stdin is closed; b"" for none.
        """
        if last_line:
            self._requests.put(last_line)
        self._requests.put(None)
        threading.Thread(target=self._reap, daemon=True).start()

    def kill(self) -> None:
        """Kill the child and its own children: pip and venv start further programs, which would go on writing."""
        if self._child.poll() is not None:
            return
        if sys.platform == "win32":
            # Windows has no groups of processes to kill; its own tool knows the children.
            tree = ["taskkill", "/F", "/T", "/PID", str(self._child.pid)]
            with contextlib.suppress(OSError):  # without the tool the child alone is killed
                subprocess.run(tree, capture_output=True, check=False, **hidden_window())
            self._child.kill()
        else:
            os.killpg(self._child.pid, signal.SIGKILL)  # it leads a group of its own, see own_group

    def wait(self, seconds: float) -> None:
        """Wait until a killed child has ended.

        Parameters
        ----------
        seconds : float
            The longest time to wait.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)

    def _reap(self) -> None:
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _keep_stderr(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if text:
            self._stderr.append(text)

    @staticmethod
    def _read(pipe: IO[bytes], keep: object) -> None:
        with pipe:
            for line in pipe:
                keep(line)  # type: ignore[operator]

    def _write(self) -> None:
        # Python programs ignore SIGPIPE, but Blender does not: a line for a child that has ended would kill Blender.
        # Blocked in this thread alone, the failed write is an OSError, and other code of Blender is not affected.
        if sys.platform != "win32":  # Windows has no such signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        pipe = self._child.stdin
        try:
            with pipe:
                while (line := self._requests.get()) is not None:
                    pipe.write(line)
                    pipe.flush()
        except OSError:  # the child has ended; its exit code shows why
            return
