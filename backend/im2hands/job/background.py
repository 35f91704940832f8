"""A background thread for long calls, so that the waiting thread can react to cancellation at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from im2hands.core.errors import Cancelled

Result = TypeVar("Result")

POLL_SECONDS = 0.05
GRACE_SECONDS = 0.5
"""Time that a cancelled call has to end before it is abandoned."""

CLOSE_SECONDS = 5.0
"""Time that :meth:`Background.close` waits for the thread if the job was not cancelled."""


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # raised again by the waiting thread
            self.error = error
        finally:
            self.done.set()


class Background:
    """One daemon thread that runs calls one after the other.

    Objects that are not thread-safe (MediaPipe's graphs) are created, used and closed in such calls.

    Parameters
    ----------
    cancelled : callable
        Returns whether the person asked to stop. Called several times a second while a call runs.
    stopped : callable, optional
        Returns whether the person asked to stop at once, see :meth:`go_on`. None: every stop is at once.
    """

    def __init__(self, cancelled: Callable[[], bool], stopped: Callable[[], bool] | None = None) -> None:
        self._cancelled, self._stopped = cancelled, stopped or cancelled
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="im2hands-background", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Cancelled if the person asked to stop."""
        if self._cancelled():
            raise Cancelled("Stopped.")

    def go_on(self) -> bool:
        """Let calls run again after the person asked to stop, unless it was at once; return whether they may."""
        if self._stopped():
            return False
        self._cancelled = self._stopped
        return True

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Let calls inside this context end only where the person asks to stop at once."""
        before, self._cancelled = self._cancelled, self._stopped
        try:
            yield
        finally:
            self._cancelled = before

    def run(self, function: Callable[[], Result]) -> Result:
        """Run a function on the background thread and wait for its result.

        Parameters
        ----------
        function : callable
            Function without arguments.

        Returns
        -------
        Any
            The function's result.

        Raises
        ------
        Cancelled
            The person asked to stop. A call that does not end within :data:`GRACE_SECONDS` is abandoned. It ends by
            itself.
        Exception
            Any error that the function raises.
        """
        self.check()
        call = _Call(function)
        self._calls.put(call)
        while not call.done.wait(POLL_SECONDS):
            if self._cancelled():
                call.done.wait(GRACE_SECONDS)
                raise Cancelled("Stopped.")
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def close(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after the current call, and wait for it for a limited time.

        Parameters
        ----------
        last : callable, optional
            Function to run on the thread before it ends.
        """
        if last is not None:
            self._calls.put(_Call(last))
        self._calls.put(None)
        self._thread.join(GRACE_SECONDS if self._cancelled() else CLOSE_SECONDS)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
