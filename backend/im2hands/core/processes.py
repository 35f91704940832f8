"""Parallel execution of jobs in several processes of one thread each; results come in the order of the jobs."""

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
    """Call a function for every job in worker processes.

    Parameters
    ----------
    function : callable
        A function at the top level of a module, or a ``functools.partial`` of one. It is pickled for the workers.
    jobs : sequence
        Arguments of the calls. They are pickled too.
    workers : int
        Number of processes.
    advice : str
        Hint of the error if a worker is killed.

    Yields
    ------
    Any
        The result of each job, in order.

    Raises
    ------
    SetupError
        A worker was killed, for example for lack of memory.
    """
    # "spawn", because a forked process would inherit the state of CUDA and of libigl's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin) as pool:
        waiting: list[Future[Result]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(function, job))
                # Limit the number of jobs in flight: finished results that the caller has not taken use memory.
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        except BrokenProcessPool as error:
            raise SetupError("A worker process was killed, perhaps for lack of memory.", advice) from error
        except BaseException:
            for future in waiting:
                future.cancel()
            raise


def _begin() -> None:
    """Prepare a worker process: one thread, and interrupts are left to the parent process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["IGL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
