"""Anchors for training: points on the surface of a frozen initial network, without making its mesh.

Points close to the true surface are moved along the gradient of the initial logit until it is zero (Newton's method
for a level set). That costs a few evaluations of some hundred points; marching over a lattice costs tens of thousands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.geometry.bones import QUERY_SCALE
from im2hands.networks.initial_occupancy import InitialHand

STEPS = 3
LONGEST_M = 0.004
"""Metres that a point moves at most a step."""

CONVERGED = 1.5
"""Logit of a point that counts as on the surface: about as many millimetres away."""

_FLATTEST = 1.0  # logits per unit of query space (0.4 m): no direction is to be read from less


def surface_anchors(hand: InitialHand, points: Tensor) -> Tensor:
    """Points on the surface of B hands of the initial network.

    A point moves to the surface of the part that claims it at first: one part's gradient costs a third of the whole
    hand's. Whether it has got to the surface of the whole hand is asked at the end.

    Args:
        hand: of the frozen network. points: (B, A, 3), close to the surface, query space.

    Returns:
        (B, A, 3), query space; a point that does not get there gives its place to another one of the same hand.
    """
    longest = LONGEST_M / QUERY_SCALE
    with torch.no_grad():
        winner = hand.part_logits(points).argmax(-1)
    bones, rows = winner.flatten().sort(stable=True)
    for _ in range(STEPS):
        logit, gradient = _logit_and_gradient(hand, points, bones, rows)
        squared = gradient.square().sum(-1, keepdim=True)
        step = logit[..., None] * gradient / squared.clamp_min(_FLATTEST**2)
        length = torch.linalg.vector_norm(step, dim=-1, keepdim=True).clamp_min(1e-12)
        points = points - step * (longest / length).clamp_max(1.0)
    with torch.no_grad():
        logits = hand.part_logits(points).amax(-1)
    return _replaced(points, logits.abs() < CONVERGED)


def _logit_and_gradient(hand: InitialHand, points: Tensor, bones: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, A) of one part a point, ``bones`` in ascending order at the flat ``rows``, and their gradient.

    What the image says changes little over the millimetres a point moves: it is read anew, but not differentiated.
    """
    with torch.no_grad():
        image = hand.image_features(hand.point_features(points)).flatten(0, 1)[rows]
    with torch.enable_grad():
        points = points.detach().requires_grad_(True)
        local = hand.bone_local(points).flatten(0, 1)[rows, bones]
        values = hand.folded.pair_logits(bones, rows // points.shape[1], local, image)
        (gradient,) = torch.autograd.grad(values.sum(), points)
    logits = torch.empty_like(values).index_copy(0, rows, values.detach())
    return logits.view(points.shape[:2]), gradient


def _replaced(points: Tensor, good: Tensor) -> Tensor:
    """Bad points (B, A, 3) become copies of good ones of their hand, in turn; a hand without any stays as it is."""
    order = torch.argsort(good.int(), dim=1, descending=True, stable=True)  # the good ones first
    count = good.sum(1, keepdim=True)
    turn = (~good).cumsum(1) - 1
    own = torch.arange(points.shape[1], device=points.device).expand_as(turn)
    source = torch.where(good | (count == 0), own, order.gather(1, turn.clamp_min(0) % count.clamp_min(1)))
    return points.gather(1, source[..., None].expand_as(points))
