"""The pair judge's network: which two of all hands that may be in a picture are one person's, and read how well.

Every candidate is told of twice, as a left and as a right hand. A pair is a candidate taken for the left hand and
another one taken for the right hand; it is told of from both sides alike, so that the mirrored picture gets the same
answer mirrored.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SINGLE_FEATURES = (
    "presence", "agreement", "spread", "support", "network_right", "shape_right", "one_side", "from_task", "from_palm",
    "on_hands", "palm_on_hands", "drawn_on_hands", "inside", "gap", "size_beside_palm", "palm_presence", "palm_right",
    "side_beside_palm", "palm_hidden", "detector", "role_presence", "role_gap", "role_spread",
)  # fmt: skip
PAIR_FEATURES = (
    "outlines_apart", "keypoints_apart", "palms_apart", "size_ratio", "one_side", "overlap", "covered", "gained",
    "inside", "partner_gap", "partner_known",
)  # fmt: skip

GRADES = (0.45, 0.25)
"""Mean errors in the picture, palm lengths, below which a hand is read rightly, and well."""

WIDTH = 48
_DROPOUT = 0.1
_FARTHEST = 6.0  # standard deviations of a feature


class Judgement(NamedTuple):
    """Log odds.

    Args:
        single: (B, N, 2, 2) that a candidate taken for a side is that hand, read rightly and read well. pair:
            (B, N, N, 2) that the first is the left hand and the second the right hand, both read rightly, both well.
    """

    single: Tensor
    pair: Tensor


class PairJudgeNetwork(nn.Module):
    """See the module; 12 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Sequential(
            nn.Linear(len(SINGLE_FEATURES), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT)
        )
        self.alone = nn.Linear(WIDTH, len(GRADES))
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.between = nn.Linear(len(PAIR_FEATURES), WIDTH)
        self.together = nn.Sequential(
            nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, len(GRADES))
        )
        for name, count in (("single", len(SINGLE_FEATURES)), ("pairs", len(PAIR_FEATURES))):
            self.register_buffer(f"{name}_mean", torch.zeros(count))
            self.register_buffer(f"{name}_deviation", torch.ones(count))

    def _standard(self, name: str, value: Tensor) -> Tensor:
        value = (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")
        return value.clamp(-_FARTHEST, _FARTHEST)

    def forward(self, single: Tensor, pairs: Tensor) -> Judgement:
        """Judge N candidates of each of B pictures.

        Args:
            single: (B, N, 2, S), taken for the left and for the right hand. pairs: (B, N, N, P), symmetric.
        """
        told = self.own(self._standard("single", single))
        first, second = self.first(told), self.second(told)
        between = self.between(self._standard("pairs", pairs))
        from_left = self.together(first[:, :, None, 0] + second[:, None, :, 1] + between)
        from_right = self.together(first[:, :, None, 1] + second[:, None, :, 0] + between)
        return Judgement(self.alone(told), from_left + from_right.transpose(1, 2))


def judge_loss(made: Judgement, error: Tensor, pair_error: Tensor, there: Tensor, sharp: float) -> Tensor:
    """How far a judgement is from the truth.

    Args:
        error: (B, N, 2) of a candidate taken for the left and the right hand, palm lengths. pair_error: (B, N, N), the
            larger one of two. there: (B, N) bool, which candidates there are. sharp: how sharply a grade ends.
    """
    two = there[:, :, None] & there[:, None] & ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)

    def missed(odds: Tensor, error: Tensor) -> Tensor:
        aims = torch.sigmoid((torch.tensor(GRADES, device=error.device) - error[..., None]) / sharp)
        return functional.binary_cross_entropy_with_logits(odds, aims)

    return missed(made.single[there], error[there]) + 3 * missed(made.pair[two], pair_error[two])
