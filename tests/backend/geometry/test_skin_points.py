"""The points on the skin: 128 different ones, named, apart, and carried as the model's own vertices are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from im2hands.core.hands import SKIN_POINT_COUNT
from im2hands.geometry.bones import rodrigues
from im2hands.geometry.hand_model import HandModel, HandShape
from im2hands.geometry.skin_points import SkinPoints, skin_points


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


@pytest.fixture(scope="module")
def skin(model: HandModel) -> SkinPoints:
    return skin_points(model)


def test_points_are_different_named_and_apart(skin: SkinPoints) -> None:
    assert len(skin.names) == len(skin.vertices) == SKIN_POINT_COUNT
    assert len(set(skin.names)) == len(set(skin.vertices.tolist())) == SKIN_POINT_COUNT
    gaps = np.linalg.norm(skin.template[:, None] - skin.template[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() > 0.004
    assert gaps.min(axis=1).max() < 0.035


def test_each_part_has_its_points(skin: SkinPoints) -> None:
    assert [len(skin.rows(word)) for word in ("tip", "nail", "web", "rim", "wrist", "palm", "back")] == [
        5, 5, 4, 5, 4, 12, 12,
    ]  # fmt: skip
    for finger in ("index", "middle", "ring", "little"):
        for bone in ("first", "middle", "last"):
            around = [skin.names.index(f"{finger} {bone} {side}") for side in ("palmar", "dorsal", "inner", "outer")]
            palmar, dorsal, inner, outer = skin.template[around]
            across = np.linalg.norm([palmar - dorsal, inner - outer], axis=1)
            assert 0.008 < across.min() < across.max() < 0.03  # a finger lies between them


def test_shape_and_weights_carry_the_points_as_the_model_does(model: HandModel, skin: SkinPoints) -> None:
    generator = torch.Generator().manual_seed(1)
    components = torch.randn(1, 20, generator=generator, dtype=torch.float64)
    ones = torch.ones(1, 22, dtype=torch.float64)
    rest, heads = model.rest(HandShape(components, ones, ones))
    places = skin.template + np.einsum("k,kpc->pc", components[0].numpy(), skin.basis)
    np.testing.assert_allclose(places, rest[0].numpy()[skin.vertices], atol=1e-9)
    np.testing.assert_allclose(skin.weights.sum(axis=1), 1, atol=1e-6)

    turns = torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1)
    turns[0, 7] = rodrigues(torch.tensor(0.7, dtype=torch.float64), model.flexion_axes(heads)[0][0, 1, 0])
    posed = model.pose(rest, heads, turns)[0][0].numpy()[skin.vertices]
    carried = heads[0, 7].numpy() + (places - heads[0, 7].numpy()) @ turns[0, 7].numpy().T
    tip = skin.names.index("index tip")
    np.testing.assert_allclose(posed[tip], carried[tip], atol=1e-3)
    np.testing.assert_allclose(posed[skin.rows("wrist")], places[skin.rows("wrist")], atol=1e-9)
