"""A copy of a convolutional network for inference on a processor in another precision, with less work.

Batch normalisation becomes part of the convolution before it. Convolutions of single pixels become matrix products: a
convolution arranges its weights anew in each call, which takes longer than its products where the map is small.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class Pointwise(nn.Module):
    """A convolution with kernel size 1, as a product with a matrix; quick for maps whose channels lie side by side.

    Parameters
    ----------
    convolution : nn.Conv2d
        The convolution.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach()[:, :, 0, 0].contiguous(), requires_grad=False)
        self.bias = convolution.bias
        self._down, self._right = convolution.stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels in, H, W) to (B, channels out, H / stride, W / stride)."""
        pixels = x[:, :, :: self._down, :: self._right].movedim(1, -1).contiguous()  # else one product for each row
        return functional.linear(pixels, self.weight, self.bias).movedim(-1, 1)


def inference_copy(network: Network, precision: torch.dtype) -> Network:
    """Copy a network in evaluation mode; its convolutions have another precision.

    Normalisation follows a convolution if it is the next child of the same module.

    Parameters
    ----------
    network : nn.Module
        The network. Its children are called in the order in which they are defined.
    precision : torch.dtype
        Precision of the convolutions.

    Returns
    -------
    nn.Module
        The copy, for maps whose channels lie side by side (``torch.channels_last``).
    """
    copy = deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in list(copy.modules()):
        for (name, child), (next_name, following) in pairwise([*module.named_children(), ("", None)]):
            if not isinstance(child, nn.Conv2d):
                continue
            if isinstance(following, nn.BatchNorm2d):
                child = fuse_conv_bn_eval(child, following)
                setattr(module, next_name, nn.Identity())
            child = child.to(precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
            plain = child.kernel_size == (1, 1) and child.padding == (0, 0) and child.groups == 1
            setattr(module, name, Pointwise(child) if plain else child)
    return copy
