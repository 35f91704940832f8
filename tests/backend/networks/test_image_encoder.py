"""The image encoder: parity with the published network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import fill, image_tensor, load, state_table, worst
from im2hands.networks.image_encoder import EncoderHeads, EncoderMaps, ImageEncoder

TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def golden():
    return load("image_encoder")


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    network = ImageEncoder().eval()
    fill(network, lambda name: f"image_encoder.{name}")
    return network


@pytest.fixture(scope="module")
def outputs(encoder, golden) -> tuple[EncoderMaps, EncoderHeads]:
    with torch.no_grad():
        maps = encoder(image_tensor(golden["image_rgb_u8"]))
        return maps, encoder.heads(maps)


def test_names_and_shapes_are_the_published_ones(encoder):
    prefix = "image_encoder."
    table = {k.removeprefix(prefix): v for k, v in state_table("init_occ").items() if k.startswith(prefix)}
    assert len(table) == 372
    assert {name: tuple(value.shape) for name, value in encoder.state_dict().items()} == table


@pytest.mark.parity
def test_heads(golden, outputs):
    assert worst(image_tensor(golden["image_rgb_u8"])[0, :, ::16, ::16], golden["img_sub"]) <= 1e-6
    heads = outputs[1]
    for name, value in (("hms", heads.heatmaps), ("mask", heads.masks), ("dp", heads.dense)):
        assert worst(value[0, :, ::2, ::2], golden[name]) <= TOLERANCE, name


@pytest.mark.parity
@pytest.mark.parametrize(("group", "field"), [("img", "image"), ("hms", "heatmap"), ("dp", "dense")])
@pytest.mark.parametrize("level", range(4))
def test_feature_maps(golden, outputs, group, field, level):
    found = getattr(outputs[0], field)[level][0]
    channels, height = found.shape[:2]
    name = f"{group}_fmap{level}"
    assert worst(found[:: channels // 64, :: height // 8, :: height // 8], golden[f"{name}_sub"]) <= TOLERANCE
    assert worst(found.mean((1, 2)), golden[f"{name}_chmean"]) <= TOLERANCE
    assert worst(found.std((1, 2)), golden[f"{name}_chstd"]) <= TOLERANCE


def test_every_array_is_compared(golden):
    maps = {
        f"{g}_fmap{i}_{part}" for g in ("img", "hms", "dp") for i in range(4) for part in ("sub", "chmean", "chstd")
    }
    assert set(golden) == maps | {"image_rgb_u8", "img_sub", "hms", "mask", "dp"}
    assert all(np.isfinite(value).all() for value in golden.values())
