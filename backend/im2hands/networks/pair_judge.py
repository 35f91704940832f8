"""The judge's network: how much each hypothesis, and each two of them, speak for one person's left and right hand.

A hypothesis is a hand that may be in a picture. Every hypothesis has two sets of features: taken for a left hand and
taken for a right hand. A pair is one hypothesis taken for the left hand and another taken for the right hand. The
network scores it from both sides in the same way, so that the mirrored picture gets the mirrored answer. Hypotheses
attend to each other by the features that they have in pairs: one hand that appears as several hypotheses is one hand.
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
_HEADS, _PAIR_WIDTH = 4, 32
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


class _Exchange(nn.Module):
    """Lets every hypothesis, in either role, see the others in its own and in the other role."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.asked, self.shown, self.told = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.weight, self.between = nn.Linear(_PAIR_WIDTH, _HEADS), nn.Linear(_PAIR_WIDTH, WIDTH)
        self.mixed = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(WIDTH, WIDTH))

    def forward(self, encoded: Tensor, between: Tensor, there: Tensor) -> Tensor:
        """Exchange what is known.

        Parameters
        ----------
        encoded : (B, N, 2, WIDTH) float
            The hypotheses in both roles.
        between : (B, N, N, _PAIR_WIDTH) float
            Each two hypotheses.
        there : (B, N) bool
            Which hypotheses exist.

        Returns
        -------
        (B, N, 2, WIDTH) float
            The hypotheses in both roles.
        """
        shown, heads = self.norm(encoded), (_HEADS, WIDTH // _HEADS)
        asked = self.asked(shown).unflatten(-1, heads)
        bias = self.weight(between)[:, :, :, None].masked_fill(~there[:, None, :, None, None], -1e4)
        seen = self.between(between).masked_fill(~there[:, None, :, None], 0.0).sum(dim=2)
        seen = (seen / there.sum(dim=1).clamp(min=1)[:, None, None])[:, :, None]
        for others in (shown, shown.flip(2)):  # in the same role, and in the other one
            keys, values = self.shown(others).unflatten(-1, heads), self.told(others).unflatten(-1, heads)
            close = torch.einsum("birhd,bjrhd->bijrh", asked, keys) / heads[1] ** 0.5
            seen = seen + torch.einsum("bijrh,bjrhd->birhd", (close + bias).softmax(dim=2), values).flatten(3)
        return encoded + self.mixed(seen)


class PairJudgeNetwork(nn.Module):
    """The judge's network; about 29 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Sequential(
            nn.Linear(len(SINGLE_FEATURES), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(_DROPOUT)
        )
        self.between = nn.Sequential(nn.Linear(len(PAIR_FEATURES), _PAIR_WIDTH), nn.ReLU())
        self.exchange = _Exchange()
        self.alone = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.joined = nn.Linear(_PAIR_WIDTH, WIDTH)
        self.together = nn.Sequential(
            nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
        )
        self.hand = nn.Linear(WIDTH, 1)
        for name, count in (("single", len(SINGLE_FEATURES)), ("pairs", len(PAIR_FEATURES))):
            self.register_buffer(f"{name}_mean", torch.zeros(count))
            self.register_buffer(f"{name}_deviation", torch.ones(count))

    def _standard(self, name: str, value: Tensor) -> Tensor:
        """Standardise features by mean and deviation of the training data, and clamp them; NaN becomes the mean."""
        value = (value - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation")
        return torch.nan_to_num(value.clamp(-_FARTHEST, _FARTHEST), nan=0.0)

    def encode(self, single: Tensor, pairs: Tensor, there: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode N hypotheses of each of B pictures.

        Parameters
        ----------
        single, pairs, there
            As in ``forward``.

        Returns
        -------
        encoded : (B, N, 2, WIDTH) float
            The hypotheses, taken for left and for right hands.
        between : (B, N, N, _PAIR_WIDTH) float
            Each two hypotheses.
        """
        shown = torch.ones(single.shape[:2], dtype=torch.bool, device=single.device) if there is None else there
        between = self.between(self._standard("pairs", pairs))
        return self.exchange(self.own(self._standard("single", single)), between, shown), between

    def decide(self, encoded: Tensor, between: Tensor) -> Judgement:
        """Score encoded hypotheses.

        Parameters
        ----------
        encoded, between
            As from ``encode``.

        Returns
        -------
        Judgement
            Scores of hypotheses and pairs.
        """
        first, second, joined = self.first(encoded), self.second(encoded), self.joined(between)
        from_left = self.together(first[:, :, None, 0] + second[:, None, :, 1] + joined)
        from_right = self.together(first[:, :, None, 1] + second[:, None, :, 0] + joined)
        return Judgement(self.alone(encoded).squeeze(-1), (from_left + from_right.transpose(1, 2)).squeeze(-1))

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
        return self.decide(*self.encode(single, pairs, there))


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
