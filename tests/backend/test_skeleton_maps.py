"""Keypoints drawn for the image encoder: where they are seen, which hand, what lies in front."""

from __future__ import annotations

import numpy as np
import torch
from im2hands.hands import SIDES
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.image_encoder import SHAPE_NUMBERS
from im2hands.skeleton_maps import CHANNELS, skeleton_maps
from scene_pictures import make_scene


def test_bones_are_drawn_where_they_are_seen() -> None:
    scene = make_scene(2)
    maps = skeleton_maps(scene.keypoints, scene.intrinsics, 256, 128).reshape(2, 3, 128, 128)
    labels = scene.label_image()
    for k, _ in enumerate(SIDES):
        seen = scene.keypoints[k].astype(float) @ scene.intrinsics.T.astype(float)
        places = np.rint((seen[:, :2] / seen[:, 2:] + 0.5) / 2 - 0.5).astype(int)
        inside = ((places > 0) & (places < 127)).all(axis=1)
        x, y = places[inside].T
        assert (maps[k, 0, y, x] > 0.9).all() and (maps[k, 2, y, x] > 0.3).all()
        drawn = maps[k, 0] > 0.5
        hand = (labels[::2, ::2] == k + 1) | (labels[::2, ::2] == 2 - k)  # the other one may lie before it
        assert (hand & drawn).sum() > 0.6 * drawn.sum()
        assert maps[k, 0].max() <= 1 and maps[k, 1].max() <= 1 and maps[k, 1].min() >= -1.01
        assert not maps[k, 1][maps[k, 0] == 0].any()


def test_the_nearer_bone_hides_the_farther_one_and_hands_go_their_own_ways() -> None:
    keypoints = np.full((2, 21, 3), np.nan)
    keypoints[0] = make_scene(3).keypoints[0]
    intrinsics = make_scene(3).intrinsics
    one = skeleton_maps(keypoints, intrinsics, 256, 64).reshape(2, 3, 64, 64)
    assert one[0, 0].any() and not one[1].any()
    nearer = np.stack([keypoints[0], keypoints[0] * 0.9])  # the same rays
    two = skeleton_maps(nearer, intrinsics, 256, 64).reshape(2, 3, 64, 64)
    middle = two[0, 0] > 0.99
    assert two[1, 1][middle].mean() > two[0, 1][middle].mean() + 0.3
    assert not skeleton_maps(np.full((2, 21, 3), np.nan), intrinsics, 256, 64).any()
    behind = keypoints.copy()
    behind[0, :, 2] -= 1.0
    assert not skeleton_maps(behind, intrinsics, 256, 64).any()


def test_keypoints_change_what_the_encoder_sees_only_if_it_looks_at_them() -> None:
    torch.manual_seed(0)
    scene = make_scene(4)
    drawn = torch.from_numpy(skeleton_maps(scene.keypoints, scene.intrinsics, 256, 64))[None]
    picture = torch.randn(1, 3, 64, 64)
    both = torch.cat([picture, drawn], dim=1)
    assert both.shape[1] == 3 + CHANNELS
    blind = CompactEncoder(64, 16).eval()
    assert not blind.sees_keypoints and blind(both).shapes is None
    torch.testing.assert_close(blind(both).dense[-1], blind(picture).dense[-1])
    seeing = CompactEncoder(64, 16, skeletons=True).eval()
    assert seeing.sees_keypoints
    with torch.no_grad():  # as they begin, keypoints have no say
        torch.testing.assert_close(seeing(both).dense[-1], seeing(picture).dense[-1])
        assert seeing.skeletons is not None
        for layer in (seeing.skeletons.third, seeing.skeletons.back):
            layer.weight.normal_(std=0.3)
        maps, without = seeing(both), seeing(picture)
    assert maps.shapes is not None and maps.shapes.shape == (1, 2, SHAPE_NUMBERS)
    assert (maps.heatmap[-1] - without.heatmap[-1]).abs().max() > 1e-3
    heads = seeing.heads(maps)
    assert heads.shapes is maps.shapes
