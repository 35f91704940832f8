"""Tests of the simulated detector errors: their size, what they preserve, and the effect of each field."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from im2hands.core.hands import KEYPOINT_PARENTS, MIDDLE_MCP
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.lab.training.keypoint_errors import KeypointErrors, simulate_errors

NONE = KeypointErrors(0, 0, 0, 0, 0, 0, 0, 0)
TIPS = [4, 8, 12, 16, 20]


@pytest.fixture(scope="module")
def hands() -> torch.Tensor:
    return posed_hands(300, 5).keypoints + torch.tensor([0.05, -0.02, 0.55])


def _errors(hands: torch.Tensor, errors: KeypointErrors, visible: torch.Tensor | None = None) -> torch.Tensor:
    return simulate_errors(hands, torch.Generator().manual_seed(3), errors, visible)


def _distance(given: torch.Tensor, hands: torch.Tensor) -> torch.Tensor:
    """Error of each keypoint relative to the middle MCP, (B, 21), millimetres."""
    rooted = [keypoints - keypoints[:, MIDDLE_MCP, None] for keypoints in (given, hands)]
    return torch.linalg.vector_norm(rooted[0] - rooted[1], dim=-1) * 1000


def _lengths(keypoints: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(keypoints[:, 1:] - keypoints[:, list(KEYPOINT_PARENTS[1:])], dim=-1)


def test_errors_have_a_detectors_size(hands) -> None:
    distance = _distance(_errors(hands, KeypointErrors()), hands)
    assert 7 < distance.mean() < 14
    assert distance[:, TIPS].mean() > 1.5 * distance.mean()
    assert 25 < distance.quantile(0.97) < 60 and distance.max() < 200  # the largest 3 % are completely wrong fingers
    again = _errors(hands, KeypointErrors())
    assert torch.equal(again, _errors(hands, KeypointErrors())) and again.dtype == torch.float64
    assert torch.isfinite(again).all()


def test_without_sizes_nothing_changes(hands) -> None:
    assert (_errors(hands, NONE) - hands).abs().max() < 1e-12


def test_bends_keep_bones_and_palm(hands) -> None:
    for errors in (replace(NONE, bend=0.2), replace(NONE, hidden=1.0, lost=0.8), replace(NONE, tilt=0.2, place=0.1)):
        given = _errors(hands, errors)
        assert (_lengths(given) - _lengths(hands)).abs().max() < 1e-12
        assert _distance(given, hands)[:, TIPS].mean() > 5
    bent = _errors(hands, replace(NONE, bend=0.2))
    palm = [0, 1, 5, 9, 13, 17]
    assert (bent - hands)[:, palm].abs().max() < 1e-12
    # The joints of a finger bend alike, so the error of a tip is larger than with three independent bends.
    assert _distance(bent, hands)[:, 8].mean() > 2.5 * _distance(bent, hands)[:, 6].mean()


def test_depth_errors_are_hardly_seen(hands) -> None:
    for errors in (replace(NONE, depth=0.01), replace(NONE, place=0.02)):
        moved = _errors(hands, errors) - hands
        ray = hands.mean(1, keepdim=True) / torch.linalg.vector_norm(hands.mean(1, keepdim=True), dim=-1, keepdim=True)
        along = (moved * ray).sum(-1, keepdim=True)
        assert along.abs().mean() > 0.003
        assert torch.linalg.vector_norm(moved - along * ray, dim=-1).max() < 1e-9


def test_hidden_fingers_are_lost_more_often(hands) -> None:
    visible = torch.ones(len(hands), 21)
    visible[:, 5:9] = 0  # the index finger
    errors = replace(NONE, hidden=0.05, lost=0.8)
    lost = _distance(_errors(hands, errors, visible), hands)[:, TIPS] > 1
    assert 0.35 < lost[:, 1].double().mean() < 0.55
    assert (lost[:, [0, 2, 3, 4]].double().mean(0) < 0.12).all()
    assert not (_distance(_errors(hands, replace(errors, hidden=0.0), visible), hands) > 1e-9).any()


def test_a_shift_across_the_ray_is_the_same_for_all_keypoints_and_keeps_their_distance(hands) -> None:
    shift = _errors(hands, replace(NONE, across=0.003)) - hands
    assert torch.allclose(shift, shift[:, :1].expand_as(shift), atol=1e-9)
    assert 0.003 < torch.linalg.vector_norm(shift[:, 0], dim=-1).mean() < 0.005
    ray = hands.mean(1) / torch.linalg.vector_norm(hands.mean(1), dim=-1, keepdim=True)
    assert (shift[:, 0] * ray).sum(-1).abs().max() < 1e-9
