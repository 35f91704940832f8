"""Independent calls in parallel threads on a CPU with several cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(work: Sequence[Callable[[], Result]], device: torch.device) -> list[Result]:
    """Run independent calls, one thread each, without gradients.

    A hand needs thousands of small operations, which several cores share badly. Two calls keep two cores busy.

    Parameters
    ----------
    work : sequence of callable
        The calls, such as one for each hand.
    device : torch.device
        Where the networks run. The calls run in parallel on a CPU only.

    Returns
    -------
    list
        The results, in order.

    Raises
    ------
    Exception
        The first error of a call, raised when all calls have ended.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or len(work) < 2 or threads < 2:
        with torch.no_grad():
            return [call() for call in work]
    share = max(1, threads // len(work))

    def without_gradients(call: Callable[[], Result]) -> Result:
        with torch.no_grad():  # the setting is per thread
            return call()

    try:
        with ThreadPoolExecutor(len(work), "hands", initializer=torch.set_num_threads, initargs=(share,)) as pool:
            return list(pool.map(without_gradients, work))
    finally:
        torch.set_num_threads(threads)
