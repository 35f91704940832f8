"""Untrained networks of the published layout, with generated weights, for tests and benchmarks only.

Their sizes and their computing time are those of the published networks. Their part decoders are those of
``part_occupancy.safetensors`` in this folder (run 3 of the recipe in docs/training.md, which knows bone lengths only),
with zero weights for the image features, so the networks produce hands. The remaining weights are random or set by
hand, so that the result is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file

from im2hands.core.files import sha256_of
from im2hands.core.hands import SIDES, Side
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.keypoint_refinement import KeypointRefinement
from im2hands.networks.part_decoder import IMAGE_FEATURES, PartDecoder
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.two_hand_picture import IMAGE_CHANNELS
from im2hands.weights.importer import FORMAT
from im2hands.weights.part_occupancy import FILE as PART_OCCUPANCY_FILE
from im2hands.weights.part_occupancy import load_part_occupancy

STEEPNESS = 20.0
"""Slope of the refined logit over the initial occupancy."""

_TURNS = 30.0  # Scale of the position encoding: the hidden channels vary within centimetres, as trained ones do.
_PICKS = 10.0  # Scale of the attention weights: the attention prefers some anchors.


def halo() -> PartDecoder:
    """Return a trained part decoder of the published layout, extended by 19 image features whose weights are zero."""
    decoder, _ = load_part_occupancy(Path(__file__).parent / PART_OCCUPANCY_FILE)
    state = decoder.published_state_dict()
    return PartDecoder.from_published(
        {
            name: torch.nn.functional.pad(value, (0, IMAGE_FEATURES)) if name.endswith("_2.weight") else value
            for name, value in state.items()
        }
    )


def with_hands(network: InitialOccupancy) -> InitialOccupancy:
    """Set both part decoders of a network to ``halo``, so that the encoded picture does not change the result.

    Parameters
    ----------
    network : InitialOccupancy
        Changed in place.

    Returns
    -------
    InitialOccupancy
        The same network, in evaluation mode.
    """
    state = halo().published_state_dict()
    for side in ("left", "right"):
        network.side(side).decoder.load_state_dict(state)
    return network.eval()


def initial() -> InitialOccupancy:
    """Return an initial occupancy network that produces hands."""
    torch.manual_seed(1)
    return with_hands(InitialOccupancy())


@torch.no_grad()
def refined(bias: float = 0.0, attention: float = 0.0) -> RefinedOccupancy:
    """Return a refined occupancy network with a known result.

    Its logit is ``STEEPNESS * (initial occupancy - 0.5) + bias + attention * a``, where ``a`` is a fixed random linear
    combination of the features that a query point gets from the anchors by attention.

    Parameters
    ----------
    bias : float
        Constant added to the logit.
    attention : float
        Weight of the attention features; 0 leaves them out.

    Returns
    -------
    RefinedOccupancy
        In evaluation mode.
    """
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
    if attention:
        decoder.ct1.fc_delta.first.weight.mul_(_TURNS)
        decoder.ct1.fc_gamma.second.weight.mul_(_PICKS)
        read = decoder.init_enc.weight[0, : -2 * IMAGE_CHANNELS]
        read.copy_(attention * torch.randn(len(read)))
    return network.eval()


@torch.no_grad()
def shifting(offsets: Mapping[tuple[Side, int], Sequence[float]]) -> KeypointRefinement:
    """Return a keypoint refinement network that moves some keypoints by fixed offsets and keeps the others.

    Parameters
    ----------
    offsets : Mapping of (Side, int) to (3,) float
        Offset in millimetres by side and keypoint (HALO order).

    Returns
    -------
    KeypointRefinement
        In evaluation mode.
    """
    torch.manual_seed(3)
    network = KeypointRefinement()
    identity = network.sizes.identity
    for layer in network.gcn_layers:
        for side in SIDES:  # Zero the last layers of the image attention: the image adds nothing to the features.
            attention = cast(Any, layer.get_submodule(f"img_ex_{side}")).attn.Attn
            for last in (attention.fc, attention.ff.fc2):
                last.weight.zero_()
                last.bias.zero_()
    shifts: list[Sequence[float]] = []
    for side in SIDES:
        names: Any = network.get_submodule(f"{side}_id_emb")
        points: Any = network.get_submodule(f"{side}_pt_emb")
        names.weight.zero_()
        for (of, keypoint), offset in offsets.items():
            if of == side:
                names.weight[keypoint, len(shifts)] = 1.0
                shifts.append(offset)
        for layer in (points[0], points[3]):
            layer.weight.zero_()
            layer.bias.zero_()
        # The identity through a ReLU needs the positive and the negative part in separate channels.
        points[0].weight[:3, :, 0], points[0].weight[3:6, :, 0] = torch.eye(3), -torch.eye(3)
        points[3].weight[:6, :6, 0] = torch.eye(6)
    regression: Any = network.left_reg
    first, last = regression[0], regression[3]
    for layer in (first, last):
        layer.weight.zero_()
        layer.bias.zero_()
    first.weight[:6, identity : identity + 6, 0] = torch.eye(6)
    last.weight[:, :3, 0], last.weight[:, 3:6, 0] = torch.eye(3), -torch.eye(3)
    for number, offset in enumerate(shifts):
        first.weight[6 + number, number, 0] = 1.0
        last.weight[:, 6 + number, 0] = torch.tensor(offset)
    return network.eval()


def save(name: str, state: dict[str, torch.Tensor], folder: Path) -> Path:
    """Write weights in the format of ``im2hands weights import``.

    Parameters
    ----------
    name : str
        Name of the network; also the file's name.
    state : dict of str to Tensor
        State of the network.
    folder : Path
        Weights folder; created if it does not exist.

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    whole = {key: value.detach().clone().contiguous() for key, value in state.items()}
    save_file(whole, path, {"format": FORMAT, "network": name})
    path.with_suffix(".json").write_text(json.dumps({"name": name, "sha256": sha256_of(path)}), encoding="utf-8")
    return folder
