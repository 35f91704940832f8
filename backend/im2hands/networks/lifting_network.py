"""The lifting network: keypoints in a picture to the shape of the hand in space and the depth between two hands.

A residual network of fully connected layers, after Martinez et al., "A simple yet effective baseline for 3d human pose
estimation" (ICCV 2017). Every hand is lifted as a right hand, with features of its partner (the person's other hand)
as further input. ``keypoints.placing.lifting_features`` computes the inputs.
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
"""Features of a keypoint.

Its place (2), shape (3) and confidence (1); from the two-hand network its place (2), its depth (1) and the logarithms
of both spreads (2).
"""

HAND_FEATURES = 9
"""Features of a hand, from the two-hand network.

The offset to the other wrist (3) and the logarithms of its spreads (3); the log odds of a right hand and of a hand
being there; the logarithm of its size.
"""

WIDTH = 512
"""Channels of the residual blocks."""

# Channels of the partner, residual blocks, channels of the maps at a keypoint and of the crop.
_PARTNER, _BLOCKS, _SEEN, _CLOSE = 256, 2, 12, 128
_DROPOUT = 0.2
# Limits of the logarithms of the spreads (Laplace scales).
_LOG_SPREAD = (-5.0, 1.5)
# Where the place and the shape stand among the features of a keypoint.
_PLACES = slice(0, 2)
_SHAPE = slice(2, 5)


class LiftingInput(NamedTuple):
    """Features of N hands and of their partners, not standardised (the network does that).

    Parameters
    ----------
    points : (N, 21, 11) float
        Features of the keypoints; see ``POINT_FEATURES``.
    hand : (N, 9) float
        Features of the hand; see ``HAND_FEATURES``.
    vector : (N, 256) float
        Features of the two-hand network along the palm.
    seen : (N, 21, 192) float
        Maps of the two-hand network, sampled at the keypoints.
    close : (N, 1152) float
        Features of the reading network in a crop along the hand.
    partner_points : (N, 21, 11) float
        ``points`` of the partners. Any finite values where there is no partner; so for the following four.
    partner_hand : (N, 9) float
        ``hand`` of the partners.
    partner_vector : (N, 256) float
        ``vector`` of the partners.
    partner_seen : (N, 21, 192) float
        ``seen`` of the partners.
    partner_close : (N, 1152) float
        ``close`` of the partners.
    between : (N, 3) float
        Offset to the partner in the picture, in the hand's own unit, and the logarithm of the ratio of their units.
    pair : (N,) float
        1 with a partner, 0 without.
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
    """N lifted hands, as right hands.

    Parameters
    ----------
    shape : (N, 21, 3) float
        Keypoints relative to the wrist, palm lengths, in a frame whose z axis points along the ray to the hand.
    spread : (N, 21) float
        Laplace scale of each coordinate of ``shape``, palm lengths.
    places : (N, 21, 2) float
        Keypoints in the picture, in the hand's unit.
    place_spread : (N, 21) float
        Laplace scale of each coordinate of ``places``, in the hand's unit.
    depth : (N,) float
        Depth from the wrist to the partner's wrist, palm lengths.
    depth_spread : (N,) float
        Laplace scale of ``depth``, palm lengths.
    """

    shape: Tensor
    spread: Tensor
    places: Tensor
    place_spread: Tensor
    depth: Tensor
    depth_spread: Tensor


class _Block(nn.Module):
    """A residual block: layer norm, linear, ReLU, dropout, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(N, WIDTH) to (N, WIDTH)."""
        hidden = functional.dropout(functional.relu(self.first(self.norm(x))), _DROPOUT, self.training)
        return x + self.second(hidden)


class LiftingNetwork(nn.Module):
    """The lifting network; 2.5 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.glance = nn.Linear(3 * PYRAMID_CHANNELS, _SEEN)
        self.look = nn.Linear(FEATURES, _CLOSE)
        inputs = KEYPOINT_COUNT * (POINT_FEATURES + _SEEN) + HAND_FEATURES + EMBEDDING + _CLOSE
        self.own = nn.Linear(inputs, WIDTH)
        self.partner = nn.Linear(inputs, _PARTNER)
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
        """The input ``name``, standardised by its mean and deviation over the training data."""
        return (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")

    def _hand_vector(self, points: Tensor, hand: Tensor, vector: Tensor, seen: Tensor, close: Tensor) -> Tensor:
        """All features of a hand as one standardised vector."""
        glance = functional.relu(self.glance(self._standard("seen", seen)))
        close = functional.dropout(self._standard("close", close).clamp(-8, 8), _DROPOUT, self.training)
        look = functional.relu(self.look(close))
        parts = [self._standard("points", points).flatten(1), glance.flatten(1), self._standard("hand", hand),
                 self._standard("vector", vector), look]  # fmt: skip
        joined = torch.cat(parts, dim=1).clamp(-8, 8)
        return functional.dropout(joined, _DROPOUT / 2, self.training)

    def forward(self, given: LiftingInput) -> Lifted:
        """Lift hands.

        Parameters
        ----------
        given : LiftingInput
            Features of N hands and of their partners.

        Returns
        -------
        Lifted
            The N hands.
        """
        own = self.own(self._hand_vector(given.points, given.hand, given.vector, given.seen, given.close))
        partner = self.partner(
            self._hand_vector(
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
        shape = given.points[..., _SHAPE] + points[..., 0:3]
        return Lifted(
            shape - shape[:, :1], torch.exp(points[..., 3].clamp(*_LOG_SPREAD)),
            given.points[..., _PLACES] + points[..., 4:6], torch.exp(points[..., 6].clamp(*_LOG_SPREAD)),
            out[:, -2] * 2, torch.exp(out[:, -1].clamp(*_LOG_SPREAD)),
        )  # fmt: skip


def lifting_losses(made: Lifted, shape: Tensor, places: Tensor, depth: Tensor) -> dict[str, Tensor]:
    """Compute the negative log-likelihoods under Laplace distributions, up to constants.

    Parameters
    ----------
    made : Lifted
        Output of the network.
    shape : (N, 21, 3) float
        True shapes; see ``Lifted``.
    places : (N, 21, 2) float
        True places.
    depth : (N,) float
        True depths; NaN without a partner.

    Returns
    -------
    dict of str to Tensor
        The losses "shape", "places" and "depth".
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
