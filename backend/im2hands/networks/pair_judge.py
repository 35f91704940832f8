"""The judge's network: how much each hypothesis, and each two of them, speak for one person's left and right hand.

A hypothesis is a hand that may be in a picture. Every hypothesis has two sets of features: taken for a left hand and
taken for a right hand. A pair is one hypothesis taken for the left hand and another taken for the right hand. The
network scores it from both sides in the same way, so that the mirrored picture gets the mirrored answer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

SINGLE_FEATURES = (
    "presence", "agreement", "spread", "support", "network_right", "shape_right", "one_side", "task", "own",
    "on_hands", "palm_on_hands", "drawn_on_hands", "inside", "gap", "size_beside_palm", "palm_presence", "palm_right",
    "side_beside_palm", "palm_hidden", "detector", "photo_presence", "photo_right", "photo_gap", "photo_scatter",
    "role_presence", "role_gap", "role_spread",
)  # fmt: skip
"""Features of a hypothesis taken for one side, in the order of the weights. "photo" is MediaPipe's landmark network."""

PAIR_FEATURES = (
    "outlines_apart", "keypoints_apart", "palms_apart", "size_ratio", "one_side", "overlap", "covered", "gained",
    "inside", "partner_gap", "partner_known",
)  # fmt: skip
"""Features of two hypotheses, in the order of the weights."""

MEASURED_BY: dict[str, tuple[str, ...]] = {
    "MediaPipe's tasks API": ("task",),
    "palm detector": ("detector",),
    "reading network, as hands of either side": ("role_presence", "role_gap", "role_spread"),
    "two-hand network": (
        "on_hands", "palm_on_hands", "drawn_on_hands", "gap", "size_beside_palm", "palm_presence", "palm_right",
        "side_beside_palm", "palm_hidden", "covered", "gained", "partner_gap", "partner_known",
    ),
}  # fmt: skip
"""Features that are NaN in a picture on which the named network was not run (a followed frame of a clip: none was)."""

WIDTH = 48
_DROPOUT = 0.1
_FARTHEST = 6.0  # standard deviations at which features are clamped


class Judgement(NamedTuple):
    """Scores: logarithms of unnormalised probabilities, relative to the answer "no hand", before any prior.

    Parameters
    ----------
    single : (B, N, 2) float
        Score of the answer "only this hypothesis", as the left or the right hand (last index).
    pair : (B, N, N) float
        Score of the answer "the first hypothesis is the left hand and the second the right hand".
    """

    single: Tensor
    pair: Tensor


class PairJudgeNetwork(nn.Module):
    """The judge's network; about 16 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Sequential(
            nn.Linear(len(SINGLE_FEATURES), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT)
        )
        self.context = nn.Linear(WIDTH, WIDTH)
        self.alone = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.between = nn.Linear(len(PAIR_FEATURES), WIDTH)
        self.together = nn.Sequential(
            nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )
        for name, count in (("single", len(SINGLE_FEATURES)), ("pairs", len(PAIR_FEATURES))):
            self.register_buffer(f"{name}_mean", torch.zeros(count))
            self.register_buffer(f"{name}_deviation", torch.ones(count))

    def _standard(self, name: str, value: Tensor) -> Tensor:
        """Standardise features by mean and deviation of the training data, and clamp them; NaN becomes the mean."""
        value = (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")
        return torch.nan_to_num(value.clamp(-_FARTHEST, _FARTHEST), nan=0.0)

    def forward(self, single: Tensor, pairs: Tensor, there: Tensor | None = None) -> Judgement:
        """Judge N hypotheses of each of B pictures.

        Parameters
        ----------
        single : (B, N, 2, len(SINGLE_FEATURES)) float
            Features of the hypotheses, taken for left and for right hands; ``keypoints.choosing.features`` computes
            them.
        pairs : (B, N, N, len(PAIR_FEATURES)) float
            Features of each two hypotheses, symmetric.
        there : (B, N) bool or None
            Which hypotheses exist; the others are padding. None if all do.

        Returns
        -------
        Judgement
            Scores of hypotheses and pairs; those of padding, and of a hypothesis with itself, mean nothing.
        """
        encoded = self.own(self._standard("single", single))
        shown = torch.ones_like(single[:, :, 0, 0]) if there is None else there.to(single.dtype)
        pooled = (encoded.mean(dim=2) * shown[..., None]).sum(dim=1) / shown.sum(dim=1, keepdim=True).clamp(min=1.0)
        encoded = encoded + torch.relu(self.context(pooled))[:, None, None]
        first, second = self.first(encoded), self.second(encoded)
        between = self.between(self._standard("pairs", pairs))
        from_left = self.together(first[:, :, None, 0] + second[:, None, :, 1] + between)
        from_right = self.together(first[:, :, None, 1] + second[:, None, :, 0] + between)
        return Judgement(self.alone(encoded).squeeze(-1), (from_left + from_right.transpose(1, 2)).squeeze(-1))


def judge_loss(made: Judgement, worth: Judgement, nothing: Tensor, there: Tensor) -> Tensor:
    """Compute the loss of a judgement: the logarithm of the expected worth of an answer drawn by the scores.

    Parameters
    ----------
    made : Judgement
        Output of the network.
    worth : Judgement
        Worth of each answer, in [0, 1].
    nothing : (B,) float
        Worth of the answer "no hand", in [0, 1].
    there : (B, N) bool
        Which hypotheses exist; the others are padding.

    Returns
    -------
    () float
        The mean loss. Scenes in which no answer has any worth count as 0.
    """
    count = there.shape[1]
    two = there[:, :, None] & there[:, None] & ~torch.eye(count, dtype=torch.bool, device=there.device)
    none = torch.zeros(len(there), 1, device=there.device)
    alone = made.single.masked_fill(~there[..., None], -torch.inf).flatten(1)
    together = made.pair.masked_fill(~two, -torch.inf).flatten(1)
    scores = torch.cat([none, alone, together], dim=1)
    worths = torch.cat([nothing[:, None], worth.single.flatten(1), worth.pair.flatten(1)], dim=1)
    worths = worths.masked_fill(torch.isinf(scores), 0.0)
    best = worths.amax(dim=1)
    useful = best > 0
    relative = worths[useful] / best[useful, None]
    log_worth = torch.where(relative > 0, relative.clamp(min=1e-9).log(), torch.full_like(relative, -torch.inf))
    gained = torch.logsumexp(scores[useful] + log_worth, dim=1) - torch.logsumexp(scores[useful], dim=1)
    return -gained.sum() / max(int(useful.sum()), 1)
