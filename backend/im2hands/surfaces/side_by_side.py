"""The hands of a frame at the same time on a processor with several cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(work: Sequence[Callable[[], Result]], device: torch.device) -> list[Result]:
    """Do independent work, one thread each; without gradients.

    A hand is asked in thousands of small steps, which two cores share badly; two hands keep two cores busy.

    Args:
        work: usually a call a hand. device: where the networks run; only on a CPU the work is done at the same time.

    Returns:
        What each call gave, in order. The first error is raised when all have ended.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or len(work) < 2 or threads < 2:
        with torch.no_grad():
            return [call() for call in work]
    share = max(1, threads // len(work))

    def alone(call: Callable[[], Result]) -> Result:
        torch.set_num_threads(share)
        with torch.no_grad():  # belongs to the thread
            return call()

    try:
        with ThreadPoolExecutor(len(work), thread_name_prefix="hands") as pool:
            return list(pool.map(alone, work))
    finally:
        torch.set_num_threads(threads)
