"""The template: its topology, its shape and rig, and its fit to surfaces."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from im2hands.animation.template.cuts import cut_triangles
from im2hands.animation.template.files import handed, handed_axes
from im2hands.animation.template.fit import Fitter
from im2hands.animation.template.rest import Rest, measure, rest_hand, template_measures
from im2hands.animation.template.rig import (
    Pose,
    _damped_inverse,
    about,
    bone_matrices,
    forward,
    pose_from_keypoints,
    skin,
    stretched_matrices,
    unskin,
)
from im2hands.animation.template.topology import (
    BONE_NAMES,
    BONE_PARENTS,
    FINGER_CHAINS,
    HAND,
    Topology,
    load_topology,
    mirrored_faces,
)
from im2hands.core.errors import InputError
from im2hands.geometry.signed_distance import ClosedMesh
from im2hands.geometry.surface_target import SurfaceTarget
from im2hands.lab.bench.simulated_clips import Noise, simulate
from simulated_takes import hand_surface

EXACT = Noise(0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load_topology(1)


@pytest.fixture(scope="module")
def rest(topology: Topology) -> Rest:
    return rest_hand(topology, template_measures(topology))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_topology_is_closed_quads(level: int) -> None:
    topology = load_topology(level)
    vertices = topology.positions @ topology.base_vertices
    mesh = trimesh.Trimesh(vertices, topology.triangles, process=False)
    assert mesh.is_watertight
    assert mesh.euler_number == 2
    assert mesh.volume > 2.5e-4  # outward, the size of a hand
    triangles = topology.faces[:, 3] < 0
    assert triangles.sum() == len(topology.rim)  # the lid's fan alone
    assert np.isin(topology.faces[triangles][:, 2], topology.lid[-1]).all()
    lid = np.isin(topology.faces, topology.lid).any(axis=1)
    assert lid[-lid.sum() :].all()  # its faces come last
    assert topology.uv.min() >= 0
    assert topology.uv.max() <= 1
    mirrored = mirrored_faces(topology.faces)
    other = np.concatenate([mirrored[:, :3], mirrored[mirrored[:, 3] >= 0][:, [0, 2, 3]]])
    assert trimesh.Trimesh(vertices * (-1, 1, 1), other, process=False).volume == pytest.approx(mesh.volume)


def test_cut_is_a_plane_behind_the_wrist(topology: Topology, rest: Rest) -> None:
    wrist, knuckle = rest.keypoints[0], rest.keypoints[9]
    along = (knuckle - wrist) / np.linalg.norm(knuckle - wrist)
    behind = -(rest.vertices - wrist) @ along
    assert np.allclose(behind[topology.rim], 0.02, atol=0.001)
    assert behind.max() < 0.0215


def test_skin_weights(topology: Topology) -> None:
    weights = topology.weights.astype(float)
    assert weights.shape == (topology.vertex_count, len(BONE_NAMES))
    assert ((weights > 0).sum(axis=1) <= 4).all()
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-3)
    assert (weights.max(axis=0) > 0.4).all()  # every bone moves some vertices
    assert BONE_NAMES[BONE_PARENTS[BONE_NAMES.index("f_index.01")]] == "palm.01"


def test_density_that_is_not_there() -> None:
    with pytest.raises(InputError, match="density of 5"):
        load_topology(5)


def test_rest_pose(rest: Rest) -> None:
    assert np.allclose(rest.heads[HAND], 0)
    assert np.allclose(rest.tails[HAND][[0, 2]], 0, atol=1e-9)  # along +y
    assert np.allclose(np.linalg.det(rest.axes), 1)
    assert np.allclose((rest.axes[:, :, 1] * (rest.tails - rest.heads)).sum(axis=1), rest.lengths)
    # A positive rotation about x closes the hand: the tips move towards the palm, which is in -z.
    rotations = np.tile(np.eye(3), (1, 21, 1, 1))
    for chain in FINGER_CHAINS[1:]:
        rotations[0, chain[0]] = about(0, np.array([0.8]))[0]
    closed = forward(Pose(rotations, np.eye(3)[None], np.zeros((1, 3))), rest).keypoints[0]
    assert (closed[[8, 12, 16, 20], 2] < rest.keypoints[[8, 12, 16, 20], 2] - 0.02).all()


def test_left_hands_are_mirror_images(rest: Rest) -> None:
    axes = handed_axes(rest.axes, "left")
    assert np.allclose(np.linalg.det(axes), 1)
    ways = handed(rest.tails, "left") - handed(rest.heads, "left")
    assert np.allclose(axes[:, :, 1] * rest.lengths[:, None], ways)


def test_inverse_kinematics_reaches_possible_hands(topology: Topology) -> None:
    clip = simulate(40, seed=2, noise=EXACT)
    keypoints = clip.truth["right"]
    rest = rest_hand(topology, measure(keypoints, topology))
    reached = forward(pose_from_keypoints(keypoints, rest), rest).keypoints
    distance = np.linalg.norm(reached - keypoints, axis=-1)
    assert distance.mean() < 0.0005
    assert distance.max() < 0.005
    lengths = np.linalg.norm(np.diff(reached[:, 5:9], axis=1), axis=-1)
    assert np.allclose(lengths, lengths[0], atol=1e-9)  # bones keep their lengths


def test_measures_are_robust_and_bones_of_zero_length_survive(topology: Topology) -> None:
    clip = simulate(21, seed=4, noise=EXACT)
    keypoints = clip.truth["right"].copy()
    usual = measure(keypoints, topology)
    keypoints[:5] *= 1.6
    assert np.allclose(measure(keypoints, topology).lengths, usual.lengths, rtol=1e-6)
    collapsed = clip.truth["right"].copy()
    collapsed[:, 7] = collapsed[:, 6]
    collapsed[0] = 0.0
    measures = measure(collapsed, topology)
    assert (measures.lengths > 0.005).all()
    rest = rest_hand(topology, measures)
    pose = pose_from_keypoints(collapsed, rest)
    assert np.isfinite(rest.vertices).all()
    assert np.isfinite(pose.rotations).all()
    nothing = measure(np.zeros((2, 21, 3)), topology)
    assert np.allclose(nothing.lengths, template_measures(topology).lengths)


def test_unskin_is_the_inverse(topology: Topology, rest: Rest) -> None:
    keypoints = simulate(3, seed=1, noise=EXACT).truth["right"]
    matrices = bone_matrices(forward(pose_from_keypoints(keypoints, rest), rest), rest)[2]
    weights = topology.skin_weights()
    posed = skin(weights, matrices, rest.vertices)
    assert np.abs(unskin(weights, matrices, posed) - rest.vertices).max() < 5e-4
    assert np.linalg.norm(posed - posed.mean(axis=0), axis=1).max() < 0.25


def test_unskin_by_cofactors_is_the_damped_inverse(topology: Topology, rest: Rest) -> None:
    pose = pose_from_keypoints(simulate(3, seed=1, noise=EXACT).truth["right"], rest)
    matrices = bone_matrices(forward(pose, rest), rest)[2]
    weights = topology.skin_weights()
    folded = matrices.copy()
    folded[:, :, :3] *= np.array([1.0, 0.28, 0.31])  # between these values begins the damping
    folded[5:9, :, 0] = 0.0  # bones without width
    for one in (matrices, folded):
        posed = skin(weights, one, rest.vertices)
        blended = (weights @ one.reshape(21, 12)).reshape(-1, 3, 4)
        inverse = _damped_inverse(blended[..., :3], posed - blended[..., 3])
        assert np.abs(unskin(weights, one, posed) - inverse).max() < 1e-12


def test_signed_distance_of_a_ball() -> None:
    ball = trimesh.creation.icosphere(4, 0.05)
    points = np.random.default_rng(0).normal(size=(500, 3)) * 0.03
    distance = SurfaceTarget(ball.vertices, ball.faces).signed_distance(points)
    assert np.abs(distance - (np.linalg.norm(points, axis=1) - 0.05)).max() < 2e-4


@pytest.fixture(scope="module")
def fits(topology: Topology) -> list[tuple[np.ndarray, np.ndarray, SurfaceTarget]]:
    """Templates before and after the fit, and their surfaces: the hand of one person in three poses."""
    clip = simulate(60, seed=6, noise=EXACT)
    keypoints = clip.truth["right"]
    rest = rest_hand(topology, measure(keypoints, topology))
    fitter = Fitter(topology, rest.vertices)
    found = []
    for k in (5, 25, 45):
        pose = pose_from_keypoints(keypoints[k : k + 1], rest)
        matrices = stretched_matrices(forward(pose, rest), rest, keypoints[k : k + 1])[0]
        start = skin(topology.skin_weights(), matrices, rest.vertices)
        target = SurfaceTarget(*hand_surface(clip.vertices["right"][k], clip.faces["right"], keypoints[k]))
        found.append((start, fitter.fit(start, target).vertices, target))
    return found


def test_fit_lies_on_the_surface(topology: Topology, fits: list[tuple[np.ndarray, np.ndarray, SurfaceTarget]]) -> None:
    skin_of_hand = np.setdiff1d(np.arange(topology.vertex_count), [*topology.lid, *topology.rim])
    for start, fitted, target in fits:
        before = np.abs(target.signed_distance(start[skin_of_hand]))
        after = np.abs(target.signed_distance(fitted[skin_of_hand]))
        assert before.mean() > 0.0008  # the template was not on the surface before
        assert after.mean() < 0.0003
        assert np.percentile(after, 95) < 0.001


def test_fit_folds_nothing_new(topology: Topology, fits: list[tuple[np.ndarray, np.ndarray, SurfaceTarget]]) -> None:
    fitter = Fitter(topology, topology.positions @ topology.base_vertices)
    for start, fitted, _ in fits:
        assert fitter.folds(fitted).sum() <= fitter.folds(start).sum()


def test_fit_cuts_nothing_new(topology: Topology, fits: list[tuple[np.ndarray, np.ndarray, SurfaceTarget]]) -> None:
    for start, fitted, _ in fits:
        assert len(cut_triangles(fitted, topology.triangles)) <= len(cut_triangles(start, topology.triangles))


def test_cut_triangles_are_those_that_cross() -> None:
    flat = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    through = np.array([[1.0, 1.0, -1.0], [1.0, 1.0, 1.0], [1.1, 1.0, 1.0]])
    beside, far = through + np.array([5.0, 0.0, 0.0]), flat + np.array([-9.0, 0.0, 0.5])
    vertices = np.concatenate([beside, flat, through, far])
    triangles = np.arange(12).reshape(4, 3)
    assert cut_triangles(vertices, triangles).tolist() == [1, 2]
    sharing = np.array([[3, 4, 5], [3, 7, 6]])
    assert cut_triangles(vertices, sharing).tolist() == []


@pytest.mark.parametrize("left", [0.011, 0.014])
def test_fingers_in_each_other_are_taken_apart(topology: Topology, rest: Rest, left: float) -> None:
    ring = topology.skin_weights()[:, FINGER_CHAINS[3]].sum(axis=1)
    way = rest.keypoints[11] - rest.keypoints[15]
    overlapping = rest.vertices + np.outer(ring, way * (1 - left / np.linalg.norm(way)))
    cut = cut_triangles(overlapping, topology.triangles)
    assert len(cut) > 200  # the ring finger intersects the middle finger
    apart = Fitter(topology, rest.vertices).untangled(rest.vertices, overlapping)
    assert len(cut_triangles(apart, topology.triangles)) < 0.9 * len(cut)
    assert np.linalg.norm(apart - overlapping, axis=1).max() < 0.01
    away = np.linalg.norm(overlapping - rest.keypoints[11], axis=1) > 0.06
    assert np.abs(apart - overlapping)[away & (ring < 0.01)].max() < 1e-3  # the rest of the hand does not move


def test_hands_are_kept_apart(topology: Topology, rest: Rest) -> None:
    fitter = Fitter(topology, rest.vertices)
    right, left = rest.vertices, rest.vertices * (-1, 1, 1)
    hands = {"left": left, "right": right + np.array([0.0, 0.0, 0.5 * np.ptp(right[:, 2])])}
    assert _depth(topology, hands) > 0.002
    apart = fitter.keep_apart(hands)  # type: ignore[arg-type]
    assert _depth(topology, apart) < 0.0003  # type: ignore[arg-type]
    assert np.abs(apart["left"] - hands["left"]).max() < 0.003
    assert not fitter.folds(apart["right"]).any()
    far = fitter.keep_apart({"left": left, "right": right + np.array([1.0, 0.0, 0.0])})
    assert (far["left"] == left).all()


def _depth(topology: Topology, hands: dict[str, np.ndarray]) -> float:
    """The largest depth of vertices of the left hand inside the right hand, metres."""
    return float(-ClosedMesh(hands["right"], topology.triangles).signed_distance(hands["left"]).min())
