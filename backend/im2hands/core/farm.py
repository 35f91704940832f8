"""Where jobs are computed: in this process, in several processes, or on the machines of a Ray cluster.

Ray schedules the jobs, starts a job again whose worker or machine was lost, hands out graphics cards, and moves
arguments and results between machines. What jobs read or write as files must lie in a folder that all machines have at
the same path. Results come in the order of the jobs.
"""

from __future__ import annotations

import argparse
import logging
import os
import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from im2hands import __version__

from .errors import Im2HandsError, SetupError, in_words
from .processes import in_processes

Job = TypeVar("Job")
Result = TypeVar("Result")

EXECUTORS = ("local", "ray")

RETRIES = 3
"""How often a job is started again after its worker was lost."""

_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_START = (
    "Start it with ray start (--head on one machine), set RAY_AUTH_MODE here as it has it (token or disabled), "
    "or unset RAY_ADDRESS to compute on this machine."
)
_AHEAD = 2  # jobs in flight for each that the cluster can compute at once


def add_executor(parser: argparse.ArgumentParser) -> None:
    """Add ``--executor`` to the parser of a command of the lab."""
    text = "this machine, or a Ray cluster (docs/farm.md)"
    parser.add_argument("--executor", choices=EXECUTORS, default="local", help=text)


def spread(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, advice: str, executor: str = "local"
) -> Generator[Result, None, None]:
    """Call a function of one thread for every job, where the executor says.

    Parameters
    ----------
    function : callable
        A function at the top level of a module, or a ``functools.partial`` of one.
    jobs : sequence
        Arguments of the calls.
    workers : int
        Number of processes of the executor "local"; with 1, this process computes.
    advice : str
        Hint of the error if a worker is lost.
    executor : str
        One of :data:`EXECUTORS`.

    Yields
    ------
    Any
        The result of each job, in order.

    Raises
    ------
    SetupError
        A worker was lost; with "ray", :data:`RETRIES` times after the first. Or Ray cannot be used.
    """
    if executor == "ray":
        yield from on_cluster(function, jobs, advice)
    elif workers == 1 or len(jobs) < 2:
        yield from map(function, jobs)
    else:
        yield from in_processes(function, jobs, workers, advice)


def on_cluster(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    advice: str,
    *,
    threads: int = 1,
    gpu: bool = False,
    lost: Callable[[str], Result] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Call a function for every job on a Ray cluster.

    The cluster is the one that ``RAY_ADDRESS`` names, else the one that runs on this machine, else one is started here.

    Parameters
    ----------
    function : callable
        A function at the top level of a module, or a ``functools.partial`` of one.
    jobs : iterable
        Arguments of the calls. They are asked for as the cluster gets room.
    advice : str
        Hint of the error if a job is lost.
    threads : int
        Threads of each job. The same number gives the same rounding everywhere.
    gpu : bool
        Whether each job needs a graphics card.
    lost : callable, optional
        Makes the result of a job whose worker was lost :data:`RETRIES` times more than once, from the reason. None
        raises SetupError.
    check : callable
        Called several times a second; raises to stop.

    Yields
    ------
    Any
        The result of each job, in order.

    Raises
    ------
    SetupError
        Ray is not installed, the cluster cannot be used, or a job is lost.
    Exception
        Any error that the function raises.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    waiting: deque[Any] = deque()
    try:
        cpus = min(threads, _largest(ray, "CPU"))
        if not cpus or (gpu and not _largest(ray, "GPU")):
            raise SetupError(
                f"No machine of the Ray cluster has a {'graphics card' if cpus else 'processor'} to lend.",
                "Choose --device cpu, or add such machines to the cluster." if cpus else "Add machines to the cluster.",
            )
        call = ray.remote(_call).options(num_cpus=cpus, num_gpus=int(gpu), max_retries=RETRIES)
        shared = ray.put(function)
        for job in jobs:
            waiting.append(call.remote(__version__, threads, shared, pickle.dumps(job)))
            slots = ray.cluster_resources().get("GPU" if gpu else "CPU", 0) // (1 if gpu else cpus)
            while len(waiting) > _AHEAD * max(slots, 1):
                yield _result(ray, waiting.popleft(), advice, lost, check)
        while waiting:
            yield _result(ray, waiting.popleft(), advice, lost, check)
    finally:
        for reference in waiting:
            with suppress(Exception):  # the cluster may be gone
                ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _call(version: str, threads: int, function: Callable[[Any], Any], job: bytes) -> bytes:
    """Run a job; this happens on a worker. Pickled here and there, because arrays that Ray hands over are read-only."""
    if version != __version__:
        raise SetupError(
            f"A machine of the Ray cluster has Im2Hands {__version__}, this one has {version}.",
            "Install the same version on all machines.",
        )
    import torch

    os.environ["IGL_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    return pickle.dumps(function(pickle.loads(job)))


def _result(ray: Any, reference: Any, advice: str, lost: Callable[[str], Any] | None, check: Callable[[], None]) -> Any:
    """Wait for a job, and return its result or raise its error."""
    while not ray.wait([reference], timeout=_POLL_SECONDS)[0]:
        check()
    try:
        return pickle.loads(ray.get(reference))  # of our own workers
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from error
    except ray.exceptions.RayError as error:
        reason = f"Its worker was lost {RETRIES + 1} times ({type(error).__name__})."
        if lost is not None:
            return lost(reason)
        raise SetupError(f"A job of the Ray cluster failed. {reason}", advice) from error


def _cause(error: Any) -> BaseException:
    """The error that a job raised, as it would be here."""
    cause: BaseException = error.cause
    if isinstance(cause, Im2HandsError) or in_words(cause) is not None:
        return cause
    if "No module named" in str(cause):  # while a worker unpacked the job
        return SetupError(
            f"A machine of the Ray cluster cannot load Im2Hands: {str(cause).strip().splitlines()[-1][:200]}.",
            "Install the same version of im2hands on all machines, in the environment that Ray runs in.",
        )
    return cause


def _ray() -> Any:
    """Import Ray without its reports to its makers, and without its handler of signals."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SetupError(
            "Ray is not installed, which --executor ray needs.",
            "Install it with: pip install 'im2hands[farm]', on all machines; or compute with --executor local.",
        ) from error
    return ray


def _connect(ray: Any) -> None:
    """Join the cluster, or start one here."""
    _require_answer(os.environ.get("RAY_ADDRESS", ""))
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many types, also its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SetupError(f"The Ray cluster cannot be used: {reason[:200]}.", _START) from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGTERM, before)


def _require_answer(address: str) -> None:
    """Require that a machine HOST:PORT answers: Ray itself tries for minutes, and cannot be stopped meanwhile."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:  # Ray's other forms, as "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"The Ray cluster at {address[:200]} does not answer: {error}.", _START) from error


def _largest(ray: Any, resource: str) -> int:
    """The largest number of processors ("CPU") or graphics cards ("GPU") of a machine of the cluster."""
    return int(max((node["Resources"].get(resource, 0) for node in ray.nodes() if node["Alive"]), default=0))
