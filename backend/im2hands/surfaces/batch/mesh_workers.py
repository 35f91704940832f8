"""Meshes and anchors made in other processes, while this process evaluates the networks for the next hands.

Marching cubes holds Python's interpreter lock while it runs, so threads would make the GPU wait. The other processes do
without PyTorch.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np

from im2hands.geometry.even_points import even_points
from im2hands.geometry.marching_cubes import ClosedMesh, NearSurface, closed_mesh
from im2hands.geometry.mesh_placing import Placement

Result = TypeVar("Result")

Mesh = Callable[[], ClosedMesh | None]
"""Waits for a mesh; None if there is no surface."""

Anchors = Callable[[], np.ndarray | None]
"""Waits for the anchors (A, 3) on a surface, frame of the keypoints, metres; None if there is no surface."""

_log = logging.getLogger(__name__)


class MeshWorkers:
    """A pool of processes that extract meshes. They start with the first mesh.

    Parameters
    ----------
    count : int
        Number of processes; 0 extracts each mesh in this process when its result is requested.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        # A forked process would inherit an initialised CUDA context, which it cannot use.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, context, _begin) if count else None

    def mesh(self, known: NearSurface) -> Mesh:
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
        return self._start(closed_mesh, known)

    def anchors(self, known: NearSurface, placement: Placement, count: int) -> Anchors:
        """Start the choice of anchors on a surface.

        Parameters
        ----------
        known : NearSurface
            The logits around the surface.
        placement : Placement
            Where the hand lies.
        count : int
            Number of anchors.

        Returns
        -------
        callable
            Waits for the anchors and returns them; None if there is no surface.
        """
        return self._start(_anchors, known, placement, count)

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _start(self, work: Callable[..., Result], *given: Any) -> Callable[[], Result]:
        future: Future[Result] | None = None
        if self._pool is not None:
            try:
                future = self._pool.submit(work, *given)
            except BrokenProcessPool:
                self._give_up()

        def result() -> Result:
            try:
                return work(*given) if future is None else future.result()
            except BrokenProcessPool:
                self._give_up()
                return work(*given)

        return result

    def _give_up(self) -> None:
        if self._pool is not None:
            _log.warning("the mesh processes have ended; this process makes the meshes from now on")
            self.close()


def _begin() -> None:
    """Prepare a worker process: interrupts are left to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _anchors(known: NearSurface, placement: Placement, count: int) -> np.ndarray | None:
    made = closed_mesh(known)
    if made is None or not len(made.faces):
        return None
    return even_points(*placement.place(made.vertices, made.faces), count)
