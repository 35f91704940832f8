"""What draws the spheres of hands together and pushes them apart, batched and differentiable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE

from .hand_spheres import SphereSet
from .modes.placement import TIPS, Pull

SCALE = 0.004
"""Metres of overlap that cost 1."""

_FAR = 10.0
_CLOSE = 0.0005
_TOUCH = 0.01
"""Metres: a wanted contact pulls harder with its gap up to here, and evenly from here on."""
_EACH = ("palm", "palm_edges", "phalanges", "webs")
"""Parts that are pulled sphere by sphere; of the others the nearest sphere decides, for a part touches where it can."""


class _Repulsion(torch.autograd.Function):
    """Energy and its gradient in one pass: autograd would keep and read a dozen (N, R, S) arrays."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, reach: Tensor, room: Tensor, counts: Tensor | None) -> Any:
        squares = a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None]
        distance = torch.baddbmm(squares, a, b.mT, alpha=-2.0).clamp_min_(1e-10).sqrt_()
        gap = distance - reach
        deep = (room[:, None, None] - gap).clamp_(0.0, 6 * SCALE)
        if counts is not None:
            deep *= counts
        energy = deep.square().sum((1, 2)) / SCALE**2
        force = deep.mul_(-2 / SCALE**2).div_(distance)
        force_a = a * force.sum(2)[..., None] - torch.bmm(force, b)
        force_b = b * force.sum(1)[..., None] - torch.bmm(force.mT, a)
        ctx.save_for_backward(force_a, force_b)
        ctx.mark_non_differentiable(gap)
        return energy, gap

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        force_a, force_b = ctx.saved_tensors
        factor = gradients[0][:, None, None]
        return force_a * factor, force_b * factor, None, None, None


def repulsion(a: Tensor, b: Tensor, reach: Tensor, room: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What spheres cost that overlap: the squares of the overlaps in units of :data:`SCALE`, up to 6 of them.

    Args:
        a: (N, R, 3), b: (N, S, 3) metres. reach: (N, R, S) sums of radii. room: (N,) metres that they keep between
            them. counts: (R, S) 1 for pairs that count, 0 for others; all do without it.

    Returns:
        Energies (N,), and gaps (N, R, S) in metres, negative where spheres overlap, without gradient.
    """
    energy, gap = _Repulsion.apply(a, b, reach, room, counts)  # type: ignore[no-untyped-call]
    return energy, gap


@dataclass(frozen=True)
class PullTable:
    """Wanted contacts, a list of pairs of spheres for each; the nearest pair of a contact counts.

    Args:
        entry: (E,) positions in flattened gaps (N R S). contact: (E,) which contact each belongs to. weight: (C,).
    """

    entry: Tensor
    contact: Tensor
    weight: Tensor

    def attraction(self, gap: Tensor, a: Tensor, b: Tensor, reach: Tensor) -> Tensor:
        """What wanted contacts cost that are not there.

        Args:
            gap: (N, R, S) as :func:`repulsion` gave it for the other arguments.
        """
        if not len(self.weight):
            return gap.new_zeros(())
        gaps = gap.flatten()[self.entry]
        nearest = gap.new_full((len(self.weight),), _FAR)
        nearest = nearest.scatter_reduce(0, self.contact, gaps, "amin")
        least = gaps == nearest[self.contact]
        chosen = torch.zeros(len(self.weight), dtype=torch.long)
        chosen[self.contact[least]] = self.entry[least]
        far = torch.relu(gap_of(chosen, a, b, reach) - _CLOSE) / _TOUCH
        return (self.weight * torch.where(far < 1, far.square(), 2 * far - 1)).sum()


def gap_of(entry: Tensor, a: Tensor, b: Tensor, reach: Tensor) -> Tensor:
    """Gaps (C,), with gradient, of the pairs at positions ``entry`` (C,) in flattened gaps (N R S)."""
    rows, columns = a.shape[1], b.shape[1]
    first = entry // columns
    second = first // rows * columns + entry % columns
    between = a.reshape(-1, 3)[first] - b.reshape(-1, 3)[second]
    return (between.square().sum(-1) + 1e-12).sqrt() - reach.flatten()[entry]


def pull_table(groups: dict[str, Tensor], pulls: list[list[Pull]], rows: int, between: bool) -> PullTable:
    """The contacts of all pairs; ``rows``: R of the gaps, which between the hands are the left hand's spheres."""
    count = len(next(iter(groups.values())))
    entries: list[Tensor] = []
    contacts: list[Tensor] = []
    weights: list[float] = []
    for pair, wanted in enumerate(pulls):
        for hand, part, target, weight in wanted:
            pulled, towards = torch.nonzero(groups[part])[:, 0], torch.nonzero(groups[target])[:, 0]
            for own in pulled.split(1) if part in _EACH else (pulled,):
                first, second = (towards, own) if between and hand == 1 else (own, towards)
                index = (pair * rows + first[:, None]) * count + second[None]
                entries.append(index.flatten())
                contacts.append(torch.full((index.numel(),), len(weights)))
                weights.append(weight)
    if not entries:
        nothing = torch.zeros(0, dtype=torch.long)
        return PullTable(nothing, nothing, torch.zeros(0))
    return PullTable(torch.cat(entries), torch.cat(contacts), torch.tensor(weights))


def sphere_groups(spheres: SphereSet) -> dict[str, Tensor]:
    """(S,) bool per part of the hand that :mod:`.interaction_modes` names."""

    count = spheres.count
    groups = {
        "hand": ~spheres.group((0, 1)),
        "palm": spheres.group(METACARPAL_BONES),
        "palm_edges": spheres.group((METACARPAL_BONES[0], METACARPAL_BONES[3])),
        "phalanges": spheres.group(tuple(b for bones in FINGER_BONES[1:] for b in bones)),
        "first_phalanges": spheres.group(tuple(bones[0] for bones in FINGER_BONES[1:])),
        "middle_phalanges": spheres.group(tuple(bones[1] for bones in FINGER_BONES[1:3])),
        "fingers": spheres.group(tuple(b for bones in FINGER_BONES[1:] for b in bones)),
        "thumb": spheres.group(FINGER_BONES[0][1:]),
    }
    wrist = spheres.group((WRIST_BONE,))
    wrist[torch.nonzero(spheres.bone == 1)[0]] = True
    groups["wrist"] = wrist
    webs = torch.zeros(count, dtype=torch.bool)
    for finger, bones in enumerate(FINGER_BONES):
        groups[f"finger{finger}"] = spheres.group(bones)
        groups[f"finger{finger}_middle"] = spheres.group((bones[1],))
        groups[f"finger{finger}_end"] = spheres.group((bones[2],))
        tip = torch.zeros(count, dtype=torch.bool)
        tip[torch.nonzero(spheres.bone == bones[2])[-1]] = True
        groups[TIPS[finger]] = tip
        if finger:
            webs[torch.nonzero(spheres.bone == bones[0])[0]] = True
    groups["webs"] = webs
    return groups
