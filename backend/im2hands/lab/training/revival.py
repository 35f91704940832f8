"""Channels of the reading network that MediaPipe's training let die are given something to do again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.networks.reading_network import Layer, ReadingNetwork

_DEAD = 1e-3  # of the median of a layer's channels that are not, root mean square of the weights
_NOISE = 0.5  # of what a channel is copied from, relative


def revived(model: ReadingNetwork, seed: int) -> ReadingNetwork:
    """The network with each dead channel between two layers made a changed copy of a living one.

    Nothing listens to the new channels at first, so the network says what it said before; training can use them.

    Args:
        model: changed in place. seed: of which copies are made.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for block in model.each_block():
            if block.expand is not None:
                _revive(block.expand, block.depthwise, [block.project], generator)
        _revive(model.widen, model.last, [model.hand, model.right, model.pixels, model.shape], generator)
    return model


def _revive(expand: Layer, depthwise: Layer, listeners: list[Layer], generator: torch.Generator) -> None:
    first, second = expand.weight, depthwise.weight
    assert expand.bias is not None and depthwise.bias is not None
    strength = _size(first) * _size(second)
    alive = strength > _DEAD * strength[strength > 1e-12].median()
    source, dead = (mask.nonzero()[:, 0] for mask in (alive, ~alive))
    if not len(dead) or not len(source):
        return
    # What a dead channel says is the same everywhere, but at the edge of the picture: the listeners keep it in mind.
    constant = functional.relu6(expand.bias[dead])
    constant = functional.relu6(depthwise.bias[dead] + second[dead].flatten(1).sum(dim=1) * constant)
    for layer in listeners:
        assert layer.bias is not None
        layer.bias += layer.weight[:, dead].flatten(1) @ constant
        layer.weight[:, dead] = 0
    copied = source[torch.randint(len(source), (len(dead),), generator=generator)]
    for layer in (expand, depthwise):
        noise = torch.randn(layer.weight[copied].shape, generator=generator)
        own = _size(layer.weight)[copied].view(-1, 1, 1, 1)
        layer.weight[dead] = layer.weight[copied] + _NOISE * own * noise
        assert layer.bias is not None
        layer.bias[dead] = layer.bias[copied]


def _size(weight: Tensor) -> Tensor:
    """Root mean square of each channel's weights."""
    return weight.flatten(1).square().mean(dim=1).sqrt()
