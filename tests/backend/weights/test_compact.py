"""Compact weights on disk: files, cards, reconstruction with them, and files that do not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from fakes import hand_positions, picture
from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import WeightsError
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.media.source import Frame
from im2hands.networks.configuration import COMPACT, compact
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.surfaces.load import load_reconstructor
from im2hands.weights.compact import (
    NETWORKS,
    build,
    load_encoder,
    save_encoder,
    save_network,
    start_from_part_occupancy,
)
from im2hands.weights.folder import BUNDLED, list_weights
from im2hands.weights.part_occupancy import load_part_occupancy
from im2hands.weights.published import load_network

SMALL = compact(side=64, channels=16)
CAMERA = Camera.from_fov(50, 320, 240)
FRAME = Frame(1, 0.0, picture(320, 240), "shot.png")


def _write(folder: Path, sizes: object = SMALL, seed: int = 1, names: tuple[str, ...] = NETWORKS) -> dict:
    """Write untrained networks that contain the bundled part decoders."""
    torch.manual_seed(seed)
    encoder = sizes.make_encoder()  # type: ignore[attr-defined]
    digest = save_encoder(encoder, sizes, folder, {"data": "none"})  # type: ignore[arg-type]
    networks = {name: build(name, sizes, encoder).eval() for name in names}  # type: ignore[arg-type]
    for name, network in networks.items():
        if name != "keypoint_refinement":
            start_from_part_occupancy(network.init_occ if isinstance(network, RefinedOccupancy) else network)  # type: ignore[arg-type]
        save_network(name, network, sizes, digest, folder, {"data": "none"})  # type: ignore[arg-type]
    return networks


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("compact")
    return folder, _write(folder)


def test_networks_come_back(written: tuple[Path, dict]) -> None:
    folder, networks = written
    image = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    encoder = load_encoder(folder)
    for name, network in networks.items():
        found = load_network(name, folder)
        assert type(found) is type(network) and not found.training
        own = network.state_dict()
        for key, value in found.state_dict().items():
            exact = re.search(r"\.lin\d", key) or "global_proj" in key or "bone_encoder" in key or value.ndim < 2
            assert torch.equal(value, own[key]) if exact else torch.allclose(value, own[key], rtol=1e-3, atol=1e-6), key
    with torch.no_grad():
        assert torch.allclose(encoder(image).dense[-1], found.image_encoder(image).dense[-1], atol=1e-5)


def test_the_listing_shows_them_whole(written: tuple[Path, dict]) -> None:
    folder, _ = written
    rows = {info.name: info for info in list_weights(folder)}
    assert set(rows) == {"image_encoder", *NETWORKS}
    assert all(info.found and not info.problem for info in rows.values())
    assert rows["refined_occupancy"].card["encoder_sha256"] == rows["image_encoder"].sha256


def test_all_compact_weights_are_small(tmp_path: Path) -> None:
    _write(tmp_path, COMPACT)
    total = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert 5e6 < total < 22e6


def _hand(side: Side) -> HandKeypoints:
    return HandKeypoints(side, hand_positions(side), np.zeros((21, 2)), np.ones(21), 1.0, "test")


@pytest.mark.parametrize("stage", ["initial", "refined"])
def test_reconstruction_with_compact_weights(written: tuple[Path, dict], stage: str) -> None:
    folder, _ = written
    device = torch.device("cpu")
    own = load_reconstructor("bundled", device=device, voxel_m=0.005, stage="keypoints")
    made = load_reconstructor(folder, device=device, voxel_m=0.005, stage=stage)
    names = {"image_encoder", f"{stage}_occupancy"}
    assert made.provenance["stage"] == stage and set(made.provenance["weights"]) == names
    hands = TwoHands(_hand("left"), _hand("right"))
    expected, found = (r.reconstruct(FRAME, CAMERA, hands) for r in (own, made))
    for side, mesh in expected.items():
        one, two = (trimesh.Trimesh(m.vertices, m.faces, process=False) for m in (mesh, found[side]))
        assert two.is_watertight and two.volume == pytest.approx(one.volume, rel=0.02)  # with the cut of the forearm


def test_the_command_line_takes_them(written: tuple[Path, dict], keypoint_job: dict, tmp_path: Path) -> None:
    folder, _ = written
    options = ["--keypoints", keypoint_job["options"]["keypoints"], "--voxel-mm", "6", "--device", "cpu"]
    arguments = ["reconstruct", *keypoint_job["inputs"], "--frames", "1", "-o", str(tmp_path / "t"), *options]
    assert main([*arguments, "--weights", str(folder), "--stage", "refined"]) == 0
    take = json.loads((tmp_path / "t" / "take.json").read_text())
    assert take["frames"][0]["status"] == "ok"


def test_networks_of_another_encoder_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, names=("initial_occupancy",))
    torch.manual_seed(2)
    save_encoder(SMALL.make_encoder(), SMALL, tmp_path, {})  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="another image encoder"):
        load_network("initial_occupancy", tmp_path)


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    _write(tmp_path, names=("initial_occupancy",))
    path = tmp_path / "image_encoder.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_network("initial_occupancy", tmp_path)
    path.unlink()
    with pytest.raises(WeightsError, match="image_encoder are missing"):
        load_network("initial_occupancy", tmp_path)


def test_an_unknown_configuration_is_told(tmp_path: Path) -> None:
    network = _write(tmp_path, names=("initial_occupancy",))["initial_occupancy"]
    assert isinstance(network, InitialOccupancy)
    other = compact(side=96, channels=16)
    digest = json.loads((tmp_path / "image_encoder.json").read_text())["sha256"]
    save_network("initial_occupancy", network, other, digest, tmp_path, {})
    with pytest.raises(WeightsError, match="do not fit"):
        load_network("initial_occupancy", tmp_path)


def test_new_parts_of_a_trained_network_keep_what_reads_the_image() -> None:
    torch.manual_seed(4)
    network = SMALL.make_initial(SMALL.make_encoder())
    columns = {side: network.get_submodule(f"{side}_decoder").weights[2][:, :, -19:].clone() for side in SIDES}
    start_from_part_occupancy(network, keep_image_columns=True)
    bundled, _ = load_part_occupancy(BUNDLED / "part_occupancy.safetensors")
    for side in SIDES:
        decoder = network.get_submodule(f"{side}_decoder")
        assert torch.equal(decoder.weights[2][:, :, -19:], columns[side]) and columns[side].abs().max() > 0
        assert torch.equal(decoder.weights[2][:, :, :-19], bundled.weights[2])
        assert torch.equal(decoder.shape_encoder.linear4.weight, bundled.shape_encoder.linear4.weight)
