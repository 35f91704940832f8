"""Cost of the stages of a frame: seconds, processor seconds, queries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class StageCost:
    """Sums over all runs of a stage.

    Parameters
    ----------
    seconds : float
        Wall-clock time.
    cpu_seconds : float
        Processor time.
    queries : int
        Number of points at which a network was evaluated.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    queries: int = 0


@dataclass
class StageCosts:
    """Collects the cost of stages by name, in the order in which they first ran.

    Parameters
    ----------
    stages : dict of str to StageCost
        The costs so far.
    wait : callable, optional
        Called before each reading of the clock. It waits for a GPU; otherwise the GPU's work would count for the stage
        that waits for its result.
    """

    stages: dict[str, StageCost] = field(default_factory=dict)
    wait: Callable[[], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[StageCost]:
        """Measure a ``with`` block as part of a stage.

        Parameters
        ----------
        name : str
            Name of the stage.

        Yields
        ------
        StageCost
            The costs of the stage; the block adds its queries.
        """
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
