"""The scenes and clips of a table measured one after the other, or by several processes.

A worker loads only what the rows of its scenes need, computes with one thread and holds one scene (or clip) at a time;
results are written by the process that started it. They are those of one process but for rounding, which depends on
the number of threads: thousandths of a millimetre of Chamfer distance.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import cache
from multiprocessing.util import Finalize

from ..errors import EnvironmentError_
from .table_clips import ClipResult
from .table_rows import Result
from .table_tools import Job, Plan, Tools

Measured = Result | ClipResult


def work(plan: Plan, jobs: Sequence[Job], workers: int, done: Callable[[], None]) -> Iterator[Measured]:
    """The results of jobs, as they come.

    Args:
        plan: of the run. workers: processes; 1 measures in this one. done: called after each job.

    Raises:
        EnvironmentError_: a worker was ended from outside.
    """
    if workers == 1 or len(jobs) < 2:
        with closing(Tools(plan)) as tools:
            for job in jobs:
                yield from tools.measure(job)
                done()
        return
    # A forked process would inherit what CUDA and libigl's threads have set up.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin) as pool:
        waiting: list[Future[list[Measured]]] = []
        try:
            for job in jobs:
                waiting.append(pool.submit(_measure, plan, job))
                if len(waiting) > 2 * workers:
                    yield from waiting.pop(0).result()
                    done()
            while waiting:
                yield from waiting.pop(0).result()
                done()
        except BrokenProcessPool as error:
            raise EnvironmentError_(
                "A worker was ended from outside, perhaps for want of memory.",
                "Use fewer --workers; the same command goes on with what is measured.",
            ) from error
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


@cache
def _tools(plan: Plan) -> Tools:
    """The tools of a worker; closed when it ends, which runs no exit functions."""
    tools = Tools(plan)
    Finalize(None, tools.close, exitpriority=1)
    return tools


def _measure(plan: Plan, job: Job) -> list[Measured]:
    return list(_tools(plan).measure(job))
