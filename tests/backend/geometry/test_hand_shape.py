"""Widths of hands: measured on surfaces, checked, and as networks read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from im2hands.core.errors import InputError
from im2hands.core.hands import WIDTH_NAMES
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE, HandModel, HandShape
from im2hands.geometry.hand_shape import (
    SHAPE_INPUTS,
    check_widths,
    known_widths,
    measure_widths,
    shape_inputs,
    stacked_widths,
)
from im2hands.lab.datasets.part_occupancy import vertex_parts


@pytest.fixture(scope="module")
def model():
    return HandModel()


def _at_rest(model, shape):
    vertices, heads = model.rest(shape)
    still = torch.eye(3, dtype=torch.float64).repeat(len(vertices), 22, 1, 1)
    vertices, keypoints = model.pose(vertices, heads, still)
    bones = bones_from_keypoints(keypoints, ["right"] * len(vertices))
    turn, wrist = bones.rotation.mT, bones.wrist[:, None]
    return (vertices - wrist) @ turn, (keypoints - wrist) @ turn


def _usual(count=1):
    ones = torch.ones(count, 22, dtype=torch.float64)
    return HandShape(torch.zeros(count, 20, dtype=torch.float64), ones, ones.clone())


def _widths(model, shape):
    vertices, keypoints = _at_rest(model, shape)
    return measure_widths(vertices, keypoints, model.faces.numpy(), vertex_parts(model))


def test_the_usual_hand_has_widths_of_one(model):
    assert torch.allclose(_widths(model, _usual()), torch.ones(1, 8, dtype=torch.float64), atol=2e-4)


def test_thicker_parts_measure_thicker(model):
    thick = _usual(2)
    for bone in FINGER_BONES[1]:
        thick.thickness[0, bone] = 1.2
    for bone in (WRIST_BONE, *METACARPAL_BONES):
        thick.thickness[1, bone] = 1.2
    finger, palm = _widths(model, thick)
    assert 1.1 < finger[WIDTH_NAMES.index("index")] < 1.25
    assert (finger[[0, 1, 3, 5, 6, 7]] - 1).abs().max() < 0.02
    assert finger[WIDTH_NAMES.index("fingers")] == pytest.approx(float(finger[3:].log().mean().exp()))
    assert palm[WIDTH_NAMES.index("palm_thickness")] > 1.08 and (palm[4:] - 1).abs().max() < 0.03


def test_neither_size_nor_resolution_changes_widths(model):
    vertices, keypoints = _at_rest(model, _usual())
    faces, parts = model.faces.numpy(), vertex_parts(model)
    once = measure_widths(vertices, keypoints, faces, parts)
    assert torch.allclose(measure_widths(1.7 * vertices, 1.7 * keypoints, faces, parts), once)
    points, finer = trimesh.remesh.subdivide(vertices[0].numpy(), faces)
    nearest = np.linalg.norm(points[:, None, :] - vertices[0].numpy()[None], axis=-1).argmin(axis=1)
    again = measure_widths(torch.from_numpy(points)[None], keypoints, finer, parts[nearest])
    assert torch.allclose(again, once, atol=0.07)  # a finer mesh has narrower borders between the parts


def test_unknown_widths_are_read_as_none(model):
    _, keypoints = _at_rest(model, _usual(3))
    lengths = bones_from_keypoints(keypoints, ["right"] * 3).lengths
    inputs = shape_inputs(lengths, keypoints)
    assert inputs.shape == (3, SHAPE_INPUTS) and torch.isfinite(inputs).all()
    assert torch.equal(shape_inputs(lengths, keypoints, stacked_widths([None] * 3)), inputs)
    some = np.full(8, np.nan)
    some[WIDTH_NAMES.index("palm_width")] = 1.1
    fingers = some.copy()
    fingers[3:] = (1.2, 1.3, 1.2, 1.1, 1.2)
    read = shape_inputs(lengths, keypoints, stacked_widths([None, some, fingers]))[:, -16:]
    logs, known = read[:, :8], read[:, 8:]
    assert known.tolist() == [[0] * 8, [1] + [0] * 7, [1, 0] + [1] * 6]
    assert logs[1, 0] == pytest.approx(np.log(1.1)) and logs[1, 1:].abs().max() == 0
    # Single fingers tell how thick all of them are, and are read relative to that.
    assert logs[2, 2] == pytest.approx(np.log(fingers[3:]).mean()) and logs[2, 3:].sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("widths", "words"),
    [([1.0] * 7, "shape"), ("wide", "not numbers"), ([1.0] * 7 + [0.1], "between"), ([np.inf] * 8, "between")],
)
def test_widths_that_no_hand_has_are_refused(widths, words):
    with pytest.raises(InputError, match=words):
        check_widths(widths, "left hand")


def test_checked_widths_may_be_unknown():
    given = [None, 1.1, *[np.nan] * 6]
    assert np.array_equal(check_widths(given, "hand"), np.array([np.nan, 1.1, *[np.nan] * 6]), equal_nan=True)


def test_widths_of_a_fit_are_kept_within_what_a_hand_can_have():
    found = known_widths(palm_width=1.1, fingers=40.0)
    assert np.array_equal(found, [1.1, np.nan, 2.5, *[np.nan] * 5], equal_nan=True)
    assert np.array_equal(check_widths(found, "hand"), found, equal_nan=True)
