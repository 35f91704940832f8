"""Forces between the spheres of hands: repulsion of overlaps and attraction of wanted contacts, batched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE

from .hand_spheres import SphereSet
from .modes.placement import TIPS, Pull

SCALE = 0.004
"""Overlap in metres that has energy 1."""

_FAR = 10.0
"""Gap in metres that stands for "no sphere pair"."""
_CLOSE = 0.0005
"""Gap in metres up to which a contact counts as made."""
_TOUCH = 0.01
"""Metres. The pull of a wanted contact grows with its gap up to this value and is constant beyond it."""
_EACH = ("palm", "palm_edges", "phalanges", "webs")
"""Parts whose spheres are all pulled. Of other parts only the sphere with the smallest gap is pulled."""


class _Repulsion(torch.autograd.Function):
    """Energy and its gradient in one pass. Autograd would store and read a dozen (N, R, S) arrays."""

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
    """Compute the energy of overlapping spheres: squared overlaps in units of ``SCALE``, each cut off at 6 units.

    Parameters
    ----------
    a : (N, R, 3) float32
        Sphere centres, metres.
    b : (N, S, 3) float32
        Sphere centres, metres.
    reach : (N, R, S) float32
        Sums of the radii, metres.
    room : (N,) float32
        Distance that the spheres must keep between their surfaces, metres.
    counts : (R, S) float32 or None
        1 for pairs of spheres that must not overlap, 0 for others. None means all.

    Returns
    -------
    energy : (N,) float32
        Energies.
    gap : (N, R, S) float32
        Gaps in metres, negative where spheres overlap, without gradient.
    """
    energy, gap = _Repulsion.apply(a, b, reach, room, counts)  # type: ignore[no-untyped-call]
    return energy, gap


@dataclass(frozen=True)
class PullTable:
    """Wanted contacts. Each has a list of sphere pairs, of which the nearest one counts.

    Parameters
    ----------
    entry : (E,) int64
        Positions of the sphere pairs in the flattened gaps (N, R, S).
    contact : (E,) int64
        Contact that each sphere pair belongs to, 0 to C - 1.
    weight : (C,) float32
        Weights of the contacts.
    """

    entry: Tensor
    contact: Tensor
    weight: Tensor

    def attraction(self, gap: Tensor, a: Tensor, b: Tensor, reach: Tensor) -> Tensor:
        """Compute the energy of wanted contacts that are open.

        Parameters
        ----------
        gap : (N, R, S) float32
            Gaps from ``repulsion`` for the other arguments, metres.
        a : (N, R, 3) float32
            Sphere centres, metres.
        b : (N, S, 3) float32
            Sphere centres, metres.
        reach : (N, R, S) float32
            Sums of the radii, metres.

        Returns
        -------
        () float32
            Sum of the energies.
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
    """Compute the gaps of chosen sphere pairs, with gradient.

    Parameters
    ----------
    entry : (C,) int64
        Positions of the pairs in the flattened gaps (N, R, S).
    a : (N, R, 3) float32
        Sphere centres, metres.
    b : (N, S, 3) float32
        Sphere centres, metres.
    reach : (N, R, S) float32
        Sums of the radii, metres.

    Returns
    -------
    (C,) float32
        Gaps, metres.
    """
    rows, columns = a.shape[1], b.shape[1]
    first = entry // columns
    second = first // rows * columns + entry % columns
    between = a.reshape(-1, 3)[first] - b.reshape(-1, 3)[second]
    return (between.square().sum(-1) + 1e-12).sqrt() - reach.flatten()[entry]


def pull_table(groups: dict[str, Tensor], pulls: list[list[Pull]], rows: int, between: bool) -> PullTable:
    """Build the table of the contacts of a batch.

    Parameters
    ----------
    groups : dict of str to (S,) bool
        Spheres of each part of a hand, from ``sphere_groups``.
    pulls : list of list of Pull
        Wanted contacts of each of the N rows of the batch.
    rows : int
        R of the gaps.
    between : bool
        Whether the contacts are between the hands. Then the first spheres of the gaps are the left hand's.

    Returns
    -------
    PullTable
        The table.
    """
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
    """Mark the spheres of each named part of a hand.

    Parameters
    ----------
    spheres : SphereSet
        The spheres.

    Returns
    -------
    dict of str to (S,) bool
        Spheres of each part. The modes use these names in their pulls.
    """

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
