"""Surface reconstruction of many two-hand frames at once, for accelerators.

The meshes equal those of the one-by-one reconstruction; the number of kernel launches is much smaller:

* The pictures of a batch are encoded together.
* All hands are refined in lockstep, so one level of the lattice search makes one large network call.
* Network calls that repeat with the same shapes are recorded as CUDA graphs or compiled.
* Other processes extract the meshes of a batch while the networks evaluate the next batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from im2hands.core.camera import Camera
from im2hands.core.devices import granted_cores
from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, Side, TwoHands
from im2hands.geometry.bones import QUERY_SCALE, Bones
from im2hands.geometry.marching_cubes import ClosedMesh, NearSurface
from im2hands.media.source import Frame
from im2hands.networks.farthest_points import farthest_points, take
from im2hands.networks.initial_hand import InitialHand
from im2hands.networks.refined_hands import PictureFeatures, RefinedHands, View
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.surfaces.dense_lattice import Surface
from im2hands.surfaces.from_keypoints import HandMesh, bones_of, hand_mesh
from im2hands.surfaces.from_picture import NEAR_SURFACE, PictureReconstructor
from im2hands.surfaces.hand_crop import HandCrop, crop_hands
from im2hands.surfaces.occupancy_field import OUTSIDE_LOGIT
from im2hands.surfaces.picture_field import hand_boxes, surface_points
from im2hands.surfaces.tracked_hand import ANCHOR_LATTICE, COARSEST, lattice_step

from .lattices import BatchField, LatticeBatch
from .launches import Launch, Launches, choose_launch
from .mesh_workers import Mesh, MeshWorkers
from .padded import PaddedQueries

BATCH = 8
"""Default number of frames in a batch."""

_MOST_WORKERS = 8

Job = tuple[Frame | None, Camera, TwoHands]
"""A frame, its camera, and the keypoints of its hands (camera frame, metres)."""

Made = dict[Side, HandMesh] | FrameError
"""The meshes of a frame, or the error that prevented them."""


class _Ready(NamedTuple):
    """A frame that can be batched: bones of both hands (left first), their keypoints (2, 21, 3), and the crop."""

    bones: Bones
    keypoints: Tensor
    crop: HandCrop


class _Begun(NamedTuple):
    """Frames whose networks have been evaluated.

    ``meshes`` holds the pending meshes of both hands per frame; None for frames that are reconstructed one by one.
    """

    jobs: list[Job]
    bones: list[Bones | None]
    meshes: list[tuple[Mesh | None, Mesh | None]]


class BatchReconstructor:
    """Reconstructs many frames in batches with the refinement network.

    Use it in a ``with`` block, which ends its worker processes. Frames with one hand, and frames whose hands lie
    outside the picture, are reconstructed one by one.

    Parameters
    ----------
    single : PictureReconstructor
        Reconstructs single frames. Its network, device, voxel, precision and costs are used for batches too.
    batch : int
        Frames in a batch.
    launch : {"auto", "eager", "graphs", "compile"}
        How network calls are launched: "graphs" records CUDA graphs, "compile" uses ``torch.compile``, "eager" calls
        the functions directly. "auto" is "graphs" on CUDA and "eager" elsewhere.
    workers : int, optional
        Number of processes that extract meshes; 0 for none. None is one per CPU core less one (at most 8) on CUDA, and
        0 elsewhere.

    Attributes
    ----------
    mesh_workers : MeshWorkers
        The processes that extract meshes.

    Raises
    ------
    ValueError
        ``batch`` is less than 1.
    """

    def __init__(
        self, single: PictureReconstructor, *, batch: int = BATCH,
        launch: Literal["auto", "eager", "graphs", "compile"] = "auto", workers: int | None = None,
    ) -> None:  # fmt: skip
        if batch < 1:
            raise ValueError(f"a batch of {batch} frames")
        self._single, self._size = single, batch
        self.device = single.device
        if workers is None:
            workers = max(1, min(granted_cores() - 1, _MOST_WORKERS)) if self.device.type == "cuda" else 0
        self.mesh_workers = MeshWorkers(workers)
        how = choose_launch(launch, self.device)
        network = single.network
        if isinstance(network, RefinedOccupancy):
            # With a bone reach, the operations depend on the points, so they cannot be recorded.
            plain = ("logits",) if network.sizes.initial.reach else ()
            self._initial = Launches({"logits": _initial_block}, how, plain=plain)
            blocks: dict[str, Callable[..., Tensor]] = {"logits": RefinedHands.refined_block, "exact": _exact_block}
            self._refined = Launches(blocks, how)
            count = network.sizes.anchor_count
            self._picks = Launches({"farthest": lambda _, points: farthest_points(points, count)}, how)
            self._few_sizes = how != "eager"
            self._padded: dict[int, PaddedQueries] = {}

    def __enter__(self) -> BatchReconstructor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        self.mesh_workers.close()

    @property
    def launch(self) -> Launch:
        """How the refinement network is launched; "eager" if recording or compiling failed."""
        return self._refined.launch if isinstance(self._single.network, RefinedOccupancy) else "eager"

    def reconstruct(self, jobs: Iterable[Job]) -> Iterator[Made]:
        """Reconstruct frames in batches.

        The meshes of one batch are extracted while the networks evaluate the next batch.

        Parameters
        ----------
        jobs : iterable of (Frame or None, Camera, TwoHands)
            Frames with their cameras and keypoints (camera frame, metres).

        Yields
        ------
        dict of Side to HandMesh, or FrameError
            The meshes of each frame, in the order of ``jobs``, or the error that prevented them.
        """
        source, begun = iter(jobs), None
        while group := list(islice(source, self._size)):
            started = self._begin(group)
            if begun is not None:
                yield from self._finish(begun)
            begun = started
        if begun is not None:
            yield from self._finish(begun)

    @torch.no_grad()
    def _begin(self, jobs: list[Job]) -> _Begun:
        """Evaluate the networks on some frames and start the extraction of their meshes."""
        ready = [self._ready(*job) for job in jobs]
        batch = [frame for frame in ready if frame is not None]
        known: list[NearSurface | None] = []
        if batch:
            assert isinstance(self._single.network, RefinedOccupancy)
            known = _Batch(self, self._single.network, batch).surfaces()
        rows = iter(range(len(batch)))
        meshes: list[tuple[Mesh | None, Mesh | None]] = []
        for frame in ready:
            if frame is None:
                meshes.append((None, None))
                continue
            row = next(rows)
            hands = [known[row], known[row + len(batch)]]
            left, right = (None if hand is None else self.mesh_workers.submit(hand) for hand in hands)
            meshes.append((left, right))
        return _Begun(jobs, [None if frame is None else frame.bones for frame in ready], meshes)

    def _ready(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> _Ready | None:
        """The inputs of a frame that can be batched; None if it must be reconstructed alone."""
        present = hands.present()
        if frame is None or len(present) < 2 or not isinstance(self._single.network, RefinedOccupancy):
            return None
        try:
            _, positions, bones = bones_of(present)
            return _Ready(bones, positions, crop_hands(frame, camera, hands))
        except FrameError:  # the single-frame reconstructor reports it, or uses the keypoints alone
            return None

    def _finish(self, begun: _Begun) -> Iterator[Made]:
        for job, bones, meshes in zip(begun.jobs, begun.bones, begun.meshes, strict=True):
            with self._single.costs.stage("meshes"):
                surfaces = [None if mesh is None else mesh() for mesh in meshes]
            if bones is None or any(surface is None for surface in surfaces):
                yield self._alone(job)
                continue
            yield {side: _mesh(surfaces[k], bones, k) for k, side in enumerate(SIDES)}

    def _alone(self, job: Job) -> Made:
        try:
            return self._single.reconstruct(*job)
        except FrameError as error:
            return error

    def padded(self, hands: int) -> PaddedQueries:
        """The block divider for queries of a number of hands.

        It is kept between batches, because it learns which block size fits into the device's memory.

        Parameters
        ----------
        hands : int
            Number of hands.

        Returns
        -------
        PaddedQueries
            The divider for that number of hands.
        """
        if hands not in self._padded:
            self._padded[hands] = PaddedQueries(hands, few_sizes=self._few_sizes)
        return self._padded[hands]


class _Batch:
    """B frames with both hands. The 2B hands are numbered side by side, all left hands first."""

    def __init__(self, owner: BatchReconstructor, network: RefinedOccupancy, frames: Sequence[_Ready]) -> None:
        self._owner, self._network, self._frames = owner, network, frames
        self._single = owner._single
        self._device, self._count = owner.device, len(frames)
        self._bones = {side: _joined([frame.bones[k : k + 1] for frame in frames]) for k, side in enumerate(SIDES)}
        self._view = _views(frames)
        self._padded = owner.padded(2 * len(frames))
        keypoints = torch.cat([torch.stack([frame.keypoints[k] for frame in frames]) for k in range(2)])
        low, high = hand_boxes(_joined(list(self._bones.values())), keypoints)
        voxel = self._single.voxel_m
        self._coarsest = lattice_step(voxel, COARSEST)
        self._lattice = LatticeBatch(low.numpy(), high.numpy(), voxel, self._coarsest, self._device)

    def surfaces(self) -> list[NearSurface | None]:
        """The refined surfaces of the 2B hands.

        None marks a hand without a surface, and both hands of a frame that needs a finer first lattice.
        """
        costs = self._single.costs
        with costs.stage("picture"):
            images = np.stack([frame.crop.network_input() for frame in self._frames])
            features = self._network.encode(torch.from_numpy(images).to(self._device))
        with costs.stage("initial surface") as cost:
            initial, known, found = self._initial_surface(features)
            cost.queries += initial.queries
        with costs.stage("anchors"):
            anchors = self._anchors(known)
        with costs.stage("anchor encoder"):
            both = self._network.hands(features, self._bones, self._view, anchors, self._single.pairs)
            both.folded(exact=True)  # computed now, so that every recorded state has the same tensors
            self._owner._refined.begin(both)
        with costs.stage("refined surface") as cost:
            refined = BatchField(self._lattice, self._refined_logits(initial))
            cells = refined.crossed(initial.reached(self._coarsest), self._coarsest)
            surfaces = refined.near_surface(refined.refined(cells, self._coarsest, 1), 1)
            cost.queries += refined.queries
        return [surface if fine else None for surface, fine in zip(surfaces, found, strict=True)]

    def _initial_surface(self, features: PictureFeatures) -> tuple[BatchField, list[NearSurface | None], list[bool]]:
        """Evaluate the initial network.

        Returns the initial field, its surfaces for the anchors, and per hand whether both hands of its frame cross the
        coarsest lattice.
        """
        lattice, network, view = self._lattice, self._network.init_occ, self._view
        launches = self._owner._initial
        launches.begin(
            {
                side: network.hand(side, features.initial, self._bones[side], intrinsics=view.intrinsics)
                for side in SIDES
            }
        )

        def ask(points: Tensor) -> Tensor:
            places = lattice.positions(points) / QUERY_SCALE
            return _bounded(self._padded.over(lattice.hand(points), (places,), lambda p: launches("logits", p)))

        field = BatchField(lattice, ask)
        cells = field.crossed(lattice.cells(self._coarsest), self._coarsest)
        there = torch.bincount(lattice.hand(cells), minlength=lattice.hands).view(2, -1).gt(0).all(0).tolist()
        step = min(self._coarsest, lattice_step(self._single.voxel_m, ANCHOR_LATTICE))
        return field, field.near_surface(field.refined(cells, self._coarsest, step), step), there * 2

    def _anchors(self, known: Sequence[NearSurface | None]) -> dict[Side, Tensor]:
        """Anchors (B, A, 3) of each side, camera frame, metres: ``picture_field.even_points`` for all hands at once."""
        workers = self._owner.mesh_workers
        meshes = [None if hand is None else workers.submit(hand) for hand in known]
        points = []
        for hand, mesh in enumerate(meshes):
            made = None if mesh is None else mesh()
            side, frame = SIDES[hand // self._count], hand % self._count
            if made is None:  # the frame is reconstructed alone later; its keypoints only fill the row
                points.append(np.resize(self._frames[frame].keypoints[hand // self._count].numpy(), (4096, 3)))
                continue
            shown = _mesh(made, self._bones[side], frame)
            points.append(surface_points(shown.vertices, shown.faces))
        candidates = torch.from_numpy(np.stack(points))
        picks = self._owner._picks
        picks.begin(None)
        centred = (candidates - candidates.mean(1, keepdim=True)).float().to(self._device)
        chosen = take(candidates, picks("farthest", centred).cpu()).float()
        return dict(zip(SIDES, chosen.split(self._count), strict=True))

    def _refined_logits(self, initial: BatchField) -> Callable[[Tensor], Tensor]:
        """A function that gives the refined logits of lattice points, shifted so that the surface is at 0."""
        lattice, launches, threshold = self._lattice, self._owner._refined, self._network.sizes.threshold
        surface = math.log(threshold / (1 - threshold))

        def ask(points: Tensor) -> Tensor:
            hands, places = lattice.hand(points), lattice.positions(points) / QUERY_SCALE
            first = initial.values(points)
            values = self._padded.over(hands, (places, first), lambda p, i: launches("logits", p, i))
            if self._single.pairs is not None:
                near = ((values - surface).abs() < NEAR_SURFACE).nonzero()[:, 0]
                if len(near):
                    given = (places[near], first[near])
                    values[near] = self._padded.over(hands[near], given, lambda p, i: launches("exact", p, i))
            return _bounded(values - surface)

        return ask


def _initial_block(hands: Mapping[Side, InitialHand], points: Tensor) -> Tensor:
    """Logits (2B, N) of the initial network at points (2B, N, 3) of query space."""
    parts = zip(SIDES, points.chunk(len(SIDES)), strict=True)
    return torch.cat([hands[side].block_logits(own) for side, own in parts])


def _exact_block(both: RefinedHands, points: Tensor, initial: Tensor) -> Tensor:
    """Refined logits (2B, N) in the weights' own type."""
    return both.refined_block(points, initial, exact=True)


def _bounded(values: Tensor) -> Tensor:
    return values.float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)


def _mesh(made: ClosedMesh | None, bones: Bones, hand: int) -> HandMesh:
    assert made is not None
    return hand_mesh(Surface(made.vertices, made.faces), bones, hand)


def _joined(bones: Sequence[Bones]) -> Bones:
    """Concatenate batches of hands into one batch."""
    names = [field.name for field in fields(Bones) if field.name != "steps"]
    together: dict[str, Any] = {name: torch.cat([getattr(one, name) for one in bones]) for name in names}
    return Bones(**together)


def _views(frames: Sequence[_Ready]) -> View:
    """The cameras of the crops, stacked."""
    cameras = [frame.crop.camera for frame in frames]
    return View(
        *(
            torch.from_numpy(np.stack([getattr(camera, name) for camera in cameras])).float()
            for name in ("rotation", "translation", "matrix")
        )
    )
