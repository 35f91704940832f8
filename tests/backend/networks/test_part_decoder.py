"""The part decoder: the published formula, folding and published names."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from im2hands.geometry.bones import bones_from_keypoints
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.lab.training.whitening import WhitenedPartDecoder, Whitening
from im2hands.networks.part_decoder import PartDecoder, bone_local


def _random_decoder(image_features: int = 0) -> PartDecoder:
    torch.manual_seed(0)
    decoder = PartDecoder(image_features).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return decoder


def _by_the_formula(state, transforms, lengths, points, image):
    """The part decoder, formula by formula, for one hand: logits (N, 16)."""
    x0 = torch.cat([points / 0.4, torch.ones(len(points), 1, dtype=points.dtype)], dim=-1)
    pose = torch.cat([transforms[b, :3, 3] for b in range(16)])

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def act(x):
        return functional.leaky_relu(x, 0.1)

    code = linear("bone_encoder.linear2", functional.relu(linear("bone_encoder.linear1", lengths)))
    logits = []
    for b in range(16):
        y = (x0 @ transforms[b].T)[:, :3]
        fixed = torch.cat([lengths[b : b + 1], code, linear(f"global_proj{b}", pose)])
        t = torch.cat([y, fixed.expand(len(points), -1)], dim=-1)
        h0 = act(linear(f"lin{b}_0", t))
        h1 = act(linear(f"lin{b}_1", h0) + h0)
        h2 = act(linear(f"lin{b}_2", h1 if image is None else torch.cat([h1, image], dim=-1)) + h1)
        h3 = act(linear(f"lin{b}_3", h2) + h2)
        logits.append(linear(f"lin{b}_4", h3)[:, 0])
    return torch.stack(logits, dim=-1)


@pytest.mark.parametrize("image_features", [0, 19])
def test_folded_parts_follow_the_published_formula(image_features):
    decoder = _random_decoder(image_features)
    bones = bones_from_keypoints(posed_hands(2, 5).keypoints, ["right"] * 2)
    points = torch.rand(2, 40, 3, dtype=torch.float64) - 0.5
    image = torch.randn(40, image_features, dtype=torch.float64) if image_features else None
    folded = decoder.fold(bones.transforms, bones.lengths)
    local = bone_local(bones.transforms, points)
    for hand in range(2):
        expected = _by_the_formula(
            decoder.published_state_dict(), bones.transforms[hand], bones.lengths[hand], points[hand], image
        )
        owner = torch.full((40,), hand)
        for bone in range(16):
            found = folded.part_logits(bone, owner, local[hand, :, bone], image)
            assert torch.allclose(found, expected[:, bone], atol=1e-10)
        together = folded.all_logits(local, None if image is None else image.expand(2, -1, -1))
        assert torch.allclose(together[hand], expected, atol=1e-10)


def test_published_names_round_trip():
    decoder = _random_decoder()
    state = decoder.published_state_dict()
    again = PartDecoder.from_published(state).published_state_dict()
    assert len(state) == 196  # the size of HALO's published state_dict
    assert state["lin3_2.weight"].shape == (64, 64)
    assert all(torch.equal(state[name].float(), again[name]) for name in state)
    with pytest.raises(KeyError):
        PartDecoder.from_published({name: value for name, value in state.items() if name != "lin7_1.bias"})
    with pytest.raises(ValueError, match="lin7_1"):
        PartDecoder.from_published({**state, "lin7_1.weight": torch.zeros(64, 63)})


def test_image_features_are_asked_for():
    decoder = _random_decoder(19)
    bones = bones_from_keypoints(posed_hands(1, 5).keypoints, ["right"])
    folded = decoder.fold(bones.transforms, bones.lengths)
    with pytest.raises(ValueError, match="image"):
        folded.part_logits(0, torch.zeros(3, dtype=torch.int64), torch.zeros(3, 3, dtype=torch.float64))


def test_whitening_folds_away_exactly():
    bones = bones_from_keypoints(posed_hands(8, 5).keypoints, ["right"] * 8)
    torch.manual_seed(1)
    white = WhitenedPartDecoder(Whitening.measure(torch.randn(16, 3), bones.lengths, bones.transforms))
    with torch.no_grad():
        for parameter in white.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    white = white.double()
    plain = white.plain().double()
    with torch.no_grad():  # plain() rounds to float32, so take the double-precision layers
        weight, bias, pose, pose_bias, code, code_bias = white._plain_layers()
        for target, value in (
            (plain.weights[0], weight), (plain.biases[0], bias), (plain.pose_weight, pose),
            (plain.pose_bias, pose_bias), (plain.code_1.weight, code), (plain.code_1.bias, code_bias),
        ):  # fmt: skip
            target.copy_(value)
    local = torch.randn(30, 3, dtype=torch.float64)
    owner = torch.randint(8, (30,))
    for bone in range(16):
        one = white.fold(bones.transforms, bones.lengths).part_logits(bone, owner, local)
        two = plain.fold(bones.transforms, bones.lengths).part_logits(bone, owner, local)
        assert torch.allclose(one, two, atol=1e-9)
