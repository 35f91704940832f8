"""The bundled hand: closed, scaled, posed within limits, with labels on which two libraries agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from im2hands.core.errors import SetupError
from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.lab.datasets.part_occupancy import posed_hands, signed_distance, vertex_parts
from im2hands.lab.synthesis.poses import ShapeSpread, mean_shape, random_rotations, random_shape


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


def test_the_mesh_is_closed_and_faces_outward(model):
    hands = posed_hands(2, 0)
    for vertices in hands.vertices.numpy():
        mesh = trimesh.Trimesh(vertices, hands.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0


def test_no_turn_is_the_rest_pose(model):
    vertices, heads = model.rest(mean_shape(1))
    posed, keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
    assert torch.allclose(posed[:, :-1], vertices, atol=1e-9)
    assert torch.allclose(keypoints[:, 5], heads[:, 7], atol=1e-9)
    assert torch.allclose(keypoints[:, 0], torch.lerp(heads[:, 2], heads[:, 11], 0.15), atol=1e-9)


def test_longer_fingers_are_longer_and_thicker_ones_thicker(model):
    plain = mean_shape(1)
    changed = mean_shape(1)
    for bone in FINGER_BONES[1]:
        changed.length[:, bone] = 1.2
        changed.thickness[:, bone] = 1.3
    (rest, heads), (longer, new_heads) = model.rest(plain), model.rest(changed)
    bone = lambda h: torch.linalg.vector_norm(h[0, 8] - h[0, 7])  # noqa: E731
    assert bone(new_heads) / bone(heads) == pytest.approx(1.2, rel=1e-6)
    weights = model._weights[:, 8] > 0.95
    middle = lambda v, h: v[0, weights] - h[0, 8]  # noqa: E731
    axis = (heads[0, 9] - heads[0, 8]) / torch.linalg.vector_norm(heads[0, 9] - heads[0, 8])
    across = lambda x: torch.linalg.vector_norm(x - (x @ axis)[:, None] * axis, dim=1).mean()  # noqa: E731
    assert across(middle(longer, new_heads)) / across(middle(rest, heads)) == pytest.approx(1.3, rel=0.02)


def test_shapes_are_spread_on_purpose():
    shape = random_shape(2000, torch.Generator().manual_seed(0), ShapeSpread())
    index = shape.thickness[:, FINGER_BONES[1][1]]
    assert 0.04 < float(index.std()) < 0.08 and float(index.min()) > 0.8 and float(index.max()) < 1.2
    assert float(shape.components[:, 0].abs().max()) <= 1.5


def test_positive_flexion_closes_the_hand(model):
    vertices, heads = model.rest(mean_shape(1))
    flexion, _ = model.flexion_axes(heads)
    from im2hands.geometry.rotations import rodrigues

    for finger, bones in enumerate(FINGER_BONES):
        turns = torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1)
        for joint, bone in enumerate(bones):
            turns[:, bone] = rodrigues(torch.tensor([0.6], dtype=torch.float64), flexion[:, finger, joint])
        _, open_hand = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
        _, bent = model.pose(vertices, heads, turns)
        tip = 4 + 4 * finger
        wrist_to_tip = lambda k: float(torch.linalg.vector_norm(k[0, tip] - k[0, 0]))  # noqa: B023, E731
        assert wrist_to_tip(bent) < wrist_to_tip(open_hand)


def test_random_turns_are_rotations(model):
    _, heads = model.rest(mean_shape(16))
    turns = random_rotations(model, heads, torch.Generator().manual_seed(1))
    assert torch.allclose(turns @ turns.mT, torch.eye(3, dtype=torch.float64).expand_as(turns), atol=1e-9)
    assert (torch.linalg.det(turns) > 0).all()


def test_the_same_seed_gives_the_same_hands():
    one, two, other = posed_hands(2, 5), posed_hands(2, 5), posed_hands(2, 6)
    assert torch.equal(one.vertices, two.vertices) and not torch.equal(one.vertices, other.vertices)


def test_every_bone_moves_some_vertices(model):
    assert set(vertex_parts(model).tolist()) == set(range(16))


def test_inside_agrees_with_ray_casting_on_hands_that_do_not_intersect_themselves(model):
    """libigl's winding numbers agree with trimesh's ray casting (Embree)."""
    vertices, heads = model.rest(random_shape(3, torch.Generator().manual_seed(2)))
    posed, _ = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(3, 22, 1, 1))
    for hand in posed.numpy():
        mesh = trimesh.Trimesh(hand, model.faces.numpy(), process=False)
        points = np.random.default_rng(0).uniform(hand.min(axis=0), hand.max(axis=0), size=(20_000, 3))
        winding = signed_distance(points, np.ascontiguousarray(hand), model.faces.numpy())[0] < 0
        assert winding.sum() > 300
        assert (winding != mesh.contains(points)).mean() < 5e-4


def test_a_missing_model_says_so(tmp_path):
    with pytest.raises(SetupError, match="hand model"):
        HandModel(tmp_path / "none.npz")
