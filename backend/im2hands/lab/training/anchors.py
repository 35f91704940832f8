"""Anchors for training: points on the surface that a frozen initial network predicts, found without extracting a mesh.

Each anchor begins close to the true surface. Newton's method for a level set moves it along the gradient of the initial
logit until the logit is zero. That takes a few evaluations of some hundred points. Extracting a mesh from a lattice
would take tens of thousands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.geometry.bones import QUERY_SCALE
from im2hands.networks.initial_hand import InitialHand

STEPS = 3
"""Newton steps."""

LONGEST_M = 0.004
"""Largest distance that a point moves in one step, metres."""

CONVERGED = 1.5
"""Largest absolute logit of a point that counts as on the surface. One logit is about one millimetre."""

_FLATTEST = 1.0  # logits per unit of query space (0.4 m); a smaller gradient has no reliable direction


def surface_anchors(hand: InitialHand, points: Tensor) -> Tensor:
    """Move points onto the surfaces that the initial network predicts for B hands.

    Each point moves to the surface of the part network that wins at its starting place, because the gradient of one
    part network costs a third of that of the whole hand. A check at the end tests whether the point lies on the surface
    of the whole hand.

    Parameters
    ----------
    hand : InitialHand
        The B hands, prepared by the frozen initial network.
    points : (B, A, 3) float
        Starting places close to the surface, query space.

    Returns
    -------
    (B, A, 3) float
        Anchors, query space. A point that does not reach the surface is replaced by another anchor of the same hand.
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
    """Logits (B, A) of one part network for each point, and their gradient (B, A, 3).

    ``bones`` (B * A,) holds the part of each point in ascending order; ``rows`` (B * A,) holds the flat indices of the
    points in that order. The image features are sampled at the points but not differentiated: they change little over
    millimetres.
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
    """Replace bad points (B, A, 3) by copies of good points of the same hand; ``good`` is (B, A) bool.

    A hand without a good point keeps its points.
    """
    order = torch.argsort(good.int(), dim=1, descending=True, stable=True)  # good points first
    count = good.sum(1, keepdim=True)
    turn = (~good).cumsum(1) - 1
    own = torch.arange(points.shape[1], device=points.device).expand_as(turn)
    source = torch.where(good | (count == 0), own, order.gather(1, turn.clamp_min(0) % count.clamp_min(1)))
    return points.gather(1, source[..., None].expand_as(points))
