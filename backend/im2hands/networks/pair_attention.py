"""Vector attention over pairs of points, with every product of weights made once (specification 7.4, 7.6).

*Vector* attention weighs every channel by itself: the weights of a pair of points come from a small network (gamma) of
query minus key plus an encoding (delta) of the difference of positions, softmax over the pairs of a query, not scaled:

    result_i = sum_j softmax_j(gamma(q_i - k_j + delta_ij)) * (v_j + delta_ij)

Layers that do not see a pair are applied to points: the first layers of delta and gamma are linear in the difference,
and the second layer of delta followed by the first of gamma is one matrix. What is left for a pair is three products
with a d x d matrix. The bias of gamma's last layer is the same for all pairs of a query: the softmax does not see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

PAIRS = 4608
"""Pairs evaluated at once on a CPU where no gradient is wanted: what they need stays in the processor's cache."""

PAIRS_ACCELERATOR = 1 << 17
"""The same elsewhere, at least: many to keep the device busy, about 0.3 GB at the published widths."""

_SHARE, _BYTES = 0.02, 18  # of a CUDA device's memory; that a channel of a pair needs
_MOST = 1 << 20


def pairs_at_once(device: torch.device, width: int) -> int:
    """Pairs of ``width`` channels to evaluate at once on a device, where no gradient is wanted."""
    if device.type == "cpu":
        return PAIRS
    if device.type != "cuda":
        return PAIRS_ACCELERATOR
    memory = torch.cuda.get_device_properties(device).total_memory
    return min(max(int(_SHARE * memory / (_BYTES * width)), PAIRS_ACCELERATOR), _MOST)


class TwoLayers(nn.Sequential):
    """Linear, ReLU, linear: (..., inputs) to (..., width)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))

    @property
    def first(self) -> nn.Linear:
        """The layer before the ReLU."""
        return cast(nn.Linear, self[0])

    @property
    def second(self) -> nn.Linear:
        """The layer after the ReLU."""
        return cast(nn.Linear, self[2])


class Token(NamedTuple):
    """One more token that every query of a hand attends to: scores and value, (B, d) each."""

    score: Tensor
    value: Tensor


@dataclass(frozen=True)
class Table:
    """What the points attended to offer.

    Args:
        positions, keys, values: (B, P, d), encoded by :class:`PairAttention`.
    """

    positions: Tensor
    keys: Tensor
    values: Tensor

    def __getitem__(self, hands: slice) -> Table:
        """Some of the hands."""
        return Table(self.positions[hands], self.keys[hands], self.values[hands])


class PairAttention:
    """The folded weights of one vector attention; differentiable with respect to both networks.

    Args:
        delta: the encoding of positions, 3 to d. gamma: the network of the weights, d to d.
        precision: of everything about a pair but the difference of positions, whose leading digits cancel; None is the
            weights' own. Where the processor multiplies bfloat16 fast, that takes a third of the time.
    """

    def __init__(self, delta: TwoLayers, gamma: TwoLayers, precision: torch.dtype | None = None) -> None:
        self._delta, self._gamma = delta, gamma
        self._precision = precision or delta.second.weight.dtype
        self._encode = delta.second.weight.to(self._precision)
        # What rounding took from these weights is the same for all pairs, so it does not average out like the rest.
        self._missing = None
        if self._precision != delta.second.weight.dtype:
            self._missing = delta.second.weight - self._encode.to(delta.second.weight)
        self._score = (gamma.first.weight @ delta.second.weight).to(self._precision)
        self._weigh = gamma.second.weight.to(self._precision)

    def own(self, positions: Tensor, sign: float = 1.0) -> Tensor:
        """Query positions (B, N, 3), encoded; delta sees query minus neighbour, for ``sign`` -1 the opposite."""
        return sign * functional.linear(positions, self._delta.first.weight) + self._delta.first.bias

    def queries(self, queries: Tensor) -> Tensor:
        """Queries (..., d), encoded."""
        return self._gamma.first(queries + self._delta.second.bias)

    def table(self, positions: Tensor, keys: Tensor, values: Tensor, sign: float = 1.0) -> Table:
        """The points attended to: positions (B, P, 3), keys and values (B, P, d); ``sign`` as for :meth:`own`."""
        return Table(
            functional.linear(positions, -sign * self._delta.first.weight),
            functional.linear(keys, -self._gamma.first.weight),
            values + self._delta.second.bias,
        )

    def token(self, queries: Tensor, key: Tensor, value: Tensor) -> Token:
        """A token without position (its delta is 0) for one query (B, d) a hand; key and value (B, d)."""
        hidden = functional.relu(self._gamma.first(queries - key))
        return Token(functional.linear(hidden, self._gamma.second.weight), value)

    def attend(
        self, own: Tensor, queries: Tensor, table: Table, index: Tensor | None, token: Token | None = None
    ) -> Tensor:
        """The attention.

        Args:
            own: (B, N, d), of :meth:`own`. queries: (B, N, d), or (B, 1, d) for all alike, of :meth:`queries`.
            table: of :meth:`table`. index: (B, N, K) int64, whom each query attends to; None is everybody.
            token: one more for all queries.

        Returns:
            (B, N, d).
        """
        batch, count = own.shape[:2]
        alike = queries.shape[1] == 1
        keys = (table.keys + queries if alike else table.keys).to(self._precision)
        table = Table(table.positions, keys, table.values)
        queries = queries.to(self._precision)
        step = count
        if not torch.is_grad_enabled():
            neighbours = table.keys.shape[1] if index is None else index.shape[-1]
            step = pairs_at_once(own.device, own.shape[-1]) // (batch * neighbours)
        results = []
        for start in range(0, count, max(step, 1)):
            rows = slice(start, start + max(step, 1))
            own_index = None if index is None else index[:, rows]
            own_queries = None if alike else queries[:, rows]
            results.append(self._attend(own[:, rows], own_queries, table, own_index, token))
        return torch.cat(results, dim=1) if results else torch.zeros_like(own)

    def _attend(
        self, own: Tensor, queries: Tensor | None, table: Table, index: Tensor | None, token: Token | None
    ) -> Tensor:
        """The attention of some queries; ``queries`` None where the table's keys hold them.

        Pairs lie neighbour by neighbour (K, B, N, d), so that the softmax adds whole rows.
        """
        batch, size = table.keys.shape[:2]
        if index is None:
            index = torch.arange(size, device=own.device).expand(batch, own.shape[1], size)
        pairs = (index + torch.arange(batch, device=own.device)[:, None, None] * size).movedim(2, 0)

        def gathered(values: Tensor) -> Tensor:
            return values.flatten(0, 1).index_select(0, pairs.flatten()).unflatten(0, pairs.shape)

        def product(values: Tensor, weight: Tensor) -> Tensor:
            return functional.linear(values.flatten(0, 2), weight).view_as(values)

        # In place where only the result is wanted, also by the gradient: each tensor is as large as all pairs. The last
        # sum is made in the points' own type: rounding it costs more than all the rounding before.
        hidden = gathered(table.positions).add_(own).relu_().to(self._precision)
        scores = product(hidden, self._score).add_(gathered(table.keys))
        scores = product((scores if queries is None else scores.add_(queries)).relu_(), self._weigh)
        values = gathered(table.values).add_(product(hidden, self._encode))
        largest = scores.detach().amax(0)
        if token is not None:
            everywhere, value = (part[:, None] for part in token)
            largest = torch.maximum(largest, everywhere.detach().to(self._precision))
        weights = scores.sub_(largest).exp_()
        total, result = weights.sum(0, dtype=own.dtype), (values * weights).sum(0)
        if self._missing is not None:
            result = result + total * functional.linear(hidden.mean(0, dtype=own.dtype), self._missing)
        if token is not None:
            extra = (everywhere - largest).exp()
            total, result = total + extra, result + extra * value
        return result / total
