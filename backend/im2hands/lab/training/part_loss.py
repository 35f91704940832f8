"""Loss of the part networks: cross-entropy of the winning bone, and two auxiliary losses for the first steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.networks.folded_parts import FoldedParts

_OUTSIDE = -1e4  # logit of a bone that is out of reach


def part_loss(
    folded: FoldedParts, local: Tensor, near: Tensor, distance: Tensor, part: Tensor, softness: float, *,
    part_weight: float, claim_weight: float, image: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Compute the binary cross-entropy of the occupancy, plus two auxiliary losses.

    The occupancy is the maximum over the part networks. The winning bone of each point is found without gradient; the
    gradient is then computed for that bone alone. Two auxiliary losses assign points to bones early in training. The
    part loss trains the bone of the nearest surface on every inside point. The claim loss trains every bone whose logit
    at an outside point is above -1.

    Parameters
    ----------
    folded : FoldedParts
        The part networks of B hands.
    local : (B, N, 16, 3) float
        Query points in the frame of each bone.
    near : (B, N, 16) bool
        Which bones are within reach of a point.
    distance : (B, N) float
        Signed distance to the hand, metres, negative inside.
    part : (B, N) int64
        Bone of the nearest surface.
    softness : float
        Width of the soft target sigmoid(-distance / softness), metres.
    part_weight : float
        Weight of the part loss; 0 turns it off.
    claim_weight : float
        Weight of the claim loss; 0 turns it off.
    image : (B, N, 19) float, optional
        Image features of the points, for networks that take them.

    Returns
    -------
    () float
        The loss, a mean over the B * N points.
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
    reached = best > _OUTSIDE
    weight[rows[reached], winner[reached]] = 1.0
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
