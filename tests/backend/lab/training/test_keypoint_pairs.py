"""Tests of the keypoint pairs: frames and units, detected keypoints of the set, scenes with one hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from im2hands.core.errors import InputError
from im2hands.core.hands import FILE_TO_HALO
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training.keypoint_pairs import aligned, make_pairs, scenes_with_two_hands
from im2hands.networks.keypoint_refinement import HALO_MIDDLE_MCP
from im2hands.surfaces.hand_crop import CROP_SIZE
from scene_pictures import make_scene, make_set

SCENES = [make_scene(k, 0) for k in range(2)]
TRUTH = np.stack([scene.keypoints for scene in SCENES]).astype(np.float64)


def _nearer(keypoints: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """A detector whose index fingertips are 10 mm and whose right hands are 30 mm too near to the camera."""
    assert keypoints.shape == (4, 21, 3) and keypoints.dtype == torch.float64 and visible.shape == (4, 21)
    moved = keypoints.clone()
    moved[:, 8, 2] -= 0.010
    moved[1::2, :, 2] -= 0.030
    return moved


def test_frames_and_units() -> None:
    pairs = make_pairs(SCENES, _nearer)
    assert pairs.image.shape == (2, 3, CROP_SIZE, CROP_SIZE) and pairs.image.dtype == torch.float32
    assert pairs.relative.dtype == pairs.target.dtype == torch.float64
    middle = TRUTH[:, 0, 9]
    expected = (TRUTH - middle[:, None, None])[:, :, list(FILE_TO_HALO)] * 1000
    assert np.abs(pairs.target.numpy() - expected).max() < 1e-9
    assert pairs.target[:, 0, HALO_MIDDLE_MCP].abs().max() == 0
    error = (pairs.relative - pairs.target).numpy()
    tip = FILE_TO_HALO.index(8)
    assert np.allclose(error[:, 0, tip], (0, 0, -10)) and np.allclose(error[:, 1, tip], (0, 0, -40))
    assert np.allclose(error[:, 1, HALO_MIDDLE_MCP], (0, 0, -30)) and np.allclose(error[:, 0, HALO_MIDDLE_MCP], 0)
    exact = pairs.to(torch.device("cpu"))
    assert exact.target.dtype == torch.float64 and torch.equal(exact.image, pairs.image)


def test_the_crop_follows_the_detected_keypoints() -> None:
    shift = np.array([0.01, 0.0, 0.0])
    there = make_pairs(SCENES, lambda keypoints, _: keypoints + torch.from_numpy(shift))
    here = make_pairs(SCENES, lambda keypoints, _: keypoints)
    assert (there.image - here.image).abs().mean() > 0.05
    # Keypoints detected outside the picture: the crop lies around the true hands instead.
    gone = make_pairs(SCENES, lambda keypoints, _: keypoints + torch.tensor([9.0, 0.0, 0.0]))
    assert torch.equal(gone.image, here.image)
    # Both hands moved alike: the relative keypoints stay the same.
    assert torch.allclose(gone.relative, here.relative, atol=1e-9)


def test_what_a_detector_found_is_taken() -> None:
    # The hand is detected too far away and too large. The pair has the place and size of the true hand.
    detected = 1.3 * SCENES[0].keypoints
    detected[1] = np.nan
    found = [replace(SCENES[0], detected=detected), SCENES[1]]
    pairs, drawn = make_pairs(found, _nearer), make_pairs(SCENES, _nearer)
    assert torch.allclose(pairs.relative[0, 0], pairs.target[0, 0], atol=1e-3)
    hand = pairs.relative[0, 1] - pairs.relative[0, 1, :1]
    assert torch.allclose(hand, drawn.relative[0, 1] - drawn.relative[0, 1, :1], atol=1e-9)
    assert torch.equal(pairs.relative[1], drawn.relative[1])
    left_alone = make_pairs(found, _nearer, take_detected=np.array([[False, True], [True, True]]))
    assert torch.equal(left_alone.relative, drawn.relative)


def test_pictures_can_be_changed() -> None:
    plain = make_pairs(SCENES, _nearer)
    dark = make_pairs(SCENES, _nearer, change=lambda picture: picture // 2)
    assert dark.image.mean() < plain.image.mean() - 0.2 and torch.equal(dark.relative, plain.relative)


def test_scenes_with_two_hands(tmp_path: Path) -> None:
    assert scenes_with_two_hands(SceneSet(make_set(tmp_path / "set", 5, 0, single=True))).tolist() == [0, 2, 4]
    alone = make_set(tmp_path / "alone", 2, 0, single=True)
    scenes = SceneSet(alone)
    scenes.scene = lambda index: make_scene(index, 0, (True, False))  # type: ignore[method-assign]
    with pytest.raises(InputError, match="has two hands"):
        scenes_with_two_hands(scenes)


def test_detected_keypoints_keep_their_shape_only() -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(21, 3)) * 0.05 + [0, 0, 0.5]
    moved = exact * 1.3 + [0.01, 0.02, 0.2]
    assert np.allclose(aligned(moved, exact), exact)
    noisy = moved + rng.normal(size=(21, 3)) * 0.01
    assert 0.001 < np.abs(aligned(noisy, exact) - exact).max() < 0.05
