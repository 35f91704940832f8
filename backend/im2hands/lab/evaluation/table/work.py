"""Scheduling of the table's jobs, in this process, in several worker processes, or on a Ray cluster.

A worker loads only what the rows of its jobs need, computes with one thread and holds one scene or clip at a time. The
parent process writes the results. They equal those of a single process except for rounding, which depends on the number
of threads: thousandths of a millimetre of Chamfer distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from multiprocessing.util import Finalize
from pathlib import Path

from im2hands.core.farm import on_cluster
from im2hands.core.processes import in_processes

from .clips import ClipResult
from .rows import Result
from .tools import Job, Plan, Tools

Measured = Result | ClipResult

_ADVICE = "Use fewer --workers; the same command keeps the finished results and continues."


def work(
    plan: Plan, jobs: Sequence[Job], workers: int, done: Callable[[], None], executor: str = "local"
) -> Iterator[Measured]:
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
    executor : str
        "local" or "ray", see ``core.farm``.

    Yields
    ------
    Result or ClipResult

    Raises
    ------
    SetupError
        A worker process was ended from outside, or Ray cannot be used.
    """
    if executor == "ray":
        there = _elsewhere(plan)
        on_card = there.device == "cuda"
        for measured in on_cluster(partial(_measure, there), jobs, _ADVICE, gpu=on_card):
            yield from measured
            done()
        return
    if workers == 1 or len(jobs) < 2:
        with closing(Tools(plan)) as tools:
            for job in jobs:
                yield from tools.measure(job)
                done()
        return
    for measured in in_processes(partial(_measure, plan), jobs, workers, _ADVICE):
        yield from measured
        done()


def _elsewhere(plan: Plan) -> Plan:
    """The plan for machines with another working folder, to which Ray shows the card that it lends to them only."""
    from im2hands.core.devices import choose_device

    data, clips, palms, kept = (
        None if path is None else Path(path).absolute() for path in (plan.data, plan.clips, plan.palms, plan.kept)
    )
    assert kept is not None
    weights = plan.weights if plan.weights == "bundled" else str(Path(plan.weights).absolute())
    device = choose_device(plan.device).type
    return replace(plan, data=data, clips=clips, palms=palms, kept=kept, weights=weights, device=device)


@cache
def _tools(plan: Plan) -> Tools:
    """Tools of a worker process. ``Finalize`` closes them, because a worker runs no ``atexit`` functions."""
    tools = Tools(plan)
    Finalize(None, tools.close, exitpriority=1)
    return tools


def _measure(plan: Plan, job: Job) -> list[Measured]:
    return list(_tools(plan).measure(job))
