"""The hands of one batch of frames, through both stages of the occupancy networks on an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from im2hands.core.devices import to_device_together
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import Bones
from im2hands.networks.initial_block import InitialBlock
from im2hands.networks.refined_hands import RefinedHands
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.two_hand_picture import View
from im2hands.surfaces.from_keypoints import placement
from im2hands.surfaces.from_picture import PictureReconstructor
from im2hands.surfaces.hand_crop import HandCrop
from im2hands.surfaces.occupancy_field import OUTSIDE_LOGIT
from im2hands.surfaces.picture_field import hand_boxes
from im2hands.surfaces.refined_side import NEAR_SURFACE
from im2hands.surfaces.tracked_hand import ANCHOR_LATTICE, lattice_step

from .lattices import BatchField, LatticeBatch, chosen, crossed, dilated, touched
from .mesh_workers import Anchors, Mesh, MeshWorkers

_FEW = 1024  # points a hand up to which a second call costs more than the exact type
_COARSEST = 0.007
"""Upper limit of the first lattice's spacing, metres.

It is evaluated completely. That is finer than ``tracked_hand.COARSEST``: a device computes those points sooner than the
processor has waited for another level.
"""


class ReadyFrame(NamedTuple):
    """A frame that can be batched: bones of both hands (left first), their keypoints (2, 21, 3), and the crop."""

    bones: Bones
    keypoints: Tensor
    crop: HandCrop


Over = Callable[[Tensor, Callable[[slice], Tensor]], Tensor]


class BatchHands:
    """B frames with both hands, after the initial stage. The 2B hands lie side by side, all left hands first."""

    def __init__(
        self, single: PictureReconstructor, network: RefinedOccupancy, frames: Sequence[ReadyFrame],
        workers: MeshWorkers, over: Over,
    ) -> None:  # fmt: skip
        self._single, self._network, self._workers, self._over = single, network, workers, over
        self._frames = frames
        device = single.device
        voxel = single.voxel_m
        coarsest = lattice_step(voxel, _COARSEST)
        bones = [_joined([frame.bones[k : k + 1] for frame in frames]) for k in range(len(SIDES))]
        keypoints = torch.cat([torch.stack([frame.keypoints[k] for frame in frames]) for k in range(len(SIDES))])
        low, high = hand_boxes(_joined(bones), keypoints)
        lattice = LatticeBatch(low.numpy(), high.numpy(), voxel, coarsest)
        with single.costs.stage("picture"):
            images = np.stack([frame.crop.network_input() for frame in frames])
            features = network.encode(torch.from_numpy(images).to(device))
        names = _tensors_of(bones[0])
        view = _views(frames)
        given = [lattice.constants, *(value.double() for value in view)]
        given += [getattr(of_side, name) for of_side in bones for name in names]
        constants, *moved = to_device_together(given, device)
        self._features = features
        self._view = View(*(value.float() for value in moved[: len(view)]))
        rest = iter(moved[len(view) :])
        self._bones: dict[Side, Bones] = {
            side: Bones(**{name: next(rest) for name in names})  # type: ignore[arg-type]
            for side in SIDES
        }
        self._lattice, self._given = lattice, lattice.begin(constants)
        placements = [placement(of_side, row) for of_side in bones for row in range(len(frames))]
        with single.costs.stage("initial surface") as cost:
            own = {
                side: network.init_occ.hand(side, features.initial, self._bones[side], intrinsics=self._view.intrinsics)
                for side in SIDES
            }
            self._initial = InitialBlock(own).logits
            field = BatchField(lattice, self._given, lambda points: self._asked(points, self._initial))
            level = field.level(coarsest)
            field.evaluate(level, ~level.known)
            cells = crossed(level.values > 0)
            self._first_step = lattice_step(voxel, ANCHOR_LATTICE)
            while level.step > self._first_step:
                level, cells = field.finer(level, cells)
                cells = field.walk(level, cells)
            # The refined surface lies in cells with a corner inside the initial hand, and in their neighbours.
            self._reached = dilated(touched(level.values > 0))
            near = field.near_surface(level, cells)
            cost.queries += field.queries
        count = network.sizes.anchor_count
        self._anchors: list[Anchors | None] = [
            None if known is None else workers.anchors(known, where, count)
            for known, where in zip(near, placements, strict=True)
        ]

    def refined(self) -> list[Mesh | None]:
        """The refined surfaces of the 2B hands, in the making; None for hands without one."""
        costs, network = self._single.costs, self._network
        with costs.stage("anchors"):
            anchors, found = self._waited_for()
        with costs.stage("anchor encoder"):
            both = network.hands(self._features, self._bones, self._view, anchors, self._single.pairs)
        with costs.stage("refined surface") as cost:
            ask = self._refined_logits(both)
            field = BatchField(self._lattice, self._given, lambda points: self._asked(points, ask))
            level = field.level(self._first_step)
            cells = field.walk(level, self._reached)
            while level.step > 1:
                level, cells = field.finer(level, cells)
                cells = field.walk(level, cells)
            near = field.near_surface(level, cells)
            cost.queries += field.queries
        return [
            self._workers.mesh(known) if known is not None and there else None
            for known, there in zip(near, found, strict=True)
        ]

    def _waited_for(self) -> tuple[dict[Side, Tensor], list[bool]]:
        """The anchors (B, A, 3) of each side, camera frame, metres, and whether each of the 2B hands has any."""
        count, size = self._network.sizes.anchor_count, len(self._frames)
        points, found = [], []
        for hand, asked in enumerate(self._anchors):
            made = None if asked is None else asked()
            found.append(made is not None)
            if made is None:  # the frame is made alone later; its keypoints only fill the row
                made = np.resize(self._frames[hand % size].keypoints[hand // size].numpy(), (count, 3))
            points.append(made)
        whole = torch.from_numpy(np.stack(points)).float().to(self._single.device)
        return dict(zip(SIDES, whole.split(size), strict=True)), found

    def _asked(self, points: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """Bounded logits (2B, N) of points (2B, N, 3), in chunks."""
        values = self._over(points, lambda rows: ask(points[:, rows]))
        return values.float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)

    def _refined_logits(self, both: RefinedHands) -> Callable[[Tensor], Tensor]:
        """A function that gives the refined logits of points, shifted so that the surface is at 0."""
        threshold = self._network.sizes.threshold
        surface = math.log(threshold / (1 - threshold))

        def ask(points: Tensor) -> Tensor:
            first = self._initial(points).float().clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)
            exact = self._single.pairs is None or points.shape[1] <= _FEW
            values = both.refined_block(points, first, exact=exact)
            if not exact:
                near = functional.pad(
                    (values - surface).abs() < NEAR_SURFACE, (0, 1)
                )  # a column for rows that are short
                places, _ = chosen(near)
                if places is not None:
                    rows = places.clamp(max=points.shape[1] - 1)
                    given = points.gather(1, rows[..., None].expand(-1, -1, 3)), first.gather(1, rows)
                    again = both.refined_block(*given, exact=True).to(values)
                    values = functional.pad(values, (0, 1)).scatter_(1, places, again)[:, :-1]
            return values - surface

        return ask


def _tensors_of(bones: Bones) -> list[str]:
    """The names of the tensors of bones."""
    return [one.name for one in fields(Bones) if isinstance(getattr(bones, one.name), Tensor)]


def _joined(bones: Sequence[Bones]) -> Bones:
    """Concatenate batches of hands into one batch."""
    together: dict[str, Any] = {
        name: torch.cat([getattr(one, name) for one in bones]) for name in _tensors_of(bones[0])
    }
    return Bones(**together)


def _views(frames: Sequence[ReadyFrame]) -> View:
    """The cameras of the crops, stacked."""
    cameras = [frame.crop.camera for frame in frames]
    return View(
        *(
            torch.from_numpy(np.stack([getattr(camera, name) for camera in cameras])).float()
            for name in ("rotation", "translation", "matrix")
        )
    )
