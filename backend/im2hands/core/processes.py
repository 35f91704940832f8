"""Jobs done by several processes, each with one thread; results come in the jobs' order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from .errors import SetupError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, advice: str) -> Iterator[Result]:
    """``function`` of every job.

    Args:
        function: of a module's top level, or a ``functools.partial`` of one; it and the jobs travel to the workers.
        workers: processes. advice: what to do when a worker was ended from outside.

    Raises:
        SetupError: that happened.
    """
    # A forked process would inherit what CUDA and libigl's threads have set up.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin) as pool:
        waiting: list[Future[Result]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(function, job))
                # A few jobs ahead of who takes the results are enough, and finished ones take memory.
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise SetupError("A worker was ended from outside, perhaps for want of memory.", advice) from error
        except BaseException:
            for future in waiting:
                future.cancel()
            raise


def _begin() -> None:
    """In a worker: one thread, and no interrupts of its own."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["IGL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
