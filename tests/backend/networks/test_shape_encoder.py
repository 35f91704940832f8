"""The shape encoder: a new one changes nothing, thickness and skeletons change surfaces, far skeletons are cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from im2hands.geometry.bones import QUERY_SCALE, THICKNESS_COUNT, bones_from_keypoints, even_thickness
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.networks.folded_parts import HIDDEN
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.published_layout import PublishedPartDecoder
from im2hands.networks.shape_encoder import ShapeEncoder, skeleton_of


@pytest.fixture(scope="module")
def hands():
    posed = posed_hands(3, 8)
    return posed, bones_from_keypoints(posed.keypoints, ["right"] * 3)


def _stirred(decoder: PartDecoder) -> PartDecoder:
    """The decoder with a shape encoder whose last layers are not zero."""
    torch.manual_seed(3)
    assert decoder.shape_encoder is not None
    for layer in (decoder.shape_encoder.linear4, decoder.shape_encoder.usual):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return decoder


def test_a_new_encoder_changes_nothing(hands):
    _, bones = hands
    torch.manual_seed(1)
    plain = PartDecoder()
    shaped = PartDecoder(shape=True)
    shaped.load_state_dict(plain.state_dict(), strict=False)
    thick = replace(bones, thickness=torch.full((3, THICKNESS_COUNT), 1.3, dtype=torch.float64))
    local = torch.randn(48, 3, dtype=torch.float64)
    bone, hand = torch.arange(16).repeat_interleave(3), torch.arange(3).repeat(16)
    folded, turn, shift = plain.of_hands(bones)
    made, own_turn, own_shift = shaped.of_hands(thick)
    assert torch.equal(turn, own_turn) and torch.equal(shift, own_shift)
    assert torch.equal(folded.pair_logits(bone, hand, local.float()), made.pair_logits(bone, hand, local.float()))


def test_fitted_maps_are_the_affine_map_of_the_straight_frames(hands):
    _, bones = hands
    shaped = _stirred(PartDecoder(shape=True))
    assert shaped.shape_encoder is not None
    code = shaped.shape_encoder(skeleton_of(bones), torch.zeros(3, THICKNESS_COUNT))
    turn, shift = bones.transforms[..., :3, :3] / QUERY_SCALE, bones.transforms[..., :3, 3]
    point = torch.tensor([0.02, -0.1, 0.05], dtype=torch.float64)
    straight = turn @ point + shift
    expected = straight + (code.warp[..., :3].double() @ straight[..., None])[..., 0] + code.warp[..., 3].double()
    own_turn, own_shift = code.fitted(turn, shift)
    assert torch.allclose(own_turn @ point + own_shift, expected, atol=1e-9)


def test_thickness_and_skeleton_are_read(hands):
    _, bones = hands
    encoder = _stirred(PartDecoder(shape=True)).shape_encoder
    assert encoder is not None
    zero = torch.zeros(3, THICKNESS_COUNT)
    encoder.measure(skeleton_of(bones), zero, torch.zeros(16, 3), torch.ones(16, 1))
    usual = encoder(skeleton_of(bones), zero)
    assert usual.offset.shape == (3, 16, HIDDEN) and usual.warp.shape == (3, 16, 3, 4)
    thick = encoder(skeleton_of(bones), even_thickness(torch.full((3,), 1.2)).log())
    other = encoder(1.2 * skeleton_of(bones), zero)
    for code in (thick, other):
        assert not torch.allclose(usual.offset, code.offset, atol=1e-4)
        assert not torch.allclose(usual.warp, code.warp, atol=1e-4)


def test_a_skeleton_beyond_all_others_is_taken_for_the_nearest(hands):
    _, bones = hands
    encoder = ShapeEncoder(HIDDEN)
    skeletons = skeleton_of(bones).float()
    encoder.measure(skeletons, torch.zeros(3, THICKNESS_COUNT), torch.zeros(16, 3), torch.ones(16, 1))
    torch.nn.init.normal_(encoder.linear4.weight)
    zero = torch.zeros(3, THICKNESS_COUNT)
    far, farther = (encoder(skeletons + metres, zero).offset for metres in (1.0, 5.0))
    assert torch.equal(far, farther)


def test_usual_thickness_begins_with_the_mean_of_the_training():
    posed = posed_hands(64, 9)
    skeletons = skeleton_of(bones_from_keypoints(posed.keypoints, ["right"] * 64)).float()
    encoder = ShapeEncoder(HIDDEN)
    encoder.measure(skeletons, posed.thickness.log(), torch.zeros(16, 3), torch.ones(16, 1))
    assert torch.allclose(encoder.usual_thickness(skeletons)[5], posed.thickness.log().mean(0).float(), atol=1e-6)


def test_skeletons_need_joints(hands):
    _, bones = hands
    with pytest.raises(ValueError, match="joints"):
        PartDecoder(shape=True).of_hands(replace(bones, joints=None))


def test_weights_with_an_encoder_are_the_same_under_published_names(hands):
    _, bones = hands
    shaped = _stirred(PartDecoder(shape=True))
    again = PartDecoder.from_published(shaped.published_state_dict())
    inside = PublishedPartDecoder(shape=True)
    inside.load_state_dict(shaped.published_state_dict())
    for other in (again, inside):
        for first, second in zip(shaped.of_hands(bones)[1:], other.of_hands(bones)[1:], strict=True):
            assert torch.equal(first, second)
    assert set(inside.state_dict()) == set(shaped.published_state_dict())
    assert not any("shape_encoder" in name for name in PublishedPartDecoder().state_dict())
