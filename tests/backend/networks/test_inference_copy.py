"""The copy of a convolutional network for inference computes the same with less work."""

from __future__ import annotations

import torch
from torch import nn

from im2hands.networks.inference_copy import Pointwise, inference_copy


@torch.no_grad()
def test_the_copy_computes_the_same_and_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 6, 1, 2, bias=False), nn.BatchNorm2d(6)),
        nn.Conv2d(6, 4, 1), nn.ReLU(), nn.BatchNorm2d(4),
    ).eval()  # fmt: skip
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    names = [type(layer) for layer in network.modules()]
    image = torch.randn(2, 3, 16, 12)
    copy = inference_copy(network, torch.float32)
    assert torch.allclose(copy(image.to(memory_format=torch.channels_last)), network(image), atol=1e-5)
    assert sum(isinstance(layer, Pointwise) for layer in copy.modules()) == 2
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in copy.modules()) == 1  # it follows a ReLU
    assert [type(layer) for layer in network.modules()] == names
