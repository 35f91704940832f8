"""Tests of the labelled points around single hands: signs, spread, the cut of the forearm, jittered keypoints."""

from __future__ import annotations

import torch

from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.lab.datasets.hand_thickness import measure_thickness
from im2hands.lab.datasets.inexact_hands import forget_thickness, jitter_keypoints, other_skeletons
from im2hands.lab.datasets.part_occupancy import STUMP, WIDE, cut_distance, make_points, posed_hands, vertex_parts
from im2hands.lab.synthesis.poses import mean_shape


def test_points_lie_on_both_sides_and_near_the_surface():
    data = make_points(4, 3000, 7)
    inside = (data.distance < 0).float().mean()
    assert 0.15 < inside < 0.6
    assert (data.distance[:, :1000].abs() < 0.006).all()  # the first third lies close to the surface
    assert data.keypoints[:, 0].abs().max() < 1e-9  # in the canonical frame the wrist is the origin


def test_the_cut_takes_the_forearm_away():
    distance, x = torch.tensor([-0.005, -0.005, 0.002]), torch.tensor([STUMP + 0.003, -0.05, 0.0])
    assert torch.allclose(cut_distance(distance, x), torch.tensor([0.003, -0.005, 0.002]))


def test_the_same_seed_gives_the_same_points():
    one, two = make_points(2, 90, 3), make_points(2, 90, 3)
    assert torch.equal(one.points, two.points) and torch.equal(one.distance, two.distance)


def test_jitter_is_as_strong_as_stated():
    keypoints = posed_hands(400, 11).keypoints
    generator = torch.Generator().manual_seed(0)
    noise_only = jitter_keypoints(keypoints, generator, noise=0.004, definition=0.0) - keypoints
    per_hand = noise_only.flatten(1).std(dim=1)
    assert float(per_hand.max()) < 0.0055 and 0.1 < float((per_hand == 0).float().mean()) < 0.4
    moved = jitter_keypoints(keypoints, generator, noise=0.0, definition=1.0) - keypoints
    still = moved.flatten(1).abs().max(dim=1).values == 0
    assert 0.35 < float(still.float().mean()) < 0.65
    assert 0.001 < float(moved[~still].norm(dim=-1).mean()) < 0.01


def test_wide_hands_are_wider_apart_in_every_thickness():
    usual = posed_hands(64, 3).thickness.log().std(dim=0)
    wide = posed_hands(64, 3, spread=WIDE, other_proportions=True).thickness.log().std(dim=0)
    assert (wide > 1.15 * usual).all()
    shares = make_points(3 * 64, 3, 9, wide=1 / 3).thickness.unflatten(0, (3, 64)).log().std(dim=1)
    *_, usual_share, wide_share = shares[:, 2].sort().values
    assert wide_share > 1.15 * usual_share  # one chunk of three is wide


def test_other_skeletons_move_the_joints_of_the_stated_share_of_hands():
    keypoints = posed_hands(300, 12).keypoints
    transforms = bones_from_keypoints(keypoints, ["right"] * 300).transforms
    palm = keypoints[:, 9].norm(dim=-1)
    moved = (other_skeletons(keypoints, transforms, torch.Generator().manual_seed(1), 0.4) - keypoints).norm(dim=-1)
    changed = moved.amax(1) > 0
    assert 0.3 < float(changed.double().mean()) < 0.5
    assert 0.03 < float((moved / palm[:, None])[changed].mean()) < 0.10


def test_of_four_hands_in_ten_no_thickness_is_known_and_of_one_half():
    thickness = 0.1 + 0.02 * torch.randn(4000, 17, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    kept = forget_thickness(thickness, torch.Generator().manual_seed(1))
    nothing, everything = (kept == 0).all(1), (kept == thickness).all(1)
    assert 0.37 < float(nothing.double().mean()) < 0.43
    assert 0.47 < float(everything.double().mean()) < 0.53
    some = kept[~(nothing | everything)]
    assert 0.4 < float((some == 0).double().mean()) < 0.6


def test_a_thickness_that_is_not_known_is_usual():
    unknown = torch.full((50, 17), torch.nan, dtype=torch.float64)
    assert (forget_thickness(unknown, torch.Generator().manual_seed(1)) == 0).all()


def test_thickness_of_usual_hands():
    usual, mean = posed_hands(2, 5), posed_hands(2, 5, mean=True)
    assert usual.thickness.shape == (2, 17) and torch.allclose(mean.thickness[0], mean.thickness[1])
    assert float(mean.thickness[:, 1:16].min()) > 0.005 and float(mean.thickness[:, 1:16].max()) < 0.02
    assert float(mean.thickness[0, 16]) > float(mean.thickness[0, 0])  # a palm is wider than thick


def test_the_measured_thickness_follows_that_of_the_hand_model():
    model = HandModel()
    parts, faces = vertex_parts(model), model.faces.numpy()
    found = []
    for factor in (1.0, 1.2):
        shape = mean_shape(1)
        for bone in FINGER_BONES[1]:  # index finger: bones 1 to 3
            shape.thickness[:, bone] = factor
        vertices, keypoints = model.pose(*model.rest(shape), torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
        bones = bones_from_keypoints(keypoints, ["right"])
        vertices, keypoints = ((x - bones.wrist[:, None]) @ bones.rotation.mT for x in (vertices, keypoints))
        found.append(measure_thickness(vertices, keypoints, faces, parts)[0])
    ratio = found[1] / found[0]
    assert torch.allclose(ratio[2:4], torch.full((2,), 1.2, dtype=torch.float64), rtol=0.03) and 1.1 < ratio[1] < 1.25
    assert torch.allclose(ratio[4:], torch.ones(13, dtype=torch.float64), atol=0.02)
