"""Pictures, labels and depth of the rasteriser, compared with the geometry that was drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.lab.synthesis.rendering import Assets, Look, Renderer, random_look
from im2hands.lab.synthesis.rendering.look import Cloth, Light, Ring, Sleeve

CLOTH = Cloth((0.1, 0.2, 0.6), -1, 0.0, 10.0)


def box(mask: np.ndarray) -> np.ndarray:
    """Compute the left, top, right and bottom pixel of a mask."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()])


def test_labels_and_depth_are_where_the_camera_projects_the_hand(
    renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look
) -> None:
    drawn = renderer.render([("right", right_hand)], camera, plain)
    assert drawn.image.shape == (camera.height, camera.width, 3) and drawn.image.dtype == np.uint8
    hand = right_hand[renderer.assets.mesh.hand_vertices]
    pixels = camera.project(hand)
    upper = drawn.labels[: int(pixels[:, 1].max())]  # the arm continues below
    expected = np.array([pixels[:, 0].min(), pixels[:, 1].min(), pixels[:, 0].max()])
    np.testing.assert_allclose(box(upper == 2)[:3], expected, atol=1.5)
    # The flat hand shows its back: the depth there is that of the vertices that face the camera.
    facing = hand[renderer.assets.mesh.vertex_normals(right_hand)[renderer.assets.mesh.hand_vertices, 2] < -0.7]
    u, v = np.round(camera.project(facing)).astype(int).T
    assert len(facing) > 200
    assert np.quantile(np.abs(drawn.depth[v, u] - facing[:, 2]), 0.95) < 0.002
    assert (drawn.depth[drawn.labels == 0] == 0).all()
    # Skin lit from the camera is more red than blue, and brighter than the background.
    skin, rest = drawn.image[drawn.labels == 2].mean(axis=0), drawn.image[drawn.labels == 0].mean()
    assert skin[0] > skin[2] + 20 and skin.mean() > rest + 40


def test_the_nearer_hand_hides_the_other_and_a_left_hand_is_lit_like_a_right_one(
    renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look
) -> None:
    # The camera is symmetric in x, so the mirrored hand must give the mirrored picture.
    camera = replace(camera, cx=(camera.width - 1) / 2)
    light = replace(plain.lighting, lights=(Light((0.0, -0.3, -1.0), (1.0, 1.0, 1.0)),), ambient=0.0)
    look = replace(plain, lighting=light)
    left_hand = right_hand * (-1, 1, 1)
    right = renderer.draw([("right", right_hand)], camera, look)
    left = renderer.draw([("left", left_hand)], camera, look)
    mask = right.labels == 2
    assert (mask == (left.labels[:, ::-1] == 1)).mean() > 0.995
    difference = np.abs(right.image.astype(int) - left.image[:, ::-1])[mask]
    assert difference.mean() < 4
    behind = left_hand + np.array([0, 0, 0.08])
    both = renderer.draw([("right", right_hand), ("left", behind)], camera, look)
    assert (both.labels[mask] == 2).mean() > 0.999 and (both.labels == 1).any()


def test_a_hand_before_the_light_darkens_the_other(
    renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look
) -> None:
    side = replace(plain.lighting, lights=(Light((-1.0, 0.0, -0.6), (1.5, 1.5, 1.5)),), ambient=0.2)
    look = replace(plain, lighting=side)
    alone = renderer.draw([("right", right_hand)], camera, look)
    between = right_hand + np.array((-1.0, 0.0, -0.6)) * 0.15
    shaded = renderer.draw([("right", right_hand), ("left", between)], camera, look)
    same = (alone.labels == 2) & (shaded.labels == 2)
    assert same.sum() > 2000
    assert alone.image[same].mean() > shaded.image[same].mean() + 20


def test_sleeves_and_rings_lie_on_the_hand_and_are_labelled(
    renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look
) -> None:
    bare = renderer.draw([("right", right_hand)], camera, plain)
    sleeve = replace(plain, sleeve=Sleeve(CLOTH, 0.8, 0.006, 0.001, 5))
    dressed = renderer.draw([("right", right_hand)], camera, sleeve)
    wrist = int(camera.project(right_hand[renderer.assets.mesh.hand_vertices])[:, 1].max())
    cloth = dressed.labels == 3
    assert cloth.sum() > 500 and not cloth[: wrist - 15].any()
    assert (dressed.labels[camera.height - 3] != 2).all(), "no skin beside the sleeve"
    ringed = renderer.draw(
        [("right", right_hand)], camera, replace(plain, rings=(Ring(0, 2, (0.8, 0.6, 0.2), 0.006, None),))
    )
    changed = np.abs(ringed.image.astype(int) - bare.image).sum(axis=-1) > 30
    assert 15 < changed.sum() < 600
    near = renderer.assets.mesh.fingers[2].points(right_hand).reshape(-1, 3)
    found, expected = box(changed), camera.project(near)
    assert (found[:2] > expected.min(axis=0) - 8).all() and (found[2:] < expected.max(axis=0) + 8).all()
    assert set(np.unique(ringed.labels)) == {0, 2}


def test_the_same_look_gives_the_same_picture(
    renderer: Renderer, assets: Assets, right_hand: np.ndarray, camera: Camera
) -> None:
    looks = [random_look(np.random.default_rng(seed), assets, 1) for seed in (4, 4, 5)]
    assert looks[0] == looks[1] != looks[2]
    first, again, other = (renderer.render([("right", right_hand)], camera, look) for look in looks)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.image != other.image).mean() > 0.5


def test_any_size_and_several_samples(
    assets: Assets, renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look
) -> None:
    smooth = Renderer(assets, samples=4, context=renderer.context)
    for size in ((camera.width, camera.height), (131, 77)):
        sized = camera.resized(*size)
        one, several = (r.draw([("right", right_hand)], sized, plain) for r in (renderer, smooth))
        assert several.image.shape == (*size[::-1], 3)
        np.testing.assert_array_equal(one.labels, several.labels)
        assert 0 < np.abs(one.image.astype(int) - several.image).mean() < 6


def test_refuses_what_cannot_be_drawn(renderer: Renderer, right_hand: np.ndarray, camera: Camera, plain: Look) -> None:
    with pytest.raises(InputError, match="3 hands"):
        renderer.render([("right", right_hand)] * 3, camera, plain)
    with pytest.raises(InputError, match="left hand have shape"):
        renderer.render([("left", right_hand[:-1])], camera, plain)
    assert not renderer.render([], camera, plain).labels.any()
