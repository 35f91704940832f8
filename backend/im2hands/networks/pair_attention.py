"""Vector attention over pairs of points, with products of weights computed once.

Vector attention (Zhao et al., "Point Transformer", ICCV 2021) weighs every channel separately. A small network (gamma)
computes the weights of a pair of points from query minus key plus an encoding (delta) of the difference of their
positions. The softmax runs over the pairs of a query, without scaling:

    result_i = sum_j softmax_j(gamma(q_i - k_j + delta_ij)) * (v_j + delta_ij)

The first layer of gamma is linear, so queries and keys go through it as points instead of pairs, and the second layer
of delta is merged with it into one matrix. Of each pair, delta's first layer takes the difference of the positions,
which has 3 channels, and three products with a d x d matrix remain. The bias of gamma's last layer is the same for all
pairs of a query and cancels in the softmax.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

PAIRS = 1152
"""Pairs evaluated at once on a CPU without gradients: few enough to stay in the processor's cache."""

QUERIES = 32
"""Queries are evaluated in multiples of this number in bfloat16 without gradients.

oneDNN compiles a bfloat16 product for each number of rows, which takes half a millisecond, and keeps it in 0.6 MB.
"""

PAIRS_ACCELERATOR = 1 << 17
"""Fewest pairs evaluated at once on other devices without gradients.

They keep the device busy and need about 0.3 GB at the published widths.
"""

_LOG2_E = math.log2(math.e)

# Share of a CUDA device's memory to use, bytes that a channel of a pair needs, and the most pairs at once.
_SHARE, _BYTES = 0.06, 18
_MOST = 1 << 20


def pairs_at_once(device: torch.device, width: int) -> int:
    """Return how many pairs to evaluate at once without gradients.

    Parameters
    ----------
    device : torch.device
        The device.
    width : int
        Channels of a pair.
    """
    if device.type == "cpu":
        return PAIRS
    if device.type != "cuda":
        return PAIRS_ACCELERATOR
    memory = torch.cuda.get_device_properties(device).total_memory
    return min(max(int(_SHARE * memory / (_BYTES * width)), PAIRS_ACCELERATOR), _MOST)


class TwoLayers(nn.Sequential):
    """Linear, ReLU, linear: (..., inputs) to (..., width).

    Parameters
    ----------
    inputs : int
        Channels in.
    width : int
        Channels of both layers.
    """

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
    """An additional token that every query of a hand attends to.

    Parameters
    ----------
    score : (B, d) float
        Its scores before the softmax.
    value : (B, d) float
        Its value.
    """

    score: Tensor
    value: Tensor


@dataclass(frozen=True)
class Table:
    """The points attended to, encoded by ``PairAttention.table``.

    Parameters
    ----------
    positions : (B, P, 3) float
        Their positions.
    rows : (B, P, 2 d) float
        Their encoded keys, then their encoded values less ``centre``.
    centre : (B, 1, d) float
        A value near those of all pairs. Only differences from it are rounded to the precision of the products.
    """

    positions: Tensor
    rows: Tensor
    centre: Tensor

    def __getitem__(self, hands: slice) -> Table:
        """Select hands of the batch."""
        return Table(self.positions[hands], self.rows[hands], self.centre[hands])


class PairAttention:
    """The folded weights of one vector attention; differentiable with respect to both networks.

    Parameters
    ----------
    delta : TwoLayers
        Encoding of the difference of positions, 3 to d channels.
    gamma : TwoLayers
        Network of the weights, d to d channels.
    precision : torch.dtype or None
        Precision of everything that has a row for each pair, except the difference of positions, whose leading digits
        cancel. None uses the dtype of the weights. On processors with fast bfloat16 products, bfloat16 takes a third of
        the time.
    sign : float
        1 if delta takes query minus neighbour, -1 if it takes neighbour minus query.
    """

    def __init__(
        self, delta: TwoLayers, gamma: TwoLayers, precision: torch.dtype | None = None, sign: float = 1.0
    ) -> None:  # fmt: skip
        self._delta, self._gamma = delta, gamma
        self._precision = precision or delta.second.weight.dtype
        self._first = sign * delta.first.weight
        self._weigh = gamma.second.weight.to(self._precision)
        # Scores before their ReLU, then values, in one product.
        both = torch.cat([gamma.first.weight @ delta.second.weight, delta.second.weight])
        self._encode = both.to(self._precision).mT
        # The rounding errors of these weights are the same for all pairs. Unlike the other rounding errors they do not
        # average out, so attend adds their effect.
        self._missing = None
        if self._precision != delta.second.weight.dtype:
            rounded = delta.second.weight.to(self._precision)
            self._missing = (delta.second.weight - rounded.to(delta.second.weight)).to(self._precision)

    def queries(self, queries: Tensor) -> Tensor:
        """Encode queries.

        Parameters
        ----------
        queries : (..., d) float
            Queries.

        Returns
        -------
        (..., d) float
            Encoded queries.
        """
        return self._gamma.first(queries + self._delta.second.bias)

    def table(self, positions: Tensor, keys: Tensor, values: Tensor) -> Table:
        """Encode the points attended to.

        Parameters
        ----------
        positions : (B, P, 3) float
            Their positions.
        keys : (B, P, d) float
            Their keys.
        values : (B, P, d) float
            Their values.

        Returns
        -------
        Table
            The encoded points.
        """
        encoded = functional.linear(keys, -self._gamma.first.weight)
        centre = values.mean(1, keepdim=True) + self._delta(torch.zeros_like(positions[:, :1]))
        values = values + self._delta.second.bias - centre
        return Table(positions, torch.cat([encoded, values], dim=-1), centre)

    def token(self, queries: Tensor, key: Tensor, value: Tensor) -> Token:
        """Encode a token without position (its delta is 0), for hands with a single query each.

        Parameters
        ----------
        queries : (B, d) float
            The query of each hand.
        key : (B, d) float
            Key of the token.
        value : (B, d) float
            Value of the token.

        Returns
        -------
        Token
            The encoded token.
        """
        hidden = functional.relu(self._gamma.first(queries - key))
        return Token(functional.linear(hidden, self._gamma.second.weight), value)

    def attend(
        self, positions: Tensor, queries: Tensor, table: Table, index: Tensor | None, token: Token | None = None
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        positions : (B, N, 3) float
            Positions of the queries.
        queries : (B, N, d) or (B, 1, d) float
            Encoded queries, from ``queries``; (B, 1, d) if all queries of a hand are the same.
        table : Table
            The points attended to, from ``table``.
        index : (B, N, K) int64 or None
            Points that each query attends to; None for all.
        token : Token or None
            An additional token for all queries.

        Returns
        -------
        (B, N, d) float
            Results of the attention.
        """
        batch, count = positions.shape[:2]
        width = queries.shape[-1]
        alike = queries.shape[1] == 1
        rows = table.rows
        if alike:
            rows = torch.cat([rows[..., :width] + queries, rows[..., width:]], dim=-1)
        table = Table(table.positions, rows.to(self._precision), table.centre)
        queries = queries.to(self._precision)
        step = count
        if not torch.is_grad_enabled():
            neighbours = rows.shape[1] if index is None else index.shape[-1]
            step = pairs_at_once(positions.device, width) // (batch * neighbours)
            more = -count % QUERIES if self._precision == torch.bfloat16 else 0
            positions = functional.pad(positions, (0, 0, 0, more))
            queries = queries if alike else functional.pad(queries, (0, 0, 0, more))
            index = None if index is None else functional.pad(index, (0, 0, 0, more))
        results = []
        for start in range(0, positions.shape[1], max(step, 1)):
            part = slice(start, start + max(step, 1))
            own_index = None if index is None else index[:, part]
            own_queries = None if alike else queries[:, part]
            results.append(self._attend(positions[:, part], own_queries, table, own_index, token))
        return torch.cat(results, dim=1)[:, :count] if results else positions.new_zeros(batch, 0, width)

    def _attend(
        self, positions: Tensor, queries: Tensor | None, table: Table, index: Tensor | None, token: Token | None
    ) -> Tensor:
        """Attention of one chunk of queries; ``queries`` is None if the table's keys already contain them.

        Pairs are laid out neighbour by neighbour (K, B, N, d), so that the softmax adds whole rows.
        """
        batch, size = table.rows.shape[:2]
        if index is None:
            index = torch.arange(size, device=positions.device).expand(batch, positions.shape[1], size)
        pairs = (index + torch.arange(batch, device=positions.device)[:, None, None] * size).movedim(2, 0)
        chosen = pairs.flatten()

        def gathered(values: Tensor) -> Tensor:
            return values.flatten(0, 1).index_select(0, chosen)

        # Every tensor has a row for each pair, so operations are few, and in place where the gradient allows it.
        apart = (positions - gathered(table.positions).unflatten(0, pairs.shape)).flatten(0, 2)
        first = functional.linear(apart, self._first, self._delta.first.bias).relu_()
        hidden = first.to(self._precision)
        scores, values = gathered(table.rows).addmm_(hidden, self._encode).unflatten(0, pairs.shape).chunk(2, dim=-1)
        scores = functional.relu(scores) if queries is None else functional.relu(scores + queries)
        scores = functional.linear(scores, self._weigh)
        by_hand = None if token is None else Token(token.score[:, None], token.value[:, None] - table.centre)
        mix = _mixed if torch.is_grad_enabled() or positions.device.type != "cpu" else _mixed_on_processor
        result, share = mix(scores, values, by_hand, positions.dtype)
        if self._missing is not None:
            mean = first.unflatten(0, pairs.shape).mean(0).to(self._precision)
            missing = functional.linear(mean, self._missing)
            result = result + (missing if share is None else share * missing)
        return result + table.centre


def _mixed(scores: Tensor, values: Tensor, token: Token | None, kind: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Values (K, B, N, d) of each query, weighted by the softmax of their scores, and of a token (B, 1, d).

    Returns the result (B, N, d) and the share of the values in it; None is all of it.
    """
    count = len(values)
    if token is not None:
        scores = torch.cat([scores, token.score.to(scores).expand_as(scores[:1])])
    weights = scores.softmax(0, dtype=kind)
    result = (weights[:count] * values).sum(0)
    if token is None:
        return result, None
    return result + weights[count] * token.value, 1.0 - weights[count]


def _mixed_on_processor(
    scores: Tensor, values: Tensor, token: Token | None, kind: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """The same as ``_mixed`` by powers of two, which a processor computes four times as fast as PyTorch's softmax."""
    scores = scores.to(kind)
    most = scores.amax(0)
    own = None
    if token is not None:
        own = token.score.to(scores.dtype).to(kind)
        most = torch.maximum(most, own)
        own = torch.exp2((own - most) * _LOG2_E)
    powers = torch.add(most * -_LOG2_E, scores, alpha=_LOG2_E).exp2_()
    total = powers.sum(0)
    result = powers.mul_(values).sum(0)
    if own is None or token is None:
        return result / total, None
    all_of_it = total + own
    return (result + own * token.value) / all_of_it, total / all_of_it
