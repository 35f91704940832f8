"""Evaluation of the part occupancy network: its measures on known surfaces, and the bundled weights on a few hands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.lab.evaluation import part_occupancy as evaluation
from im2hands.surfaces.dense_lattice import Surface
from im2hands.weights.folder import require_weights
from im2hands.weights.part_occupancy import load_part_occupancy


class Truth:
    """An occupancy field of the true mesh, shifted by ``shift`` metres."""

    def __init__(self, vertices, faces, shift):
        self.vertices, self.faces, self.shift = vertices, faces, np.asarray(shift)

    def logits(self, hands, points):
        signed = evaluation.signed_distance(points.double().numpy() - self.shift, self.vertices, self.faces)[0]
        return torch.from_numpy(-signed / 0.001)


def test_measures_of_the_truth_and_of_a_shifted_one():
    posed = posed_hands(1, 50)
    vertices = np.ascontiguousarray(posed.vertices[0].numpy())
    eye, zero = np.eye(3), np.zeros(3)

    def measures(shift):
        rng = np.random.default_rng(0)
        iou = evaluation._iou(Truth(vertices, posed.faces, shift), vertices, posed.faces, eye, zero, rng)
        moved = Surface(vertices + np.asarray(shift), posed.faces)
        return iou, evaluation._chamfer(moved, vertices, posed.faces, eye, zero, rng) * 1000

    iou, chamfer = measures((0, 0, 0))
    assert iou > 0.999 and chamfer < 0.01
    worse, farther = measures((0, 0.002, 0))
    assert 0.6 < worse < 0.92 and 0.5 < farther < 2.0


def test_held_out_hands_are_not_training_hands():
    from im2hands.lab.training.part_occupancy_trainer import STREAM, TrainingSettings

    settings = TrainingSettings()
    first = settings.seed * STREAM
    assert not first <= evaluation.HELD_OUT_SEED < first + settings.pool


@pytest.mark.parametrize(
    ("name", "least"),
    [("exact", 0.87), ("MPJPE 4 mm", 0.77), ("noise 4 mm", 0.70), ("mean shape", 0.945), ("thickness given", 0.90)],
)
def test_the_shipped_weights(name, least, shipped_rows):
    row = next(row for row in shipped_rows if row.name == name)
    assert row.iou > least and row.watertight == 1 and row.one_component == 1


@pytest.fixture(scope="module")
def shipped_rows():
    decoder, reach = load_part_occupancy(require_weights("part_occupancy").path)
    return evaluation.evaluate(decoder, reach, hands=4, voxel=0.0025)
