"""The pair judge's network: which two of all hands that may be in a picture are one person's, and read how well.

Every candidate is told of twice, as a left and as a right hand, the left one mirrored; what is told is that of
:mod:`..keypoints.pair_views`. A pair is a candidate taken for the left hand and another one taken for the right hand.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hands import KEYPOINT_COUNT
from ..keypoints.lifting_features import HAND_FEATURES, POINT_FEATURES
from ..keypoints.pair_features import PAIR_FEATURES, SINGLE_FEATURES
from .palm_network import EMBEDDING, PYRAMID_CHANNELS

GRADES = (0.45, 0.25)
"""Mean errors in the picture, palm lengths, below which a hand is read rightly, and well."""

_WIDTH, _EMBEDDING, _GLANCE, _DROPOUT = 256, 96, 12, 0.3


class CandidateInput(NamedTuple):
    """What is told of N candidates of each of B pictures; standardised inside, pairs and ways excepted.

    Args:
        single: (B, N, 2, S). points: (B, N, 2, 21, 11). hand: (B, N, 2, 9). vector: (B, N, 2, 256). seen:
            (B, N, 2, 21, 192). pairs: (B, N, N, P). ways: (B, N, 2, N, 3). The side that a candidate is taken for
            comes after N: 0 left, 1 right.
    """

    single: Tensor
    points: Tensor
    hand: Tensor
    vector: Tensor
    seen: Tensor
    pairs: Tensor
    ways: Tensor


class Judgement(NamedTuple):
    """Log odds.

    Args:
        single: (B, N, 2, 2) that a candidate taken for a side is that hand, read rightly and read well. pair:
            (B, N, N, 2) that the first is the left hand and the second the right hand, both read rightly, both well.
    """

    single: Tensor
    pair: Tensor


class PairJudgeNetwork(nn.Module):
    """See the module; 0.3 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.glance = nn.Linear(3 * PYRAMID_CHANNELS, _GLANCE)
        told = KEYPOINT_COUNT * (POINT_FEATURES + _GLANCE) + HAND_FEATURES + EMBEDDING + len(SINGLE_FEATURES)
        self.own = nn.Sequential(nn.Linear(told, _WIDTH), nn.LayerNorm(_WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT),
                                 nn.Linear(_WIDTH, _EMBEDDING))  # fmt: skip
        self.alone = nn.Linear(_EMBEDDING, len(GRADES))
        self.first, self.second = nn.Linear(_EMBEDDING, _EMBEDDING), nn.Linear(_EMBEDDING, _EMBEDDING)
        self.between = nn.Linear(len(PAIR_FEATURES) + 3, _EMBEDDING)
        self.joined = nn.Sequential(nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(_EMBEDDING, _EMBEDDING // 2), nn.ReLU(),
                                    nn.Linear(_EMBEDDING // 2, len(GRADES)))  # fmt: skip
        shapes = {
            "single": (len(SINGLE_FEATURES),), "points": (KEYPOINT_COUNT, POINT_FEATURES), "hand": (HAND_FEATURES,),
            "vector": (EMBEDDING,), "seen": (3 * PYRAMID_CHANNELS,), "between": (len(PAIR_FEATURES) + 3,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_deviation", torch.ones(shape))

    def _standard(self, name: str, value: Tensor) -> Tensor:
        return ((value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")).clamp(-6, 6)

    def forward(self, given: CandidateInput) -> Judgement:
        """Judge candidates."""
        glance = functional.relu(self.glance(self._standard("seen", given.seen)))
        parts = [self._standard("points", given.points).flatten(-2), glance.flatten(-2),
                 self._standard("hand", given.hand), self._standard("vector", given.vector),
                 self._standard("single", given.single)]  # fmt: skip
        told = functional.relu(self.own(functional.dropout(torch.cat(parts, dim=-1), _DROPOUT / 2, self.training)))
        first, second = self.first(told), self.second(told)

        def one_way(side: int) -> Tensor:
            """From each candidate taken for a side to each other taken for the other side, (B, N, N, 2)."""
            between = torch.cat([given.pairs, given.ways[:, :, side]], dim=-1)
            between = self.between(self._standard("between", between))
            return self.joined(first[:, :, side, None] + second[:, None, :, 1 - side] + between)  # type: ignore[no-any-return]

        return Judgement(self.alone(told), one_way(0) + one_way(1).transpose(1, 2))
