"""Reinitialisation of dead channels of MediaPipe's hand landmark network before the reading network is trained.

Half of the channels of its last blocks are dead: their output is constant.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.networks.reading_network import Layer, ReadingNetwork

_DEAD = 1e-3  # a channel is dead below this share of the median weight size of the layer's non-zero channels
_NOISE = 0.5  # perturbation of a copied channel, relative to its weight size


def revived(model: ReadingNetwork, seed: int) -> ReadingNetwork:
    """Reinitialise each dead channel as a perturbed copy of a live one.

    The outgoing weights of the new channels are zero, so the output of the network does not change (except at the edge
    of the picture, by the padding). Training can then use the channels.

    Parameters
    ----------
    model : ReadingNetwork
        Changed in place.
    seed : int
        Seed of the choice of live channels and of the perturbation.

    Returns
    -------
    ReadingNetwork
        ``model``.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for block in model.each_block():
            if block.expand is not None:
                _revive(block.expand, block.depthwise, [block.project], generator)
        _revive(model.widen, model.last, [model.hand, model.right, model.pixels, model.shape], generator)
    return model


def _revive(expand: Layer, depthwise: Layer, listeners: list[Layer], generator: torch.Generator) -> None:
    """Revive the channels between ``expand`` and ``depthwise``; ``listeners`` are the layers that read them."""
    first, second = expand.weight, depthwise.weight
    assert expand.bias is not None and depthwise.bias is not None
    strength = _size(first) * _size(second)
    alive = strength > _DEAD * strength[strength > 1e-12].median()
    source, dead = (mask.nonzero()[:, 0] for mask in (alive, ~alive))
    if not len(dead) or not len(source):
        return
    # The output of a dead channel is constant, except at the edge of the picture: move it into the listeners' biases.
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
