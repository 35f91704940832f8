"""Clean motion of the rig from a raw track: gaps filled, smoothed, as bone rotations with constant bone lengths."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from im2hands.animation.template.rest import Rest
from im2hands.animation.template.rig import Pose, forward, pose_from_keypoints

from .quaternions import continuous, slerp, to_matrices, to_quaternions
from .smoothing import DEFAULT_STRENGTH, ORDER, filled, liveliness, smooth
from .tracks import DOUBTFUL, FILLED, MISSING, OBSERVED, Track

DEFAULT_GAP = 12
"""Longest gap that is filled, frames."""

_FILLED_WEIGHT, _DOUBTFUL_WEIGHT = 0.2, 0.05
_PINNED_WEIGHT = 1.0e4  # of a frame that a person pinned: the curve goes through it, and the frames beside it follow
# A keypoint leaps if, relative to the palm, it moves farther in one frame than both of these limits.
_FINGER_LEAP = 0.45  # palm lengths
_FINGER_LEAP_ALONE = 2.0  # multiples of the median movement of the fingertips
_LEAP_REACH, _LEAP_WEIGHT = 3, 0.02  # frames before and after a leap, and their weight
_NEAREST = 0.02  # metres; a palm nearer to the camera cannot be a real one
_DEPTH_LASTS = 8.0  # factor on the penalty of depth: errors of depth last longer than errors in the picture
# Share of the liveliness that the size in the picture implies for depth; flexion and turns change the size, too.
_SIZE_LIVELINESS = 0.01


@dataclass(frozen=True)
class Motion:
    """A right hand's motion over N frames; NaN where it is missing.

    Parameters
    ----------
    status : (N,) uint8
        MISSING, OBSERVED, FILLED or DOUBTFUL (see ``tracks``).
    raw : Pose
        Poses of the raw keypoints.
    clean : Pose
        Smoothed poses.
    keypoints_raw : (N, 21, 3) float
        Observed keypoints, camera frame, metres.
    keypoints : (N, 21, 3) float
        Keypoints of the clean rig, camera frame, metres.
    weights : (N,) float
        Weight of each frame's keypoints in the smoothing.
    parts : list of (int, int)
        Ranges [first, last) of frames without a hole.
    """

    status: np.ndarray
    raw: Pose
    clean: Pose
    keypoints_raw: np.ndarray
    keypoints: np.ndarray
    weights: np.ndarray
    parts: list[tuple[int, int]]


def solve(track: Track, rest: Rest, *, strength: float = DEFAULT_STRENGTH, gap: int = DEFAULT_GAP) -> Motion:
    """Clean the track of a right hand, or of a left hand mirrored in x.

    Parameters
    ----------
    track : Track
        The raw track.
    rest : Rest
        The hand at rest.
    strength : float
        Strength of the smoothing, 0 to 1.
    gap : int
        Longest run of frames with a missing or doubtful hand that is filled.

    Returns
    -------
    Motion
        The motion.
    """
    count = len(track.status)
    status = track.status.copy()
    raw = _posed(track.keypoints, track.present, rest)
    targets = track.keypoints.copy()
    weights = np.where(status == OBSERVED, 1.0, 0.0)
    parts: list[tuple[int, int]] = []
    for first, last in track.segments:
        parts += _fill(first, last, status, weights, targets, raw, rest, gap)
    weights[track.pinned] = _PINNED_WEIGHT
    clean = Pose(*(np.full_like(values, np.nan) for values in (raw.rotations, raw.root_rotation, raw.root)))
    keypoints = np.full((count, 21, 3), np.nan)
    for first, last in parts:
        part = slice(first, last)
        smoothed = smooth_keypoints(targets[part], weights[part], strength)
        pose = pose_from_keypoints(smoothed, rest)
        clean.rotations[part], clean.root_rotation[part], clean.root[part] = (
            pose.rotations,
            pose.root_rotation,
            pose.root,
        )
        keypoints[part] = forward(pose, rest).keypoints
    return Motion(status, raw, clean, track.keypoints, keypoints, weights, parts)


def smooth_keypoints(keypoints: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """Smooth the keypoints of a range without holes: the position of the palm, and every keypoint relative to it.

    Parameters
    ----------
    keypoints : (N, 21, 3) float
        Keypoints, camera frame, metres.
    weights : (N,) float
        Weight of each frame.
    strength : float
        Strength of the smoothing, 0 to 1.

    Returns
    -------
    (N, 21, 3) float
        Smoothed keypoints, camera frame, metres.
    """
    centre = keypoints[:, (0, 5, 9, 13, 17)].mean(axis=1)
    local = keypoints - centre[:, None]
    trust = np.repeat(weights[:, None], 21, axis=1)
    if strength > 0:
        trust *= np.where(weights[:, None] >= _PINNED_WEIGHT, 1.0, _across_leaps(local))
    shaped = np.stack([smooth(local[:, k], trust[:, k], strength) for k in range(21)], axis=1)
    found: np.ndarray = _smooth_place(centre, keypoints, shaped, weights, strength)[:, None] + shaped
    return found


def _across_leaps(local: np.ndarray) -> np.ndarray:
    """Weights (N, 21) of keypoints (N, 21, 3) relative to their palm: small around a leap of a single finger.

    A single finger that leaps is a tracking loss. In a fast gesture the other fingers move too.
    """
    step = np.linalg.norm(np.diff(local, axis=0), axis=-1)
    palm = float(np.nanmedian(np.linalg.norm(local[:, 9] - local[:, 0], axis=-1)))
    believed = np.ones(local.shape[:2])
    alone = _FINGER_LEAP_ALONE * np.median(step[:, (4, 8, 12, 16, 20)], axis=1, keepdims=True)
    for frame, keypoint in np.argwhere(np.nan_to_num(step) > np.maximum(_FINGER_LEAP * palm, alone)):
        believed[max(frame - _LEAP_REACH + 1, 0) : frame + 1 + _LEAP_REACH, keypoint] = _LEAP_WEIGHT
    return believed


def _smooth_place(
    centre: np.ndarray, keypoints: np.ndarray, shaped: np.ndarray, weights: np.ndarray, strength: float
) -> np.ndarray:
    """The smoothed palm position (N, 3); image position and depth are smoothed separately, each with its own noise.

    A single camera measures depth only by size, so depth jumps by centimetres between frames of a still hand. Depth is
    therefore assumed to be about as lively as what the picture shows: the motion of the palm, of the fingers ``shaped``
    (N, 21, 3), and of the hand's size in the picture.
    """
    seen = weights > 0
    if len(centre) <= ORDER or not seen.any() or (centre[seen, 2] < _NEAREST).any():
        return smooth(centre, weights, strength)
    depth = filled(centre[:, 2:], weights)
    usual = float(np.median(depth[seen]))
    sideways = smooth(filled(centre[:, :2], weights) / depth * usual, weights, strength)
    lively = liveliness(sideways) + liveliness(shaped[..., :2].reshape(len(shaped), -1))
    lively += _SIZE_LIVELINESS * liveliness(smooth(usual * np.log(_seen_size(keypoints))[:, None], weights, strength))
    depth = smooth(depth, weights, strength, lively, _DEPTH_LASTS)
    return np.concatenate([sideways * depth / usual, depth], axis=1)


def _seen_size(keypoints: np.ndarray) -> np.ndarray:
    """(N,) size of hands (N, 21, 3) in the picture, for a focal length of 1."""
    seen = keypoints[..., :2] / np.maximum(keypoints[..., 2:], _NEAREST)
    size: np.ndarray = np.linalg.norm(seen - seen.mean(axis=1, keepdims=True), axis=(1, 2))
    return np.maximum(size, 1e-6)


def _posed(keypoints: np.ndarray, present: np.ndarray, rest: Rest) -> Pose:
    """The poses of the frames that are present; NaN elsewhere."""
    count = len(keypoints)
    found = Pose(np.full((count, 21, 3, 3), np.nan), np.full((count, 3, 3), np.nan), np.full((count, 3), np.nan))
    if present.any():
        pose = pose_from_keypoints(keypoints[present], rest)
        found.rotations[present], found.root_rotation[present] = pose.rotations, pose.root_rotation
        found.root[present] = pose.root
    return found


def _fill(
    first: int, last: int, status: np.ndarray, weights: np.ndarray, targets: np.ndarray, raw: Pose, rest: Rest, gap: int
) -> list[tuple[int, int]]:  # fmt: skip
    """Fill the short gaps of a segment in place and return its ranges of frames that have a hand."""
    believed = first + np.flatnonzero(status[first:last] == OBSERVED)
    for before, after in itertools.pairwise(believed):
        if 1 < after - before <= gap + 1:
            _bridge(int(before), int(after), targets, raw, rest)
            inside = slice(before + 1, after)
            weights[inside] = _FILLED_WEIGHT
            status[inside] = np.where(status[inside] == MISSING, FILLED, DOUBTFUL)
    alone = (status[first:last] == DOUBTFUL) & (weights[first:last] == 0)
    weights[first:last][alone] = _DOUBTFUL_WEIGHT
    present = np.concatenate([[False], status[first:last] != MISSING, [False]])
    edges = np.flatnonzero(np.diff(present.astype(int)))
    return [(first + int(a), first + int(b)) for a, b in edges.reshape(-1, 2)]


def _bridge(before: int, after: int, targets: np.ndarray, raw: Pose, rest: Rest) -> None:
    """Interpolate the keypoints between two frames: joint rotations at a constant rate, the palm on a straight line."""
    ends = [before, after]
    rotations = to_quaternions(raw.rotations[ends])
    turns = to_quaternions(raw.root_rotation[ends])
    posed = forward(Pose(raw.rotations[ends], raw.root_rotation[ends], raw.root[ends]), rest).keypoints
    centre = posed[:, (0, 5, 9, 13, 17)].mean(axis=1)
    rest_off = targets[ends] - posed
    shares = (np.arange(before + 1, after) - before) / (after - before)
    middle = Pose(
        np.stack([to_matrices(slerp(rotations[0], rotations[1], share)) for share in shares]),
        np.stack([to_matrices(slerp(turns[0], turns[1], share)) for share in shares]),
        np.zeros((len(shares), 3)),
    )
    points = forward(middle, rest).keypoints
    line = (1 - shares)[:, None] * centre[0] + shares[:, None] * centre[1]
    points += (line - points[:, (0, 5, 9, 13, 17)].mean(axis=1))[:, None]
    points += (1 - shares)[:, None, None] * rest_off[0] + shares[:, None, None] * rest_off[1]
    targets[before + 1 : after] = points


def quaternion_track(matrices: np.ndarray) -> np.ndarray:
    """Convert rotations over time to quaternions whose signs do not jump.

    Parameters
    ----------
    matrices : (N, ..., 3, 3) float
        Rotations; NaN where missing.

    Returns
    -------
    (N, ..., 4) float
        Quaternions (w, x, y, z).
    """
    return continuous(to_quaternions(matrices))
