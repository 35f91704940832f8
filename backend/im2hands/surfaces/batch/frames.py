"""Many two-hand frames at once through the refinement network, for accelerators: the same meshes, fewer launches.

The pictures of a batch are encoded together; all hands are walked along together, so that a level of the search asks
one large question instead of many small ones; what is asked again and again is recorded as CUDA graphs or compiled; and
the meshes of a batch are made in other processes while the networks work on the next one.
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

from im2hands.core.devices import granted_cores
from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, Camera, Side, TwoHands
from im2hands.geometry.bones import QUERY_SCALE, Bones
from im2hands.geometry.marching_cubes import ClosedMesh, NearSurface
from im2hands.media.source import Frame
from im2hands.networks.farthest_points import farthest_points, take
from im2hands.networks.initial_occupancy import InitialHand
from im2hands.networks.refined_occupancy import PictureFeatures, RefinedHands, RefinedOccupancy, View
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
"""Frames at once."""

_MOST_WORKERS = 8

Job = tuple[Frame | None, Camera, TwoHands]
"""A frame, its camera, and keypoints (camera frame, metres)."""

Made = dict[Side, HandMesh] | FrameError
"""The meshes of a frame, or why there are none."""


class _Ready(NamedTuple):
    """A frame that can be batched: bones of both hands, left first, their keypoints (2, 21, 3), the crop."""

    bones: Bones
    keypoints: Tensor
    crop: HandCrop


class _Begun(NamedTuple):
    """Frames whose networks have answered. meshes: per frame, of both hands; None for frames made alone."""

    jobs: list[Job]
    bones: list[Bones | None]
    meshes: list[tuple[Mesh | None, Mesh | None]]


class BatchReconstructor:
    """Turns many frames into meshes with the refinement network; use it in a ``with`` block, which ends its processes.

    Frames with one hand, or whose hands do not lie in the picture, are made one by one as before.

    Args:
        single: what makes a frame alone; its network, device, voxel, precision and costs are used. batch: frames at
            once. launch: "graphs" (CUDA), "compile", "eager"; "auto" is graphs on CUDA, else eager. workers:
            processes that make meshes, 0 for none; None is one for each core but one, on CUDA, else none.

    Attributes:
        mesh_workers: who makes the meshes.
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
            # Where bones have a reach, what is asked depends on where points lie.
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
        """End the processes."""
        self.mesh_workers.close()

    @property
    def launch(self) -> Launch:
        """How the refinement network is launched; "eager" where another way turned out not to be possible."""
        return self._refined.launch if isinstance(self._single.network, RefinedOccupancy) else "eager"

    def reconstruct(self, jobs: Iterable[Job]) -> Iterator[Made]:
        """The meshes of frames, in order; the meshes of a batch are made while the networks see the next one."""
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
        """Ask the networks about some frames, and begin their meshes."""
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
        present = hands.present()
        if frame is None or len(present) < 2 or not isinstance(self._single.network, RefinedOccupancy):
            return None
        try:
            _, positions, bones = bones_of(present)
            return _Ready(bones, positions, crop_hands(frame, camera, hands))
        except FrameError:  # made alone, it says so or does without the picture
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
        """How queries of that many hands are divided; what was learned of the device's memory is kept."""
        if hands not in self._padded:
            self._padded[hands] = PaddedQueries(hands, few_sizes=self._few_sizes)
        return self._padded[hands]


class _Batch:
    """B frames with both hands; hands are numbered side by side, all left ones first."""

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
        """The refined surfaces of the 2B hands; None where one has none, or needs a finer first lattice."""
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
            both.folded(exact=True)  # part of the state, also where it is not needed yet
            self._owner._refined.begin(both)
        with costs.stage("refined surface") as cost:
            refined = BatchField(self._lattice, self._refined_logits(initial))
            cells = refined.crossed(initial.reached(self._coarsest), self._coarsest)
            surfaces = refined.near_surface(refined.refined(cells, self._coarsest, 1), 1)
            cost.queries += refined.queries
        return [surface if fine else None for surface, fine in zip(surfaces, found, strict=True)]

    def _initial_surface(self, features: PictureFeatures) -> tuple[BatchField, list[NearSurface | None], list[bool]]:
        """The initial field; its surfaces for anchors; whether both hands of the frame are on the coarsest lattice."""
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
        """Anchors (B, A, 3) of each side, camera frame, metres: :func:`.published_fields.even_points` for all."""
        workers = self._owner.mesh_workers
        meshes = [None if hand is None else workers.submit(hand) for hand in known]
        points = []
        for hand, mesh in enumerate(meshes):
            made = None if mesh is None else mesh()
            side, frame = SIDES[hand // self._count], hand % self._count
            if made is None:  # this frame is made alone
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
        """Refined logits of lattice points; 0 at the surface."""
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
    """Initial logits (2B, N) at points (2B, N, 3)."""
    parts = zip(SIDES, points.chunk(len(SIDES)), strict=True)
    return torch.cat([hands[side].block_logits(own) for side, own in parts])


def _exact_block(both: RefinedHands, points: Tensor, initial: Tensor) -> Tensor:
    return both.refined_block(points, initial, exact=True)


def _bounded(values: Tensor) -> Tensor:
    return values.float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)


def _mesh(made: ClosedMesh | None, bones: Bones, hand: int) -> HandMesh:
    assert made is not None
    return hand_mesh(Surface(made.vertices, made.faces), bones, hand)


def _joined(bones: Sequence[Bones]) -> Bones:
    """Batches of hands as one."""
    names = [field.name for field in fields(Bones) if field.name != "steps"]
    together: dict[str, Any] = {name: torch.cat([getattr(one, name) for one in bones]) for name in names}
    return Bones(**together)


def _views(frames: Sequence[_Ready]) -> View:
    cameras = [frame.crop.camera for frame in frames]
    return View(
        *(
            torch.from_numpy(np.stack([getattr(camera, name) for camera in cameras])).float()
            for name in ("rotation", "translation", "matrix")
        )
    )
