"""Bodies: the arms of the hands end at the owner's shoulders, and no body hides the hands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from im2hands.core.camera import Camera
from im2hands.core.hands import Side
from im2hands.lab.synthesis.labelling import visible_keypoints
from im2hands.lab.synthesis.rendering import Look, Renderer
from im2hands.lab.synthesis.rendering.accessories import posed_hands
from im2hands.lab.synthesis.rendering.body_mesh import body_mesh
from im2hands.lab.synthesis.rendering.look import Person
from im2hands.lab.synthesis.rendering.people import pose_people
from im2hands.lab.synthesis.rendering.random_surroundings import random_people


@pytest.fixture
def hands(right_hand: np.ndarray) -> list[tuple[Side, np.ndarray]]:
    """Two raised hands side by side, fingers up."""
    return [("right", right_hand * (1, 1, 1) + (-0.1, 0, 0.4)), ("left", right_hand * (-1, 1, 1) + (0.1, 0, 0.4))]


def people(owner: bool) -> list[Person]:
    """Draw sixteen people who are owners, or who are not."""
    drawn = [p for seed in range(80) for p in random_people(np.random.default_rng(seed), 2, None, -1.0)]
    return [p for p in drawn if p.owner == owner][:16]


def test_the_body_has_no_hands_and_its_limbs_are_ordered() -> None:
    body = body_mesh()
    assert body.weights.sum(axis=1) == pytest.approx(1, abs=0.03)
    # The neutral pose leaves the vertices where they are.
    still = body.posed(body.transforms(np.zeros((len(body.bones), 3))), body.vertices)
    assert np.abs(still - body.vertices).max() < 0.03 * np.abs(body.vertices).max()
    wrists = np.array([body.joints[body.number("wrist" + side)] for side in (".L", ".R")])
    away = np.linalg.norm(body.vertices[:, None] - wrists, axis=-1).min(axis=1)
    assert (away[body.arm > 1.9] < 0.08).all(), "an arm goes on beyond its wrist"
    assert body.arm.max() > 1.8 and body.leg.max() > 2
    normals = body.normals(body.vertices)
    chest = body.share("chest") > 0.8
    front = body.vertices[:, 2] > 0.1
    assert (normals[chest & front, 2] > 0).mean() > 0.9


def test_a_bent_elbow_moves_only_what_lies_beyond_it() -> None:
    body = body_mesh()
    pose = np.zeros((len(body.bones), 3))
    pose[body.number("lowerarm.L")] = (0, 0, 1.0)
    still = body.posed(body.transforms(0 * pose), body.vertices)
    moved = np.linalg.norm(body.posed(body.transforms(pose), body.vertices) - still, axis=1)
    assert moved[body.share("lowerarm.L", "wrist.L") < 0.001].max() < 1e-9
    assert moved[body.share("wrist.L") > 0.5].min() > 0.1


def test_the_arms_lead_to_the_shoulders_of_their_owner(
    renderer: Renderer, hands: list[tuple[Side, np.ndarray]], plain: Look
) -> None:
    mesh, body, found = renderer.assets.mesh, body_mesh(), 0
    for person in people(True):
        look = replace(plain, people=(person,))
        posed, bodies = pose_people(mesh, posed_hands(hands, look), look)
        for each in bodies:
            found += 1
            assert set(each.bare) == {".L", ".R"}
            for hand in posed:
                end = mesh.arm_beyond(mesh.forearm.points(hand.vertices)[:2], hand.bend, 9, hand.reach)[-1].mean(axis=0)
                bone = "upperarm" + (".L" if hand.side == "left" else ".R")
                shoulder = each.vertices[body.share(bone) > 0.3]
                assert np.linalg.norm(shoulder - end, axis=1).min() < 0.08
    assert found >= 8, "raised hands before the camera have a possible owner"


@pytest.mark.parametrize("owner", [True, False])
def test_no_body_hides_the_hands(
    renderer: Renderer, hands: list[tuple[Side, np.ndarray]], plain: Look, owner: bool
) -> None:
    camera = Camera(300.0, 300.0, 111.5, 111.5, 224, 224)
    wrists = renderer.assets.mesh.hand_vertices
    alone = renderer.draw(hands, camera, plain)
    changed = 0
    for person in people(owner):
        drawn = renderer.draw(hands, camera, replace(plain, people=(person,)))
        for label, (_, vertices) in zip((2, 1), hands, strict=True):
            pixels = np.round(camera.project(vertices[wrists])).astype(int)
            inside = (pixels >= 0).all(axis=1) & (pixels < 224).all(axis=1)
            column, row = pixels[inside].T
            hand = alone.labels[row, column] == label
            assert (drawn.labels[row, column][hand] == label).all()
        changed += bool((drawn.image != alone.image).any())
        assert set(np.unique(drawn.labels)) <= {0, 1, 2}, "bodies are background"
    assert changed >= 8


def test_background_that_hides_a_hand_makes_its_keypoints_hidden(
    renderer: Renderer, right_hand: np.ndarray, plain: Look
) -> None:
    """Bodies and things beside the hands have the label of background, but a depth."""
    from im2hands.lab.synthesis.rendering.look import Cloth, Thing

    camera = Camera(300.0, 300.0, 111.5, 111.5, 224, 224)
    offset = (0.0, 0.0, -0.2)
    ball = Thing(
        "ball", "beside", 0, (0.3, 0.3, 0.1), (0, 0, 0), offset, 1.0, Cloth((0.2, 0.2, 0.2), -1, 0, 1), 0.2, False
    )
    knuckle = right_hand[renderer.assets.mesh.hand_vertices].mean(axis=0)
    keypoints = np.full((2, 21, 3), np.nan)
    keypoints[1] = np.tile(knuckle, (21, 1))
    skin = np.full((2, 21), 0.06)
    seen = [
        visible_keypoints(keypoints, skin, camera, renderer.draw([("right", right_hand)], camera, look).depth)[1].any()
        for look in (plain, replace(plain, things=(ball,)))
    ]
    assert seen == [True, False]
