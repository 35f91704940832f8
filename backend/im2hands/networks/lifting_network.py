"""The lifting network: keypoints seen in a picture to the shape of the hand in space and the depth between two hands.

A residual network of fully connected layers, as Martinez et al., "A simple yet effective baseline for 3d human pose
estimation" (2017), lift bodies. Each hand is lifted as a right one, with what is known of its partner; inputs are those
of :mod:`..keypoints.lifting_features`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import KEYPOINT_COUNT

from .reading_network import FEATURES
from .two_hand_network import EMBEDDING, PYRAMID_CHANNELS

POINT_FEATURES = 11
"""Of a keypoint: place (2), shape (3), confidence (1), place and depth that the two-hand network reads (3), the
logarithms of its spreads (2)."""

HAND_FEATURES = 9
"""Of a hand: the way to the other wrist (3), the logarithms of its spreads (3), log odds of a right hand and of a hand
being there, logarithm of its size."""

WIDTH = 512
_PARTNER, _BLOCKS, _SEEN, _CLOSE = 256, 2, 12, 128
_DROPOUT = 0.2
# Logarithms of the spreads (Laplace scales) stay between these.
_LOG_SPREAD = (-5.0, 1.5)
_PLACES = slice(0, 2)
_SHAPE = slice(2, 5)


class LiftingInput(NamedTuple):
    """What is told of N hands and of their partners; standardised inside.

    Args:
        points: (N, 21, 11). hand: (N, 9). vector: (N, 256). seen: (N, 21, 192). close: (N, 1152). partner_...: the
            same of the partners, anything finite where there is none. between: (N, 3). pair: (N,) 1 with a partner,
            else 0.
    """

    points: Tensor
    hand: Tensor
    vector: Tensor
    seen: Tensor
    close: Tensor
    partner_points: Tensor
    partner_hand: Tensor
    partner_vector: Tensor
    partner_seen: Tensor
    partner_close: Tensor
    between: Tensor
    pair: Tensor


class Lifted(NamedTuple):
    """N hands lifted, as right hands.

    Args:
        shape: (N, 21, 3) from the wrist, palm lengths, as seen along the hand's own ray. spread: (N, 21) Laplace scale
            of each coordinate. places: (N, 21, 2) in the picture, the hand's units. place_spread: (N, 21).
        depth: (N,) from the wrist to the partner's, palm lengths. depth_spread: (N,).
    """

    shape: Tensor
    spread: Tensor
    places: Tensor
    place_spread: Tensor
    depth: Tensor
    depth_spread: Tensor


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.dropout(functional.relu(self.first(self.norm(x))), _DROPOUT, self.training)
        return x + self.second(hidden)


class LiftingNetwork(nn.Module):
    """See the module; 2.5 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.glance = nn.Linear(3 * PYRAMID_CHANNELS, _SEEN)
        self.look = nn.Linear(FEATURES, _CLOSE)
        told = KEYPOINT_COUNT * (POINT_FEATURES + _SEEN) + HAND_FEATURES + EMBEDDING + _CLOSE
        self.own = nn.Linear(told, WIDTH)
        self.partner = nn.Linear(told, _PARTNER)
        self.join = nn.Linear(WIDTH + _PARTNER + 4, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, 7 * KEYPOINT_COUNT + 2)
        shapes = {
            "points": (KEYPOINT_COUNT, POINT_FEATURES), "hand": (HAND_FEATURES,), "vector": (EMBEDDING,),
            "seen": (3 * PYRAMID_CHANNELS,), "close": (FEATURES,), "between": (3,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_deviation", torch.ones(shape))
        with torch.no_grad():
            self.out.weight.normal_(std=0.01)
            assert self.out.bias is not None
            self.out.bias.zero_()

    def _standard(self, name: str, value: Tensor) -> Tensor:
        return (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")

    def _told(self, points: Tensor, hand: Tensor, vector: Tensor, seen: Tensor, close: Tensor) -> Tensor:
        glance = functional.relu(self.glance(self._standard("seen", seen)))
        close = functional.dropout(self._standard("close", close).clamp(-8, 8), _DROPOUT, self.training)
        look = functional.relu(self.look(close))
        parts = [self._standard("points", points).flatten(1), glance.flatten(1), self._standard("hand", hand),
                 self._standard("vector", vector), look]  # fmt: skip
        told = torch.cat(parts, dim=1).clamp(-8, 8)
        return functional.dropout(told, _DROPOUT / 2, self.training)

    def forward(self, given: LiftingInput) -> Lifted:
        """Lift hands."""
        own = self.own(self._told(given.points, given.hand, given.vector, given.seen, given.close))
        partner = self.partner(
            self._told(
                given.partner_points, given.partner_hand, given.partner_vector, given.partner_seen, given.partner_close
            )
        )
        pair = given.pair[:, None]
        between = self._standard("between", given.between).clamp(-8, 8)
        joined = torch.cat([own, partner * pair, between * pair, pair], dim=1)
        x = self.join(functional.relu(joined))
        for block in self.blocks:
            x = block(x)
        out = self.out(functional.relu(self.norm(x)))
        points = out[:, : 7 * KEYPOINT_COUNT].unflatten(1, (KEYPOINT_COUNT, 7))
        told = given.points
        shape = told[..., _SHAPE] + points[..., 0:3]
        return Lifted(
            shape - shape[:, :1], torch.exp(points[..., 3].clamp(*_LOG_SPREAD)), told[..., _PLACES] + points[..., 4:6],
            torch.exp(points[..., 6].clamp(*_LOG_SPREAD)), out[:, -2] * 2,
            torch.exp(out[:, -1].clamp(*_LOG_SPREAD)),
        )  # fmt: skip


def lifting_losses(made: Lifted, shape: Tensor, places: Tensor, depth: Tensor) -> dict[str, Tensor]:
    """Laplace likelihoods: ``shape``, ``places``, ``depth``.

    Args:
        shape: (N, 21, 3). places: (N, 21, 2). depth: (N,), NaN without a partner; see :class:`Lifted`.
    """
    miss = (made.shape - shape)[:, 1:].abs().sum(-1)
    spread = made.spread[:, 1:]
    aside = (made.places - places).abs().sum(-1)
    known = torch.isfinite(depth)
    apart = (made.depth - depth.nan_to_num()).abs() / made.depth_spread + made.depth_spread.log()
    return {
        "shape": (miss / spread + 3 * spread.log()).mean(),
        "places": (aside / made.place_spread + 2 * made.place_spread.log()).mean(),
        "depth": (apart * known).sum() / known.sum().clamp_min(1),
    }
