"""Projection and sampling of image features."""

from __future__ import annotations

import pytest
import torch

from im2hands.networks.image_sampling import flipped, project, sample_features

SIZE = 16


@pytest.fixture
def ramp() -> torch.Tensor:
    """A map (1, 2, 16, 16) that holds the column and row of each pixel."""
    line = torch.arange(float(SIZE))
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def test_projection():
    intrinsics = torch.tensor([[[900.0, 0.0, 128.0], [0.0, 905.0, 126.0], [0.0, 0.0, 1.0]]])
    pixels, front = project(torch.tensor([[[0.1, -0.2, 0.5], [0.1, 0.2, -0.5], [0.1, 0.2, 0.0]]]), intrinsics)
    assert front.tolist() == [[True, False, False]] and pixels.isfinite().all()
    assert torch.allclose(pixels[0, 0], torch.tensor([900 * 0.2 + 128, -905 * 0.4 + 126]))


def test_pixel_centres_are_at_whole_numbers(ramp):
    pixels = torch.tensor([[[0.0, 0.0], [3.0, 7.0], [14.5, 2.25], [15.0, 15.0]]])
    front = torch.ones(1, 4, dtype=torch.bool)
    assert torch.allclose(sample_features(ramp, pixels, front, SIZE), pixels, atol=1e-5)


def test_the_published_grid_shrinks_towards_the_start(ramp):
    pixels = torch.tensor([[[0.0, 0.0], [3.0, 7.0], [14.5, 2.25], [15.0, 15.0]]])
    front = torch.ones(1, 4, dtype=torch.bool)
    found = sample_features(ramp, pixels, front, SIZE, published_grid=True)
    assert torch.allclose(found, pixels * (SIZE - 1) / SIZE, atol=1e-5)


@pytest.mark.parametrize("published_grid", [False, True])
def test_outside_and_behind_is_zero(ramp, published_grid):
    pixels = torch.tensor([[[8.0, 8.0], [-9.0, 8.0], [8.0, 1e12], [float("inf"), 8.0], [8.0, 8.0]]])
    front = torch.tensor([[True, True, True, True, False]])
    found = sample_features(ramp + 1, pixels, front, SIZE, published_grid=published_grid)
    assert found[0, 0].all() and not found[0, 1:].any()


def test_a_smaller_map_covers_the_same_picture(ramp):
    half = torch.nn.functional.avg_pool2d(ramp, 2)
    pixels = torch.tensor([[[4.0, 9.0], [11.5, 3.0]]])
    assert torch.allclose(sample_features(half, pixels, torch.ones(1, 2, dtype=torch.bool), SIZE), pixels, atol=1e-5)


def test_flip():
    assert flipped(torch.tensor([1.0, 2.0, 3.0])).tolist() == [1.0, -2.0, -3.0]
