"""Mesh extraction in other processes, while this process evaluates the networks for the next hands.

Marching cubes holds Python's interpreter lock while it runs, so threads would make the GPU wait.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from im2hands.geometry.marching_cubes import ClosedMesh, NearSurface, closed_mesh

Mesh = Callable[[], ClosedMesh | None]
"""Waits for a mesh; None if there is no surface."""

_log = logging.getLogger(__name__)


class MeshWorkers:
    """A pool of processes that extract meshes.

    Parameters
    ----------
    count : int
        Number of processes; 0 extracts each mesh in this process when its result is requested.

    Attributes
    ----------
    cpu_seconds : float
        Processor time of all meshes that were waited for.
    """

    def __init__(self, count: int) -> None:
        self.count, self.cpu_seconds = count, 0.0
        # A forked process would inherit an initialised CUDA context, which it cannot use.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, mp_context=context) if count else None

    def submit(self, known: NearSurface) -> Mesh:
        """Start the extraction of a mesh.

        Parameters
        ----------
        known : NearSurface
            The logits around the surface.

        Returns
        -------
        callable
            Waits for the mesh and returns it; None if there is no surface.
        """
        future: Future[ClosedMesh | None] | None = None
        if self._pool is not None:
            try:
                future = self._pool.submit(closed_mesh, known)
            except BrokenProcessPool:
                self._give_up()

        def result() -> ClosedMesh | None:
            try:
                made = closed_mesh(known) if future is None else future.result()
            except BrokenProcessPool:
                self._give_up()
                made = closed_mesh(known)
            self.cpu_seconds += 0.0 if made is None else made.cpu_seconds
            return made

        return result

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _give_up(self) -> None:
        if self._pool is not None:
            _log.warning("the mesh processes have ended; this process makes the meshes from now on")
            self.close()
