"""The two-hand network: shapes, sampling positions, palms and grids in the picture's frame, half-precision weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.core.errors import WeightsError
from im2hands.networks.compact_encoder import InvertedBottleneck
from im2hands.networks.two_hand_network import GRID, TwoHandNetwork, sample
from im2hands.weights.folder import list_weights
from im2hands.weights.keypoint_networks import TWO_HAND


@pytest.fixture(scope="module")
def model() -> TwoHandNetwork:
    torch.manual_seed(3)
    return TwoHandNetwork().eval()


def test_samples_lie_where_pixels_lie() -> None:
    rows = torch.arange(56.0)[:, None].expand(56, 56) * 4 + 1.5  # the pixel at the centre of each place of the map
    level = torch.stack([rows.T, rows])[None]
    points = torch.tensor([[[1.5, 1.5], [100.0, 33.25], [221.5, 140.0]]])
    torch.testing.assert_close(sample(level, points, 224), points)
    outside = sample(level, torch.tensor([[[-50.0, 900.0]]]), 224)
    torch.testing.assert_close(outside, torch.tensor([[[1.5, 221.5]]]))


def test_a_fresh_network_sees_no_palm_and_lays_its_grid_along_the_palm(model: TwoHandNetwork) -> None:
    with torch.inference_mode():
        maps = model(torch.rand(2, 3, 224, 224) * 255)
        assert maps.heat.shape == (2, 56, 56) and maps.masks.shape == (2, 2, 56, 56)
        assert torch.sigmoid(maps.heat).max() < 0.2
        points = torch.tensor([[[30.0, 40.0]], [[100.0, 90.0]]])
        palms = model.palms(maps, points)
        assert palms.centre.shape == (2, 1, 2, 2) and palms.embedding.shape == (2, 1, 256)
        torch.testing.assert_close(palms.centre[:, :, 0], points, atol=8.0, rtol=0)
        assert (palms.size > 0).all() and (palms.spread > 0).all()
        up, size = torch.tensor([[[0.0, -1.0]], [[1.0, 0.0]]]), torch.full((2, 1), 20.0)
        role = torch.zeros(2, 1, dtype=torch.int64)
        hands = model.hands(maps, points, size, up, palms.embedding, role)
        assert hands.pixels.shape == (2, 1, 21, 2) and hands.wrist_offset.shape == (2, 1, 3)
        # An untrained network puts every keypoint near the centre of the palm, whatever the direction of the palm.
        assert (hands.pixels - points[:, :, None]).abs().max() < 20


def test_the_grid_turns_with_the_palm(model: TwoHandNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def record(level: torch.Tensor, points: torch.Tensor, side: int) -> torch.Tensor:
        seen.append(points)
        return sample(level, points, side)

    with torch.inference_mode():
        maps = model(torch.rand(1, 3, 224, 224) * 255)
        embedding, role = torch.zeros(1, 1, 256), torch.zeros(1, 1, dtype=torch.int64)
        monkeypatch.setattr("im2hands.networks.two_hand_network.sample", record)
        centre, size = torch.tensor([[[112.0, 112.0]]]), torch.tensor([[10.0]])
        for up in ((0.0, -1.0), (1.0, 0.0)):
            model.hands(maps, centre, size, torch.tensor([[up]]), embedding, role)
    upright, turned = (points.view(GRID, GRID, 2) - 112 for points in (seen[0], seen[3]))
    # The first row lies beyond the fingertips. Its first place is to the left of the palm if the fingers point up.
    assert upright[0, 0].tolist() == pytest.approx([-13.125, -17.0625])
    torch.testing.assert_close(turned, torch.stack([-upright[..., 1], upright[..., 0]], -1))


def test_weights_go_to_disk_in_half_precision_and_come_back(model: TwoHandNetwork, tmp_path: Path) -> None:
    path = TWO_HAND.save(model, tmp_path, {"licence": "Apache-2.0"})
    assert path.stat().st_size < 9e6
    [info] = list_weights(tmp_path)
    assert (info.name, info.problem, info.card["licence"]) == ("two_hand_network", "", "Apache-2.0")
    loaded = TWO_HAND.load(path)
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(loaded.state_dict()[name].numpy(), value.numpy(), rtol=1e-3, atol=1e-6)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="damaged"):
        TWO_HAND.load(path)
    with pytest.raises(WeightsError, match="missing"):
        TWO_HAND.load(tmp_path / "none.safetensors")
    other = Path(__file__).parents[3] / "backend" / "im2hands" / "weights" / "bundled" / "part_occupancy.safetensors"
    with pytest.raises(WeightsError, match="another network"):
        TWO_HAND.load(other)
    assert json.loads((tmp_path / "two_hand_network.json").read_text())["file"] == TWO_HAND.file


def test_the_folded_network_sees_the_same(model: TwoHandNetwork) -> None:
    made = TwoHandNetwork().eval()
    made.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(5)
    for module in made.trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    folded = made.folded()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.trunk.modules())
    with torch.inference_mode():
        images = torch.rand(1, 3, 96, 96, generator=generator) * 255
        before, after = made(images), folded(images)
        again = folded.folded()(images)
    for one, other, third in zip(before.pyramid, after.pyramid, again.pyramid, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(third, other)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_folded_block_needs_no_padded_copy_of_its_input(
    kernel: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(kernel)
    block = InvertedBottleneck(8, 8, kernel, stride, 2).eval()
    image = torch.randn(2, 8, 12, 20, generator=generator)
    with torch.inference_mode():
        before = block(image)
        block.fold()
        monkeypatch.setattr(torch.nn.functional, "pad", None)
        torch.testing.assert_close(block(image), before)
