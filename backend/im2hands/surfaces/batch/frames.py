"""Surface reconstruction of many two-hand frames at once: the road of ``im2hands reconstruct`` on an accelerator.

The meshes equal those of the one-by-one reconstruction. The processor waits for the device, and launches its kernels,
once for all frames of a batch:

* The pictures of a batch are encoded together.
* All hands are refined in lockstep, so one step of the lattice search makes one large network call.
* Other processes extract the meshes, and choose the anchors, of one batch while the networks evaluate the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from im2hands.core.camera import Camera
from im2hands.core.devices import granted_cores
from im2hands.core.errors import FrameError
from im2hands.core.gpu import free_memory, is_out_of_memory, memory_error, release_memory
from im2hands.core.hands import SIDES, Side, TwoHands
from im2hands.geometry.marching_cubes import ClosedMesh
from im2hands.media.source import Frame
from im2hands.networks.chunks import Chunks
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.surfaces.dense_lattice import Surface
from im2hands.surfaces.from_keypoints import HandMesh, hand_mesh
from im2hands.surfaces.from_picture import PictureReconstructor
from im2hands.surfaces.hand_crop import crop_hands

from .hands import BatchHands, ReadyFrame
from .mesh_workers import Mesh, MeshWorkers

_AUTO_FRAMES = 8  # in a batch whose size the memory decides: more frames gain little and need as much more memory
_FRAME_SHARE = 0.05  # of the device's memory that a frame may take in such a batch
_POINT_BYTES = 24  # that a lattice point needs at most: values, masks, running counts
_PICTURE_BYTES = 64 * 2**20  # that the features of a picture need at most
_QUERY_BYTES, _QUERY_SHARE, _MOST_QUERIES = 13312, 0.25, 1 << 18  # of queries evaluated at once, and share of memory
_QUERIES_ON_CPU = 8192
_MOST_WORKERS = 8
_log = logging.getLogger(__name__)

Job = tuple[Frame | None, Camera, TwoHands]
"""A frame, its camera, and the keypoints of its hands (camera frame, metres)."""

Made = dict[Side, HandMesh] | FrameError
"""The meshes of a frame, or the error that prevented them."""


@dataclass
class _Batch:
    """Frames on their way. ``ready`` has None for those that are reconstructed one by one."""

    jobs: list[Job]
    ready: list[ReadyFrame | None]
    hands: BatchHands | None = None
    meshes: list[Mesh | None] = field(default_factory=list)


def frames_at_once(voxel_m: float, device: torch.device) -> int:
    """The number of frames in a batch that suits the memory of a device.

    Parameters
    ----------
    voxel_m : float
        Lattice spacing, metres.
    device : torch.device
        The device.

    Returns
    -------
    int
        1 to 8.
    """
    box = (0.22 / voxel_m) * (0.22 / voxel_m) * (0.16 / voxel_m)  # points around a large hand
    frame = 2 * box * _POINT_BYTES + _PICTURE_BYTES
    return max(1, min(_AUTO_FRAMES, int(_FRAME_SHARE * _AUTO_FRAMES * free_memory(device) / frame)))


class BatchReconstructor:
    """Reconstructs many frames in batches with the refinement network.

    Use it in a ``with`` block, which ends its worker processes. Frames with one hand, and frames whose hands lie
    outside the picture, are reconstructed one by one. So are the frames of a batch for which the device's memory does
    not suffice; later batches are then half as large.

    Parameters
    ----------
    single : PictureReconstructor
        Reconstructs single frames. Its network, device, voxel, precision and costs are used for batches too.
    batch : int, optional
        Frames in a batch; None for what suits the memory of the device.
    workers : int, optional
        Number of processes that extract meshes; 0 for none. None is one per CPU core less one (at most 8) on an
        accelerator, and 0 elsewhere.

    Attributes
    ----------
    mesh_workers : MeshWorkers
        The processes that extract meshes.
    size : int
        Frames in a batch.

    Raises
    ------
    ValueError
        ``batch`` is less than 1.
    """

    def __init__(self, single: PictureReconstructor, *, batch: int | None = None, workers: int | None = None) -> None:
        self.size = frames_at_once(single.voxel_m, single.device) if batch is None else batch
        if self.size < 1:
            raise ValueError(f"a batch of {batch} frames")
        self.single, self.device = single, single.device
        if workers is None:
            workers = 0 if self.device.type == "cpu" else max(0, min(granted_cores() - 1, _MOST_WORKERS))
        self.mesh_workers = MeshWorkers(workers)
        self._begun: _Batch | None = None
        self._evaluated: _Batch | None = None
        self._chunks, self._queries = Chunks(), _QUERIES_ON_CPU
        if self.device.type != "cpu":
            self._queries = min(int(_QUERY_SHARE * free_memory(self.device) / _QUERY_BYTES), _MOST_QUERIES)

    def __enter__(self) -> BatchReconstructor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        self.mesh_workers.close()

    def reconstruct(self, jobs: Iterable[Job]) -> Iterator[Made]:
        """Reconstruct frames in batches.

        While the networks evaluate a batch, other processes make the anchors of the next one and the meshes of the one
        before.

        Parameters
        ----------
        jobs : iterable of (Frame or None, Camera, TwoHands)
            Frames with their cameras and keypoints (camera frame, metres).

        Yields
        ------
        dict of Side to HandMesh, or FrameError
            The meshes of each frame, in the order of ``jobs``, or the error that prevented them.
        """
        source = iter(jobs)
        while group := list(islice(source, self.size)):
            yield from self.advance(group)
        while self.unfinished:
            yield from self.advance([])

    def advance(self, jobs: Sequence[Job]) -> list[Made]:
        """Begin a batch, and bring the batches that were begun before one step further.

        Parameters
        ----------
        jobs : sequence of (Frame or None, Camera, TwoHands)
            The frames, at most ``size``; none to finish those that were begun.

        Returns
        -------
        list of dict of Side to HandMesh, or FrameError
            The frames that are finished now, in the order in which they were begun; see ``reconstruct``.
        """
        started = self._step(self._begin, _Batch(list(jobs), [self._ready(*job) for job in jobs])) if jobs else None
        evaluated = None if self._begun is None else self._step(self._evaluate, self._begun)
        finished = self._evaluated
        self._begun, self._evaluated = started, evaluated
        return [] if finished is None else list(self._finish(finished))

    @property
    def unfinished(self) -> bool:
        """Whether frames were begun that are not finished."""
        return self._begun is not None or self._evaluated is not None

    def _step(self, work: Callable[[_Batch], None], batch: _Batch) -> _Batch:
        """Do a part of the work on a batch. Where the memory does not suffice, its frames are made one by one."""
        try:
            with torch.no_grad():
                work(batch)
            return batch
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if self.size > 1:
            self.size //= 2
            _log.warning("%d frames at once are too many for this device's memory; trying %d", 2 * self.size, self.size)
        release_memory()
        return _Batch(batch.jobs, [None] * len(batch.jobs))

    def _begin(self, batch: _Batch) -> None:
        """Encode the pictures, evaluate the initial network, and start the choice of the anchors."""
        frames = [frame for frame in batch.ready if frame is not None]
        if frames:
            assert isinstance(self.single.network, RefinedOccupancy)
            batch.hands = BatchHands(self.single, self.single.network, frames, self.mesh_workers, self._over)

    def _evaluate(self, batch: _Batch) -> None:
        """Evaluate the refinement network and start the extraction of the meshes."""
        if batch.hands is not None:
            batch.meshes, batch.hands = batch.hands.refined(), None

    def _ready(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> ReadyFrame | None:
        """The inputs of a frame that can be batched; None if it must be reconstructed alone."""
        present = hands.present()
        if frame is None or len(present) < 2 or not isinstance(self.single.network, RefinedOccupancy):
            return None
        try:
            _, positions, bones = self.single.bones_of(present)
            return ReadyFrame(bones, positions, crop_hands(frame, camera, hands))
        except FrameError:  # the single-frame reconstructor reports it, or uses the keypoints alone
            return None

    def _finish(self, batch: _Batch) -> Iterator[Made]:
        count = sum(frame is not None for frame in batch.ready)
        rows = iter(range(count))
        for job, frame in zip(batch.jobs, batch.ready, strict=True):
            made: list[ClosedMesh | None] = []
            if frame is not None and batch.meshes:
                row = next(rows)
                with self.single.costs.stage("meshes"):
                    waiting = [batch.meshes[row], batch.meshes[row + count]]
                    made = [mesh() for mesh in waiting if mesh is not None]
            whole = [mesh for mesh in made if mesh is not None]
            if frame is None or len(whole) < len(SIDES):
                yield self._alone(job)
                continue
            surfaces = [Surface(mesh.vertices, mesh.faces) for mesh in whole]
            yield {side: hand_mesh(surfaces[k], frame.bones, k) for k, side in enumerate(SIDES)}

    def _alone(self, job: Job) -> Made:
        try:
            return self.single.reconstruct(*job)
        except FrameError as error:
            return error
        except (RuntimeError, MemoryError) as error:
            return memory_error(error, job[0].name if job[0] is not None else "a frame")

    def _over(self, points: Tensor, evaluate: Callable[[slice], Tensor]) -> Tensor:
        """Evaluate points (H, N, 3), as many at once as the memory allows; the limit is kept between batches."""
        return self._chunks.over(points.shape[1], max(self._queries // len(points), 1), evaluate, dim=1)
