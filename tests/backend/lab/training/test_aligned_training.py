"""Tests of the HALO* baseline: pixel-aligned features, training on the initial network's encoder, saving, loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import torch
from runs import small_config, untrained_initial
from safetensors.torch import load_file

from im2hands.app.cli.main import main
from im2hands.networks.aligned_image import AlignedImage
from im2hands.networks.configuration import compact
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.weights.published import load_network
from scene_pictures import make_set

SIZES = compact(side=64, channels=16)


def test_a_query_sees_its_own_place_in_the_picture() -> None:
    torch.manual_seed(0)
    aligned = AlignedImage(4, 6)
    feature_map = torch.randn(1, 4, 8, 8)
    queries = torch.randn(1, 2, 6)
    # The queries lie at the centres of the pixels (row 2, column 5) and (row 6, column 1).
    queries[0, 0, :2] = torch.tensor([(5 + 0.5) / 4 - 1, (2 + 0.5) / 4 - 1])
    queries[0, 1, :2] = torch.tensor([(1 + 0.5) / 4 - 1, (6 + 0.5) / 4 - 1])
    first = torch.cat([feature_map[0, :, 2, 5], queries[0, 0]])
    expected = aligned.second(torch.relu(aligned.first(first)))
    seen = aligned(queries, aligned.encode(feature_map))
    assert torch.allclose(seen[0, 0], expected, atol=1e-5)
    changed = feature_map.clone()
    changed[..., 2, 5] += 1
    again = aligned(queries, aligned.encode(changed))
    assert not torch.allclose(again[0, 0], seen[0, 0])
    assert torch.equal(again[0, 1], seen[0, 1])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained initial network and its encoder."""
    return untrained_initial(tmp_path_factory.mktemp("start"), SIZES)


def test_training_on_the_encoder_of_the_initial_network(start: Path, tmp_path: Path, capfd) -> None:
    data = make_set(tmp_path / "set", 4, 256)
    arguments = ["train", "aligned-occupancy", "--data", str(data), "--device", "cpu", "--threads", "1"]
    arguments += ["--config", str(small_config(tmp_path)), "--output", str(tmp_path / "run"), "--steps", "2"]
    threads = torch.get_num_threads()
    try:
        assert main(arguments) == 2
        assert "builds on a trained initial occupancy network" in capfd.readouterr().err
        assert main([*arguments, "--start-from", str(start)]) == 0
    finally:
        torch.set_num_threads(threads)
    encoder = "image_encoder.safetensors"
    assert (tmp_path / "run" / encoder).read_bytes() == (start / encoder).read_bytes()
    card = json.loads((tmp_path / "run" / "aligned_occupancy.json").read_text(encoding="utf-8"))
    assert card["recipe"]["command"] == "im2hands train aligned-occupancy"
    network = cast(InitialOccupancy, load_network("aligned_occupancy", tmp_path / "run"))
    assert network.sizes.aligned
    stored = load_file(tmp_path / "run" / "aligned_occupancy.safetensors")
    assert not any(name.startswith("image_encoder.") for name in stored)
    assert stored["img_ex_left.second.weight"].abs().sum() > 0
