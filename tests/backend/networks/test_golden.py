"""The fill rule of the parity tests gives the values that the golden files were made with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import fill, fill_values

SELF_TEST = {
    ("image_final_layer.weight", (32, 256, 1, 1)): (0.06917915, 0.05548395, 0.03530105),
    ("left_decoder.lin0_2.weight", (64, 83)): (-0.17441823, -0.25265098, -0.04515428),
    ("trans_enc.fc1.weight", (256, 120)): (-0.02337164, 0.06622406, -0.04277317),
    ("image_encoder.resnet.bn1.running_var", (64,)): (1.29363680, 1.39580059, 1.15284920),
    ("image_encoder.resnet.bn1.running_mean", (64,)): (0.00083401, -0.06651844, 0.01999579),
    ("image_encoder.resnet.bn1.weight", (64,)): (1.07036173, 1.05970430, 0.93095911),
    ("context_enc.0.bias", (256,)): (-0.00755310, -0.05297402, -0.06475089),
}


@pytest.mark.parametrize(("key", "expected"), SELF_TEST.items())
def test_fill_gives_the_published_values(key, expected):
    values = fill_values(*key)
    assert values.dtype == np.float32 and values.shape == key[1]
    assert np.allclose(values.ravel()[:3], expected, rtol=0, atol=6e-9)


def test_fill_uses_full_names():
    layer = torch.nn.Linear(256, 8)
    fill(layer, lambda name: f"context_enc.0.{name}")
    assert np.array_equal(layer.bias.detach().numpy(), fill_values("context_enc.0.bias", (8,)))
    norm = torch.nn.BatchNorm1d(4)
    norm.num_batches_tracked += 3
    fill(norm)
    assert norm.num_batches_tracked == 0 and (norm.running_var > 0.5).all()
