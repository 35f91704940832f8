"""Things that hide fingers or resemble hands: their shapes, places and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from im2hands.core.camera import Camera
from im2hands.lab.synthesis.rendering import Assets, Look, Renderer
from im2hands.lab.synthesis.rendering.look import Cloth, Thing
from im2hands.lab.synthesis.rendering.random_surroundings import random_things
from im2hands.lab.synthesis.rendering.shapes import SHAPES, add_shape
from im2hands.lab.synthesis.rendering.solids import SKIN_GLOSS, Material, SolidBatch

CLOTH = Cloth((0.1, 0.2, 0.6), -1, 0.0, 10.0)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_has_its_size_and_unit_normals(assets: Assets, kind: str) -> None:
    made = []
    for seed in (1, 1, 2):
        batch = SolidBatch()
        size = np.array([0.1, 0.2, 0.1])
        add_shape(batch, kind, np.array([0, 0, 0.5]), np.eye(3), size, Material((0.5, 0.5, 0.5)), seed, assets.mesh)
        made.append(batch.arrays())
    rows, faces = made[0]
    assert np.isfinite(rows).all() and faces.max() < len(rows)
    assert 0.05 < np.ptp(rows[:, 1]) < 0.35
    assert np.abs(rows[:, :3].mean(axis=0) - (0, 0, 0.5)).max() < 0.15
    lengths = np.linalg.norm(rows[faces.ravel(), 3:6], axis=1)
    assert np.quantile(np.abs(lengths - 1), 0.9) < 1e-3
    assert np.array_equal(rows, made[1][0])
    if kind not in ("box", "stick", "ball"):
        assert rows.shape != made[2][0].shape or not np.array_equal(rows, made[2][0])


def test_things_hide_what_they_are_placed_before(renderer: Renderer, right_hand: np.ndarray, plain: Look) -> None:
    camera = Camera(300.0, 300.0, 111.5, 111.5, 224, 224)
    column, row = np.round(camera.project(right_hand[renderer.assets.mesh.tips])).astype(int).T
    for finger in range(5):
        thing = Thing("ball", "front", 0, (0.03,) * 3, (0, 0, 0), (0, 0, 0), 0.9, CLOTH, 0.2, False, finger)
        labels = renderer.draw([("right", right_hand)], camera, replace(plain, things=(thing,))).labels
        assert labels[row[finger], column[finger]] == 3
        assert (labels[row, column] == 3).sum() < 5


def test_look_alikes_are_background_and_gloves_are_never_skin(plain: Look) -> None:
    rng = np.random.default_rng(0)
    skin = (0.5, 0.3, 0.22)
    things = [thing for _ in range(1500) for thing in random_things(rng, 2, skin)]
    assert {thing.place for thing in things} == {"held", "pinched", "between", "front", "behind", "beside"}
    beside = [thing for thing in things if thing.place == "beside"]
    gloves = [thing for thing in beside if thing.shape == "glove"]
    assert gloves and all((g.gloss != SKIN_GLOSS and g.cloth.colour[0] < 1.2 * g.cloth.colour[1]) or
                          g.cloth.colour[1] < 0.1 for g in gloves)  # fmt: skip
    assert any(thing.gloss == SKIN_GLOSS for thing in beside)
    assert not any(thing.gloss == SKIN_GLOSS for thing in things if thing.place != "beside")
    assert {thing.shape for thing in things} == set(SHAPES)


def test_a_thing_beside_the_hands_is_background(renderer: Renderer, right_hand: np.ndarray, plain: Look) -> None:
    camera = Camera(300.0, 300.0, 111.5, 111.5, 224, 224)
    thing = Thing("bundle", "beside", 0, (0.1,) * 3, (0, 0, 0), (0.12, 0, 0), 1.0, CLOTH, 0.2, False)
    bare = renderer.draw([("right", right_hand)], camera, plain)
    drawn = renderer.draw([("right", right_hand)], camera, replace(plain, things=(thing,)))
    changed = np.abs(drawn.image.astype(int) - bare.image).sum(axis=-1) > 20
    assert changed.sum() > 300 and set(np.unique(drawn.labels)) == {0, 2}
    assert (drawn.depth[changed & (bare.labels == 0)] > 0).mean() > 0.8
