"""The points on the skin: 128 different ones, named and apart."""

from __future__ import annotations

import numpy as np
import pytest

from im2hands.core.hands import SKIN_POINT_COUNT
from im2hands.geometry.hand_model import HandModel
from im2hands.geometry.skin_points import SkinPoints, skin_points
from im2hands.lab.synthesis.poses import mean_shape


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel()


@pytest.fixture(scope="module")
def skin(model: HandModel) -> SkinPoints:
    return skin_points(model)


@pytest.fixture(scope="module")
def places(model: HandModel, skin: SkinPoints) -> np.ndarray:
    """The points (128, 3) at rest, metres."""
    found: np.ndarray = model.rest(mean_shape(1))[0][0].numpy()[skin.vertices]
    return found


def test_points_are_different_named_and_apart(skin: SkinPoints, places: np.ndarray) -> None:
    assert len(skin.names) == len(skin.vertices) == SKIN_POINT_COUNT
    assert len(set(skin.names)) == len(set(skin.vertices.tolist())) == SKIN_POINT_COUNT
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() > 0.004
    assert gaps.min(axis=1).max() < 0.035


def test_each_part_has_its_points(skin: SkinPoints, places: np.ndarray) -> None:
    assert [len(skin.rows(word)) for word in ("tip", "nail", "web", "rim", "wrist", "palm", "back")] == [
        5, 5, 4, 5, 4, 12, 12,
    ]  # fmt: skip
    for finger in ("index", "middle", "ring", "little"):
        for bone in ("first", "middle", "last"):
            around = [skin.names.index(f"{finger} {bone} {side}") for side in ("palmar", "dorsal", "inner", "outer")]
            palmar, dorsal, inner, outer = places[around]
            across = np.linalg.norm([palmar - dorsal, inner - outer], axis=1)
            assert 0.008 < across.min() < across.max() < 0.03  # a finger lies between them
