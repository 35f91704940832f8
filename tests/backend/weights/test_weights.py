"""Weights folders: bundled weights match their cards; missing, changed and foreign weights give clear errors."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from im2hands.core.errors import WeightsError
from im2hands.geometry.bone_reach import BoneReach
from im2hands.networks.part_decoder import PartDecoder
from im2hands.weights.folder import BUNDLED, list_weights, require_weights
from im2hands.weights.keypoint_networks import ALL
from im2hands.weights.part_occupancy import NAME, load_part_occupancy, save_part_occupancy


def test_the_bundled_weights_are_complete():
    infos = list_weights()
    seeing = ["aligned_occupancy", "image_encoder"]
    others = ["lifting_network", "pair_judge", NAME, "reading_network", "refined_occupancy", "two_hand_network"]
    assert [info.name for info in infos] == [*seeing, *others]
    assert all(info.found and not info.problem for info in infos)
    for info in infos:
        for field in ("data", "licence", "recipe", "figures", "date", "sha256"):
            assert info.card.get(field), f"the card of {info.name} lacks {field}"
    assert sum(info.path.stat().st_size for info in infos) < 40e6


def test_weights_round_trip(tmp_path):
    torch.manual_seed(0)
    decoder, reach = PartDecoder(), BoneReach((0.3,) * 16, 0.02)
    path = save_part_occupancy(decoder, reach, tmp_path, {"licence": "CC0-1.0"})
    again, its_reach = load_part_occupancy(path)
    assert its_reach == reach
    for name, value in decoder.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert require_weights(NAME, tmp_path).card["licence"] == "CC0-1.0"


def test_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match="missing") as caught:
        require_weights(NAME, tmp_path)
    assert caught.value.hint and caught.value.exit_code == 3
    with pytest.raises(WeightsError, match="no weights folder"):
        list_weights(tmp_path / "nowhere")


def test_changed_weights(tmp_path):
    shutil.copytree(BUNDLED, tmp_path, dirs_exist_ok=True)
    path = tmp_path / f"{NAME}.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="sha256"):
        require_weights(NAME, tmp_path)


def test_cut_off_and_foreign_weights(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((BUNDLED / f"{NAME}.safetensors").read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        load_part_occupancy(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="another network"):
        load_part_occupancy(path)


def test_a_card_that_cannot_be_read(tmp_path):
    shutil.copytree(BUNDLED, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"{NAME}.json").write_text("{", encoding="utf-8")
    (own,) = (info for info in list_weights(tmp_path) if info.name == NAME)
    assert "card" in own.problem
    (tmp_path / f"{NAME}.json").write_text(json.dumps({"sha256": "0"}), encoding="utf-8")
    (own,) = (info for info in list_weights(tmp_path) if info.name == NAME)
    assert "damaged or changed" in own.problem


@pytest.mark.parametrize("network", ALL, ids=lambda network: network.name)
def test_a_flipped_bit_in_a_network_that_finds_hands_is_noticed(tmp_path, network):
    for path in (network.bundled, network.bundled.with_suffix(".json")):
        shutil.copy(path, tmp_path)
    network.load(tmp_path / network.file)
    data = bytearray((tmp_path / network.file).read_bytes())
    data[-100] ^= 1
    (tmp_path / network.file).write_bytes(data)
    with pytest.raises(WeightsError, match="damaged or changed"):
        network.load(tmp_path / network.file)
    (tmp_path / network.bundled.with_suffix(".json").name).write_text("{}")
    with pytest.raises(WeightsError, match="card"):
        network.load(tmp_path / network.file)
