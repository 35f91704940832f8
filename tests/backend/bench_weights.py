"""Published networks with weights made on the spot: hands out of our own part decoders, a head that follows them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.part_decoder import IMAGE_FEATURES, PartDecoder
from im2hands.networks.refined_occupancy import IMAGE_CHANNELS, RefinedOccupancy
from im2hands.weights import BUNDLED
from im2hands.weights.importer import FORMAT
from im2hands.weights.part_occupancy import load_part_occupancy, sha256_of
from safetensors.torch import save_file

STEEPNESS = 20.0


def halo() -> PartDecoder:
    """Our own part decoder with 19 image columns of zeros."""
    decoder, _ = load_part_occupancy(BUNDLED / "part_occupancy.safetensors")
    state = decoder.published_state_dict()
    return PartDecoder.from_published(
        {
            name: torch.nn.functional.pad(value, (0, IMAGE_FEATURES)) if name.endswith("_2.weight") else value
            for name, value in state.items()
        }
    )


def with_hands(network: InitialOccupancy) -> InitialOccupancy:
    """The network with those decoders on both sides: the picture is encoded and has no say."""
    state = halo().published_state_dict()
    for side in ("left", "right"):
        network.side(side).decoder.load_state_dict(state)
    return network.eval()


def initial() -> InitialOccupancy:
    """An initial network of which hands come out."""
    torch.manual_seed(1)
    return with_hands(InitialOccupancy())


@torch.no_grad()
def refined(bias: float = 0.0) -> RefinedOccupancy:
    """A refinement network with the logit STEEPNESS (initial occupancy - 0.5) + bias."""
    torch.manual_seed(2)
    network = RefinedOccupancy(compatibility=True)
    with_hands(network.init_occ)
    decoder = network.trans_dec
    heads = [decoder.init_enc, decoder.fc_out, *decoder.fc_c, *(block.fc_1 for block in decoder.blocks)]
    for layer in heads:
        layer.weight.zero_()
        layer.bias.zero_()
    decoder.init_enc.weight[0, -IMAGE_CHANNELS:] = STEEPNESS / IMAGE_CHANNELS
    decoder.init_enc.bias[0] = -0.5 * STEEPNESS
    decoder.fc_out.weight[0, 0] = 1.0
    decoder.fc_out.bias[0] = bias
    return network.eval()


def save(name: str, state: dict[str, torch.Tensor], folder: Path) -> Path:
    """As ``im2hands weights import`` leaves them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    whole = {key: value.detach().clone().contiguous() for key, value in state.items()}
    save_file(whole, path, {"format": FORMAT, "network": name})
    path.with_suffix(".json").write_text(json.dumps({"name": name, "sha256": sha256_of(path)}), encoding="utf-8")
    return folder
