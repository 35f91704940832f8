"""What the stages of a frame cost: seconds, processor seconds, queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class StageCost:
    """Sums over all times that a stage ran.

    Args:
        seconds, cpu_seconds: wall clock and processor time. queries: points that a network was asked.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    queries: int = 0


@dataclass
class StageCosts:
    """Collects the cost of stages by name, in the order in which they first ran.

    Args:
        wait: called before the clock is read: waits for a GPU, whose work else counts where somebody waits for it.
    """

    stages: dict[str, StageCost] = field(default_factory=dict)
    wait: Callable[[], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[StageCost]:
        """Measure the block as part of a stage."""
        cost = self.stages.setdefault(name, StageCost())
        if self.wait is not None:
            self.wait()
        began, began_cpu = time.perf_counter(), time.process_time()
        try:
            yield cost
        finally:
            if self.wait is not None:
                self.wait()
            cost.seconds += time.perf_counter() - began
            cost.cpu_seconds += time.process_time() - began_cpu
