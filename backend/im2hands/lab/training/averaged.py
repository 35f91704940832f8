"""Exponential moving average of the weights, which a training validates and saves instead of its last weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averaged:
    """An exponential moving average of a model's trained parameters and floating-point buffers.

    Parameters
    ----------
    model : nn.Module
        The model; its present values start the average.
    decay : float
        Weight of the old average in each update, below 1.

    Attributes
    ----------
    values : dict of str to Tensor
        The averages by the names of the parameters and buffers.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {
            **{name: p for name, p in model.named_parameters() if p.requires_grad},
            **{name: b for name, b in model.named_buffers() if b.is_floating_point()},
        }
        self.values = {name: value.detach().clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the model's present values to the average.

        Parameters
        ----------
        step : int
            Optimiser steps done. The decay grows with it up to the full ``decay``, so that the random first weights are
            forgotten soon.
        """
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [v.detach() for v in self._live.values()], weight)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Put the averaged values into the model within a ``with`` block, and the live values back after it."""
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
