"""The scenes and clips of a table measured one after the other, or by several processes.

A worker loads only what the rows of its scenes need, computes with one thread and holds one scene (or clip) at a time;
results are written by the process that started it. They are those of one process but for rounding, which depends on
the number of threads: thousandths of a millimetre of Chamfer distance.
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
    """The results of jobs, as they come.

    Args:
        plan: of the run. workers: processes; 1 measures in this one. done: called after each job.

    Raises:
        SetupError: a worker was ended from outside.
    """
    if workers == 1 or len(jobs) < 2:
        with closing(Tools(plan)) as tools:
            for job in jobs:
                yield from tools.measure(job)
                done()
        return
    advice = "Use fewer --workers; the same command goes on with what is measured."
    for measured in in_processes(partial(_measure, plan), jobs, workers, advice):
        yield from measured
        done()


@cache
def _tools(plan: Plan) -> Tools:
    """The tools of a worker; closed when it ends, which runs no exit functions."""
    tools = Tools(plan)
    Finalize(None, tools.close, exitpriority=1)
    return tools


def _measure(plan: Plan, job: Job) -> list[Measured]:
    return list(_tools(plan).measure(job))
