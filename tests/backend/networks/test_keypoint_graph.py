"""Graph layers over keypoints: the adjacency and the receptive field of a layer."""

from __future__ import annotations

import itertools

import torch

from im2hands.networks.keypoint_graph import GraphBlock, GraphLayer, halo_adjacency

CHAINS = ((0, 13, 14, 15, 16), (0, 1, 2, 3, 17), (0, 4, 5, 6, 18), (0, 10, 11, 12, 19), (0, 7, 8, 9, 20))


def test_adjacency_leads_from_child_to_parent():
    expected = torch.zeros(21, 21)
    for chain in CHAINS:
        for parent, child in itertools.pairwise(chain):
            expected[parent, child] = 1
    assert torch.equal(halo_adjacency(), expected)


def test_a_layer_sees_four_generations_down_and_never_up():
    torch.manual_seed(0)
    layer = GraphLayer(6, 4).eval()
    features = torch.randn(1, 21, 6)
    changed = features.clone()
    changed[0, 16] += 1.0  # the thumb's tip
    with torch.no_grad():
        difference = (layer(changed) - layer(features)).abs().amax((0, 2))
    assert set(torch.nonzero(difference > 1e-7)[:, 0].tolist()) == {16, 15, 14, 13, 0}


def test_batch_equals_singles_and_the_adjacency_is_no_parameter():
    torch.manual_seed(1)
    block = GraphBlock(6, 4).eval()
    features = torch.randn(3, 21, 6)
    with torch.no_grad():
        singles = torch.cat([block(one[None]) for one in features])
        assert torch.allclose(block(features), singles, atol=1e-6)
    assert "adjacency" not in block.state_dict()
