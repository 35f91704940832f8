"""The pair judge's network: which two candidates in a picture are one person's hands, and how well they are read.

A candidate is a hand that may be in the picture. Every candidate has two sets of features: taken for a left hand and
taken for a right hand. A pair is one candidate taken for the left hand and another taken for the right hand. The
network scores it from both sides in the same way, so that the mirrored picture gets the mirrored answer.
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
"""Features of a candidate taken for one side, in the order of the weights."""

PAIR_FEATURES = (
    "outlines_apart", "keypoints_apart", "palms_apart", "size_ratio", "one_side", "overlap", "covered", "gained",
    "inside", "partner_gap", "partner_known",
)  # fmt: skip
"""Features of two candidates, in the order of the weights."""

GRADES = (0.45, 0.25)
"""Mean errors in the picture, palm lengths: below the first a hand is read rightly, below the second read well."""

WIDTH = 48
_DROPOUT = 0.1
_FARTHEST = 6.0  # standard deviations at which features are clamped


class Judgement(NamedTuple):
    """Log odds; the last index is the grade (see ``GRADES``).

    Parameters
    ----------
    single : (B, N, 2, 2) float
        That a candidate is the left or the right hand (third index) and is read to that grade.
    pair : (B, N, N, 2) float
        That the first candidate is the left hand and the second the right hand, both read to that grade.
    """

    single: Tensor
    pair: Tensor


class PairJudgeNetwork(nn.Module):
    """The pair judge's network; 12 thousand parameters."""

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
        """Features standardised by their mean and deviation over the training data, and clamped."""
        value = (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")
        return value.clamp(-_FARTHEST, _FARTHEST)

    def forward(self, single: Tensor, pairs: Tensor) -> Judgement:
        """Judge N candidates of each of B pictures.

        Parameters
        ----------
        single : (B, N, 2, len(SINGLE_FEATURES)) float
            Features of the candidates, taken for left and for right hands; ``keypoints.choosing.features`` computes
            them.
        pairs : (B, N, N, len(PAIR_FEATURES)) float
            Features of each two candidates, symmetric.

        Returns
        -------
        Judgement
            Log odds of candidates and pairs.
        """
        encoded = self.own(self._standard("single", single))
        first, second = self.first(encoded), self.second(encoded)
        between = self.between(self._standard("pairs", pairs))
        from_left = self.together(first[:, :, None, 0] + second[:, None, :, 1] + between)
        from_right = self.together(first[:, :, None, 1] + second[:, None, :, 0] + between)
        return Judgement(self.alone(encoded), from_left + from_right.transpose(1, 2))


def judge_loss(made: Judgement, error: Tensor, pair_error: Tensor, there: Tensor, sharp: float) -> Tensor:
    """Compute the loss of a judgement: binary cross-entropy of candidates, plus three times that of pairs.

    Parameters
    ----------
    made : Judgement
        Output of the network.
    error : (B, N, 2) float
        Mean keypoint error of a candidate taken for the left and for the right hand, palm lengths.
    pair_error : (B, N, N) float
        Larger error of the two candidates of a pair, palm lengths.
    there : (B, N) bool
        Which candidates exist; the others are padding.
    sharp : float
        Width of the soft step of the targets at each grade, palm lengths.

    Returns
    -------
    () float
        The loss.
    """
    two = there[:, :, None] & there[:, None] & ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)

    def missed(odds: Tensor, error: Tensor) -> Tensor:
        aims = torch.sigmoid((torch.tensor(GRADES, device=error.device) - error[..., None]) / sharp)
        return functional.binary_cross_entropy_with_logits(odds, aims)

    return missed(made.single[there], error[there]) + 3 * missed(made.pair[two], pair_error[two])
