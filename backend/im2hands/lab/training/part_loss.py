"""The loss of the part occupancy network: the winning bone's cross-entropy, and two aids that bring order early."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.networks.part_decoder import FoldedParts

_OUTSIDE = -1e4  # logit of a bone that is out of reach


def part_loss(
    folded: FoldedParts, local: Tensor, near: Tensor, distance: Tensor, part: Tensor, softness: float, *,
    part_weight: float, claim_weight: float, image: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Binary cross-entropy of the occupancy (the hard maximum over bones), plus two losses that bring order early.

    The bone that wins a point is found without gradient; forward and backward then run for that bone alone. The part
    loss asks the bone that really moves an inside point to claim it; the claim loss punishes every bone that claims an
    outside point.

    Args:
        local: (B, N, 16, 3) bone-local points. near: (B, N, 16) bool. distance: (B, N) metres. part: (B, N) int64.
        softness: metres; the target is sigmoid(-distance / softness). image: (B, N, 19) image features, if the network
            has any.
    """
    batch, count = distance.shape
    hand = torch.arange(batch, device=distance.device)[:, None].expand(batch, count).reshape(-1)
    flat_near, flat_local = near.reshape(-1, 16), local.reshape(-1, 16, 3)
    target = torch.sigmoid(-distance.reshape(-1) / softness)
    features = None if image is None else image.reshape(-1, image.shape[-1])
    bones, points = flat_near.T.nonzero(as_tuple=True)  # sorted by bone
    with torch.no_grad():
        logits = folded.pair_logits(
            bones, hand[points], flat_local[points, bones], None if features is None else features[points]
        )
        table = torch.full_like(flat_near, _OUTSIDE, dtype=logits.dtype)
        table[points, bones] = logits
    best, winner = table.max(dim=1)
    weight = torch.zeros_like(table)
    rows = torch.arange(len(target), device=target.device)
    asked = best > _OUTSIDE
    weight[rows[asked], winner[asked]] = 1.0
    part_extra = torch.zeros_like(table)
    if part_weight > 0:
        inside = (distance.reshape(-1) < 0) & flat_near[rows, part.reshape(-1)]
        part_extra[rows[inside], part.reshape(-1)[inside]] = part_weight
    if claim_weight > 0:
        claims = (distance.reshape(-1) > 0)[:, None] & (table > -1.0)
        part_extra = part_extra + claim_weight * claims.to(table.dtype)
    total_weight = weight + part_extra
    bones, points = (total_weight > 0).T.nonzero(as_tuple=True)
    logits = folded.pair_logits(
        bones, hand[points], flat_local[points, bones], None if features is None else features[points]
    )
    losses = functional.binary_cross_entropy_with_logits(logits, target[points], reduction="none")
    return (losses * total_weight[points, bones]).sum() / len(target)
