"""Simulated clips with known truth: smooth motions of the bundled hand, and keypoints with the noise of networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, RotationSpline

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.hand_model import FINGER_BONES, HandModel, HandShape
from im2hands.lab.synthesis.poses import random_rotations, random_shape
from im2hands.lab.synthesis.scene import build_hands

PALM_FACING = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
"""Rotation from the hand model's axes to the camera frame: fingers up, back of the hand towards the camera."""


@dataclass(frozen=True)
class Noise:
    """Noise of detected keypoints.

    Parameters
    ----------
    white : float
        Standard deviation, metres, independent for each keypoint and frame.
    slow : float
        Standard deviation, metres, of an error that is correlated in time (a first-order autoregressive process).
    memory : float
        Correlation of the slow error from one frame to the next.
    depth : float
        Standard deviation of the depth of the whole hand, metres, independent for each frame.
    missing : float
        Share of frames without the hand.
    wild : float
        Share of frames in which the whole hand is displaced by about 80 mm per coordinate.
    """

    white: float = 0.0015
    slow: float = 0.0012
    memory: float = 0.6
    depth: float = 0.004
    missing: float = 0.0
    wild: float = 0.0


@dataclass(frozen=True)
class Clip:
    """Both hands in N frames, camera frame, metres.

    Parameters
    ----------
    truth : dict of Side to (N, 21, 3) float
        True keypoints.
    seen : dict of Side to (N, 21, 3) float
        Detected keypoints, with noise; NaN where the hand is missing.
    vertices : dict of Side to (N, 1843, 3) float
        Vertices of the true surfaces.
    faces : dict of Side to (F, 3) int
        Faces of the true surfaces, oriented outward.
    camera : Camera
        Camera of the clip.
    fps : float
        Frames a second.
    """

    truth: dict[Side, np.ndarray]
    seen: dict[Side, np.ndarray]
    vertices: dict[Side, np.ndarray]
    faces: dict[Side, np.ndarray]
    camera: Camera
    fps: float


def simulate(
    frames: int, *, seed: int = 0, fps: float = 25.0, key_seconds: float = 0.8, gesture: bool = False,
    noise: Noise | None = None,
) -> Clip:  # fmt: skip
    """Simulate a clip of two hands.

    Parameters
    ----------
    frames : int
        Number of frames.
    seed : int
        Seed of the shape, the motion and the noise.
    fps : float
        Frames a second.
    key_seconds : float
        Time between the random key poses that the hands move through.
    gesture : bool
        Instead of random poses, still hands that close and open quickly (0.3 s in all) at a third and at two thirds of
        the clip.
    noise : Noise or None
        Noise of the detected keypoints; None for the default noise.

    Returns
    -------
    Clip
    """
    generator = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    model = HandModel()
    shape = random_shape(1, generator)
    _, heads = model.rest(shape)
    camera = Camera.from_fov(50, 1280, 720)
    truth, seen, vertices, faces = {}, {}, {}, {}
    for number, side in enumerate(SIDES):
        rotations = (
            _gesture(model, heads, frames, fps)
            if gesture
            else _wandering(model, heads, frames, fps, key_seconds, generator)
        )
        turn, shift = _placed(frames, fps, key_seconds, number, gesture, random)
        many = HandShape(*(part.expand(frames, -1) for part in (shape.components, shape.length, shape.thickness)))
        side_numbers = torch.full((frames,), number)
        meshes, points = build_hands(
            model, many, torch.from_numpy(rotations), torch.from_numpy(turn), torch.from_numpy(shift), side_numbers
        )
        vertices[side], truth[side] = meshes.numpy(), points.numpy()
        own = model.faces.numpy()
        faces[side] = own[:, ::-1].copy() if side == "left" else own
        seen[side] = _seen(truth[side], noise or Noise(), random)
    return Clip(truth, seen, vertices, faces, camera, fps)


def _wandering(
    model: HandModel, heads: torch.Tensor, frames: int, fps: float, key_seconds: float, generator: torch.Generator
) -> np.ndarray:  # fmt: skip
    """Bone rotations (N, 22, 3, 3): a smooth spline through random poses."""
    keys = int(np.ceil(frames / fps / key_seconds)) + 2
    poses = random_rotations(model, heads.expand(keys, -1, -1), generator).numpy()
    times = np.arange(keys) * key_seconds
    at = np.arange(frames) / fps
    found = np.empty((frames, 22, 3, 3))
    for bone in range(22):
        found[:, bone] = RotationSpline(times, Rotation.from_matrix(poses[:, bone]))(at).as_matrix()
    return found


def _gesture(model: HandModel, heads: torch.Tensor, frames: int, fps: float) -> np.ndarray:
    """Bone rotations (N, 22, 3, 3): a straight hand that closes and opens twice."""
    flexion, _ = model.flexion_axes(heads)
    axes = flexion[0].numpy()
    at = np.arange(frames) / fps
    length = frames / fps
    closed = sum(np.exp(-0.5 * ((at - length * share) / 0.07) ** 2) for share in (1 / 3, 2 / 3))
    found = np.tile(np.eye(3), (frames, 22, 1, 1))
    for finger, bones in enumerate(FINGER_BONES):
        for k, bone in enumerate(bones):
            angle = np.radians((20, 25, 25) if finger == 0 else (60, 75, 45))[k] * closed
            found[:, bone] = Rotation.from_rotvec(angle[:, None] * axes[finger, k]).as_matrix()
    return found


def _placed(
    frames: int, fps: float, key_seconds: float, number: int, still: bool, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rotations (N, 3, 3) and translations (N, 3) of a hand on its side of the picture, half a metre away."""
    keys = int(np.ceil(frames / fps / key_seconds)) + 2
    turns = Rotation.from_rotvec(random.normal(0, 0 if still else 0.35, (keys, 3))) * Rotation.from_matrix(PALM_FACING)
    at = np.arange(frames) / fps
    turn = RotationSpline(np.arange(keys) * key_seconds, turns)(at).as_matrix()
    fine = np.interp(at, np.arange(keys) * key_seconds, np.arange(keys))
    places = random.normal(0, 0 if still else 1, (keys, 3)) * (0.03, 0.03, 0.03)
    path = np.stack([np.interp(fine, np.arange(keys), places[:, k]) for k in range(3)], axis=1)
    path = gaussian_filter1d(path, 0.25 * key_seconds * fps, axis=0, mode="nearest")
    return turn, path + np.array([-0.12 if number == 0 else 0.12, 0.08, 0.5])


def _seen(truth: np.ndarray, noise: Noise, random: np.random.Generator) -> np.ndarray:
    """True keypoints (N, 21, 3) with noise added."""
    count = len(truth)
    slow = np.zeros(truth.shape)
    fresh = np.sqrt(1 - noise.memory**2)
    state = random.normal(0, noise.slow, truth.shape[1:])
    for k in range(count):
        state = noise.memory * state + fresh * random.normal(0, noise.slow, state.shape)
        slow[k] = state
    seen = truth + slow + random.normal(0, noise.white, truth.shape)
    depth = random.normal(0, noise.depth, (count, 1, 1))
    seen = seen * (1 + depth / truth.mean(axis=1, keepdims=True)[..., 2:])
    wild = random.random(count) < noise.wild
    seen[wild] += random.normal(0, 0.08, (int(wild.sum()), 1, 3))
    seen[random.random(count) < noise.missing] = np.nan
    return seen
