"""Threads that work on the frames of a clip beside each other, each with one thread of PyTorch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Threads for calls that do not depend on each other; a context manager.

    A frame needs hundreds of small operations, which several cores share badly. So each call has one core, and its
    result does not depend on the number of cores.

    Parameters
    ----------
    count : int
        Number of threads.
    with_torch : bool
        Whether the calls use PyTorch.
    """

    def __init__(self, count: int, *, with_torch: bool = True) -> None:
        self._count, self._with_torch = count, with_torch
        self._threads = 0  # of PyTorch in the thread that made the workers
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        """Start the threads."""
        begin: Callable[[], None] | None = None
        if self._with_torch:
            import torch

            self._threads = torch.get_num_threads()
            begin = partial(torch.set_num_threads, 1)
        self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="frames", initializer=begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the calls that have not begun; wait for the others, unless an error ended the work."""
        assert self._pool is not None
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if self._with_torch:
            import torch

            torch.set_num_threads(self._threads)  # of threads that begin from now on

    def ahead(
        self, work: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Future[Result]]]:  # fmt: skip
        """Call ``work`` with each item, a few items ahead of the one that is handed out.

        Parameters
        ----------
        work : callable
            Called on one of the threads.
        items : iterable
            The items. They are taken on the thread that iterates over the results.

        Yields
        ------
        item
            An item, in order.
        future : Future
            The result of its call, perhaps still being computed.
        """
        assert self._pool is not None
        begun: deque[tuple[Item, Future[Result]]] = deque()
        for item in items:
            begun.append((item, self._pool.submit(work, item)))
            if len(begun) > self._count:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
