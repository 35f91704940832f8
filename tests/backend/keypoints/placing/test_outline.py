"""Hands on their edge in the picture: derivatives, hands that read inexactly, and masks that tell nothing."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import test_solve
from chain_hands import random_hands
from test_solve import CAMERA, photographed

from im2hands.core.camera import Camera
from im2hands.keypoints.hypothesis import HandDetection, HandMask
from im2hands.keypoints.placing import clip, outline
from im2hands.keypoints.placing.chain import Chain, Hands
from im2hands.keypoints.placing.confidence import bundled_calibration
from im2hands.keypoints.placing.kinematics import PARAMETERS, THICKNESS
from im2hands.keypoints.placing.outline import Edges, Rims, add_outlines, moved_onto_edges
from im2hands.keypoints.placing.solve import chosen_hands, place_each, place_hands, place_on_edges
from im2hands.keypoints.placing.spheres import RADII, SPHERES
from im2hands.keypoints.placing.sums import Sums

PALM_M = 0.088
CELLS = 48
ALONE = np.array([-1])


def shown_mask(hands: Hands, camera: Camera = CAMERA, shift: tuple[float, float] = (0.0, 0.0), girth: float = 1.0):
    """The mask of the picture of right hands as spheres, moved by pixels and thicker by a factor."""
    drawn = np.zeros((camera.height, camera.width), np.uint8)
    centres = Chain(hands).points(SPHERES) + hands.translation[:, None]
    for places, size in zip(centres, hands.palm, strict=True):
        for place, radius in zip(places, girth * size * RADII, strict=True):
            pixel = camera.project(place[None])[0] + shift
            cv2.circle(drawn, tuple(np.rint(pixel * 16).astype(int)), round(16 * radius * camera.fx / place[2]), 1, -1,
                       cv2.LINE_8, 4)  # fmt: skip
    pixels = camera.project(centres.reshape(-1, 3))
    low, high = pixels.min(axis=0) - 60, pixels.max(axis=0) + 60
    scale = CELLS / float((high - low).max())
    to_map = np.column_stack([scale * np.eye(2), -scale * low])
    chance = cv2.warpAffine(drawn.astype(np.float32), to_map, (CELLS, CELLS), flags=cv2.INTER_AREA)
    return HandMask(chance.astype(np.float16), to_map)


def read_hand(curl: float = 0.2) -> tuple[HandDetection, Hands]:
    """A detected right hand and its placed chain, without a mask."""
    _, detection = photographed((0.01, 0.0, 0.5), (0.3, -0.2, 0.4), curl)
    seen = list(chosen_hands([detection], CAMERA, PALM_M, bundled_calibration()).values())
    return detection, place_each(seen)[0]


def test_derivatives_of_the_outline() -> None:
    hands = random_hands([1, 2, 3])
    rng = np.random.default_rng(4)
    # On plane maps the bilinear distance has no kinks at the cells' borders.
    slope = rng.normal(size=(3, 2, 1, 1)) * 0.003
    distance = slope[:, 0] * np.arange(32) + slope[:, 1] * np.arange(32)[:, None] - 0.03
    to_map = np.tile([[20.0, 0.0, 16.0], [0.0, 20.0, 16.0]], (3, 1, 1))
    edges = Edges(distance, to_map, np.zeros((3, 2)), np.full((3, 2), 31.0), np.full(3, 0.01))
    sphere, angle = rng.integers(len(RADII), size=(3, 9)), rng.uniform(-3, 3, (3, 9))
    chosen = Rims(sphere, np.stack([np.cos(angle), np.sin(angle)], axis=-1), rng.uniform(0, 2, (3, 9)))

    def made(hands: Hands) -> Sums:
        sums = Sums.empty(3, PARAMETERS)
        add_outlines(sums, hands, edges, chosen)
        return sums

    def cost(step: np.ndarray) -> np.ndarray:
        return made(hands.moved(np.tile(step, (3, 1)))).cost

    numeric = np.stack([(cost(step) - cost(-step)) / 2e-6 for step in 1e-6 * np.eye(PARAMETERS)], axis=1)
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(made(hands).gradient, numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).max())


def test_a_hand_that_is_read_beside_its_picture_moves_onto_it() -> None:
    detection, hands = read_hand()
    palm_px = PALM_M * CAMERA.fx / hands.translation[0, 2]
    shift = np.array([0.06, -0.03]) * palm_px
    plain = place_hands([detection], CAMERA).right
    moved = place_hands([replace(detection, mask=shown_mask(hands, shift=tuple(shift)))], CAMERA).right
    assert plain is not None and moved is not None
    way = (CAMERA.project(moved.positions) - CAMERA.project(plain.positions)).mean(axis=0)
    along = way @ shift / (shift @ shift)
    assert 0.25 < along < 1.1 and np.linalg.norm(way - along * shift) < 0.2 * np.linalg.norm(shift)
    np.testing.assert_array_equal(moved.pixels, plain.pixels)  # a take has them as they were read


def test_a_left_hand_is_the_mirrored_right_one() -> None:
    detection, hands = read_hand()
    mask = shown_mask(hands, shift=(6.0, 4.0))
    last = CAMERA.width - 1
    column = CELLS - 1 - mask.to_map[0] @ (last, 0, 1)
    flipped = HandMask(mask.chance[:, ::-1], np.column_stack([mask.to_map[:, :2], (column, mask.to_map[1, 2])]))
    left = replace(detection, side="left", pixels=detection.pixels * (-1, 1) + (last, 0),
                   shape=detection.shape * (-1, 1, 1), mask=flipped)  # fmt: skip
    camera = replace(CAMERA, cx=last - CAMERA.cx)
    one, other = place_hands([replace(detection, mask=mask)], CAMERA).right, place_hands([left], camera).left
    assert one is not None and other is not None
    np.testing.assert_allclose(one.positions * (-1, 1, 1), other.positions, atol=1e-4)


def test_a_thick_hand_is_found_thick_and_no_larger() -> None:
    detection, hands = read_hand()
    seen = list(chosen_hands([replace(detection, mask=shown_mask(hands, girth=1.2))], CAMERA, PALM_M,
                             bundled_calibration()).values())  # fmt: skip
    made, _, thickness = moved_onto_edges(hands, seen, ALONE)
    assert np.exp(made.shape[0, THICKNESS]) > 1.08
    assert thickness[0] == made.shape[0, THICKNESS]
    assert abs(made.translation[0, 2] / hands.translation[0, 2] - 1) < 0.04
    assert np.abs(made.shape[0, :THICKNESS] - hands.shape[0, :THICKNESS]).max() < 0.06


@pytest.mark.parametrize("chance", [0.0, 1.0, np.nan])
def test_a_mask_that_tells_nothing_changes_nothing(chance) -> None:
    detection, hands = read_hand()
    mask = replace(shown_mask(hands), chance=np.full((CELLS, CELLS), chance, np.float16))
    plain, masked = (place_hands([one], CAMERA).right for one in (detection, replace(detection, mask=mask)))
    assert plain is not None and masked is not None
    np.testing.assert_array_equal(plain.positions, masked.positions)


def test_edges_of_the_picture_are_no_edges_of_a_hand() -> None:
    detection, hands = read_hand()
    # The picture ends in the middle of the hand, and so does the mask.
    width = round(CAMERA.project(hands.keypoints()[0])[:, 0].mean())
    camera = replace(CAMERA, width=width)
    mask = shown_mask(hands)
    step = int(mask.to_map[0, 0] * (width - 0.5) + mask.to_map[0, 2])
    cut = mask.chance.copy()
    cut[:, step + 1 :] = 0
    plain, masked = (
        place_hands([one], camera).right for one in (detection, replace(detection, mask=replace(mask, chance=cut)))
    )
    assert plain is not None and masked is not None
    way = np.linalg.norm(camera.project(masked.positions) - camera.project(plain.positions), axis=1)
    assert way.max() < 0.1 * PALM_M * CAMERA.fx / hands.translation[0, 2]


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_focal_length_keeps_the_shape_possible(factor) -> None:
    detection, hands = read_hand()
    camera = replace(CAMERA, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
    seen = list(chosen_hands([replace(detection, mask=shown_mask(hands))], camera, PALM_M,
                             bundled_calibration()).values())  # fmt: skip
    made, _, _ = place_on_edges(seen, ALONE)
    assert np.isfinite(made.keypoints()).all() and np.abs(made.shape).max() < 0.45
    lengths = test_solve.bone_lengths(made.keypoints()[0]) / test_solve.bone_lengths(hands.keypoints()[0])
    assert lengths.min() > 0.75 and lengths.max() < 1.33


def test_the_other_hand_hides_edges() -> None:
    _, hands = read_hand()
    twice = hands.rows(np.array([0, 0]))
    detection, _ = read_hand()
    mask = shown_mask(hands, shift=(5.0, 0.0))
    seen = list(chosen_hands([replace(detection, mask=mask)], CAMERA, PALM_M, bundled_calibration()).values()) * 2
    edges = outline.edges_of(seen)
    mirror = np.ones((2, 3))
    assert (outline.rims(twice, edges, np.array([-1, -1]), mirror).weight > 0).any(axis=1).all()
    assert not outline.rims(twice, edges, np.array([1, 0]), mirror).weight.any()


def test_shifts_of_neighbouring_frames_are_averaged() -> None:
    detection, _ = read_hand()
    (seen,) = chosen_hands([detection], CAMERA, PALM_M, bundled_calibration()).values()
    listed = [replace(seen, shift=np.full((21, 2), float(k))) for k in range(12)]
    row = np.full((20, 2), -1)
    row[:12, 1] = np.arange(12)
    steady = clip._steady(listed, row)
    near = clip._NEIGHBOURS
    assert steady[0].shown[0, 0] - seen.pixels[0, 0] == pytest.approx(near / 2)
    assert steady[6].shown[0, 0] - seen.pixels[0, 0] == pytest.approx(6)
