"""Averaged weights: what a training keeps is smoother than the weights of its last step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averaged:
    """An exponential moving average of a model's trained parameters and its buffers."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {
            **{name: p for name, p in model.named_parameters() if p.requires_grad},
            **{name: b for name, b in model.named_buffers() if b.is_floating_point()},
        }
        self.values = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model after ``step`` steps; early on the average is over fewer of them."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [v.detach() for v in self._live.values()], weight)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model has the averaged values meanwhile."""
        kept = {name: value.detach().clone() for name, value in self._live.items()}
        self._put(self.values)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self._live.items():
            value.copy_(values[name])
