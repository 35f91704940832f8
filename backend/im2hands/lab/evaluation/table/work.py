"""Scheduling of the table's jobs, in this process or in several worker processes.

A worker loads only what the rows of its jobs need, computes with one thread and holds one scene or clip at a time. The
parent process writes the results. They equal those of a single process except for rounding, which depends on the number
of threads: thousandths of a millimetre of Chamfer distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache, partial
from multiprocessing.util import Finalize

from im2hands.core.processes import in_processes

from .clips import ClipResult
from .rows import Result
from .tools import Job, Plan, Tools

Measured = Result | ClipResult


def work(plan: Plan, jobs: Sequence[Job], workers: int, done: Callable[[], None]) -> Iterator[Measured]:
    """Measure jobs, and yield the results as they are ready.

    Parameters
    ----------
    plan : Plan
        Settings of the run.
    jobs : sequence of Job
        Scenes and clips to measure.
    workers : int
        Number of processes; 1 measures in this process.
    done : callable
        Called after each job.

    Yields
    ------
    Result or ClipResult

    Raises
    ------
    SetupError
        A worker process was ended from outside.
    """
    if workers == 1 or len(jobs) < 2:
        with closing(Tools(plan)) as tools:
            for job in jobs:
                yield from tools.measure(job)
                done()
        return
    advice = "Use fewer --workers; the same command keeps the finished results and continues."
    for measured in in_processes(partial(_measure, plan), jobs, workers, advice):
        yield from measured
        done()


@cache
def _tools(plan: Plan) -> Tools:
    """Tools of a worker process. ``Finalize`` closes them, because a worker runs no ``atexit`` functions."""
    tools = Tools(plan)
    Finalize(None, tools.close, exitpriority=1)
    return tools


def _measure(plan: Plan, job: Job) -> list[Measured]:
    return list(_tools(plan).measure(job))
