"""Runs heavy calls on a thread of their own, so that whoever waits can give up at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from im2hands.core.errors import Cancelled

Result = TypeVar("Result")

POLL_SECONDS = 0.05
# How long a cancelled call may take to come back by itself before it is left behind.
GRACE_SECONDS = 0.5
CLOSE_SECONDS = 5.0


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        finally:
            self.done.set()


class Background:
    """One daemon thread that runs calls one after the other.

    Objects that are not thread-safe (MediaPipe's graphs) live on it: made, used and closed in calls.

    Args:
        cancelled: asked several times a second while a call runs. tick: called as often, on the waiting thread.
    """

    def __init__(self, cancelled: Callable[[], bool], tick: Callable[[], None] = lambda: None) -> None:
        self._cancelled = cancelled
        self._tick = tick
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="im2hands-background", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Cancelled if the person asked to stop."""
        if self._cancelled():
            raise Cancelled("Stopped.")

    def run(self, function: Callable[[], Result]) -> Result:
        """Run ``function`` on the thread and give back what it gives.

        Raises:
            Cancelled: the person asked to stop. A call that does not come back soon is left behind; it ends on its own.
            Exception: whatever ``function`` raised.
        """
        self.check()
        call = _Call(function)
        self._calls.put(call)
        while not call.done.wait(POLL_SECONDS):
            if self._cancelled():
                call.done.wait(GRACE_SECONDS)
                raise Cancelled("Stopped.")
            self._tick()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Let the thread end after the call it is in, and after ``last``; waits longer if nobody is leaving."""
        if last is not None:
            self._calls.put(_Call(last))
        self._calls.put(None)
        self._thread.join(GRACE_SECONDS if self._cancelled() else CLOSE_SECONDS)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
