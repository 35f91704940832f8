"""Labelled points for keypoints with errors: where the picture shows the hand, at the depth that the keypoints have.

A surface network sees a picture and keypoints that are wrong. It can learn to lie where the picture shows the hand. It
cannot learn what no picture shows: how far away a finger is, and where it is behind another. There it can only follow
the keypoints. So every labelled point of the true hand is carried along with its bone to the given keypoints. Then,
where the picture shows the bone, the point is moved across the viewing ray to where it was seen; its depth stays.
"""

from __future__ import annotations

import numpy as np
import torch

from im2hands.core.hands import WRIST
from im2hands.geometry.bones import BONE_ENDS, QUERY_SCALE, Bones

FOLLOWED_M = 0.008
"""Largest way from a given keypoint across the viewing ray that surfaces are taught to go in full, metres. On twice of
it they stay with the keypoint: a bone is evaluated near itself only."""

_KNUCKLES = [5, 9, 13, 17]
_NEAR_M = 0.015  # points farther than this from a bone of another finger are outside it
_STARTS, _ENDS = (np.array(column) for column in zip(*BONE_ENDS, strict=True))
_FINGER = np.array([0, *(1 + k // 3 for k in range(15))])
_LEAST_M = 1e-6


def at_depth_of(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Scale keypoints about the camera to the mean depth of the true hand, which leaves the picture as it is.

    A single picture does not show the size of a hand, but how large it is in the picture.

    Parameters
    ----------
    found : (21, 3) float64
        Found keypoints, camera frame, metres.
    exact : (21, 3) float
        True keypoints, the same frame, metres.

    Returns
    -------
    (21, 3) float64
        The found keypoints at the depth of the true ones.
    """
    return found * (float(exact[:, 2].mean()) / max(float(found[:, 2].mean()), _LEAST_M))


def followed(exact: np.ndarray, given: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """How far surfaces are taught to follow the picture at each keypoint, rather than the given keypoint.

    Parameters
    ----------
    exact : (21, 3) float
        True keypoints, camera frame, metres.
    given : (21, 3) float
        Given keypoints, the same frame, metres.
    visible : (21,) bool
        Which true keypoints the picture shows.

    Returns
    -------
    (21,) float64
        Between 0 (stay with the keypoint) and 1.
    """
    seen = exact * (given[:, 2:] / np.maximum(exact[:, 2:], _LEAST_M))
    return visible * np.clip(2 - np.linalg.norm(seen - given, axis=1) / FOLLOWED_M, 0.0, 1.0)


def moved_points(
    points: np.ndarray, part: np.ndarray, true_bones: Bones, bones: Bones, visible: np.ndarray,
    distance: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Move the labelled points of a hand to given keypoints.

    Parameters
    ----------
    points : (N, 3) float64
        Points, canonical frame of the true keypoints, metres.
    part : (N,) int
        Bone of the nearest surface.
    true_bones : Bones
        Bones of the true keypoints, one hand, camera frame.
    bones : Bones
        Bones of the given keypoints, one hand, camera frame.
    visible : (21,) bool
        Which true keypoints the picture shows.
    distance : (N,) float, optional
        Signed distance of the points to the hand, metres. None takes all points for points of the surface.

    Returns
    -------
    (N, 3) float64
        The points, query space of ``bones``.
    (N,) bool
        Which labels still hold. A point outside the hand may come to lie where another finger has been moved to.
    """
    assert true_bones.joints is not None and bones.joints is not None
    carried = _carried(points, part, true_bones, bones)
    exact, given, seen, there = (
        b.from_query_space(torch.from_numpy(p)[None] / QUERY_SCALE)[0].numpy()
        for b, p in ((true_bones, true_bones.joints[0].numpy()), (bones, bones.joints[0].numpy()), (true_bones, points),
                     (bones, carried))
    )  # fmt: skip
    share = followed(exact, given, visible)
    along = _along(exact, seen, part)
    first, last = share[_STARTS], share[_ENDS]
    last[0] = share[_KNUCKLES].mean()
    weight = (first[part] * (1 - along) + last[part] * along)[:, None]
    placed = there + weight * (seen * (there[:, 2:] / np.maximum(seen[:, 2:], _LEAST_M)) - there)
    holds = np.ones(len(points), bool)
    if distance is not None:
        joints = given + share[:, None] * (exact * (given[:, 2:] / np.maximum(exact[:, 2:], _LEAST_M)) - given)
        gaps = _gaps(joints, placed)
        own = _FINGER[None] == _FINGER[part][:, None]
        others = np.where(own, np.inf, gaps).min(1)
        holds = (distance <= 0) | (others > _NEAR_M) | (others >= np.where(own, gaps, np.inf).min(1))
    return bones.to_query_space(torch.from_numpy(placed)[None])[0].numpy(), holds


def _carried(points: np.ndarray, part: np.ndarray, true_bones: Bones, bones: Bones) -> np.ndarray:
    """Points of the true hand moved with their bones, canonical frame of ``bones``, metres."""
    assert true_bones.joints is not None and bones.joints is not None
    turns = [(b.transforms[0, :, :3, :3] / QUERY_SCALE).numpy() for b in (true_bones, bones)]
    joints = [b.joints[0].numpy() for b in (true_bones, bones)]  # type: ignore[index]
    local = np.einsum("nij,nj->ni", turns[0][part], points - joints[0][_STARTS[part]])
    bone = [np.einsum("bij,bj->bi", t, j[_ENDS] - j[_STARTS]) for t, j in zip(turns, joints, strict=True)]
    length = np.maximum((bone[0] ** 2).sum(1), _LEAST_M**2)
    along = np.clip((local * bone[0][part]).sum(1) / length[part], 0.0, 1.0)
    local = local + along[:, None] * (bone[1] - bone[0])[part]
    return np.einsum("nji,nj->ni", turns[1][part], local) + joints[1][_STARTS[part]]


def _along(joints: np.ndarray, points: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Where points (N, 3) lie along their bones: 0 at the first joint, 1 at the last."""
    start, bone = joints[_STARTS][part], (joints[_ENDS] - joints[_STARTS])[part]
    return np.clip(((points - start) * bone).sum(1) / np.maximum((bone**2).sum(1), _LEAST_M**2), 0.0, 1.0)


def _gaps(joints: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distances (N, 16) of points from the bones, and of the palm's bone from the wrist to each knuckle, metres."""
    gaps = _segment_gaps(points, joints[_STARTS], joints[_ENDS])
    palm = _segment_gaps(points, np.repeat(joints[WRIST][None], len(_KNUCKLES), 0), joints[_KNUCKLES])
    gaps[:, 0] = palm.min(1)
    return gaps


def _segment_gaps(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    bone = ends - starts
    offset = points[:, None] - starts
    along = np.clip((offset * bone).sum(-1) / np.maximum((bone**2).sum(-1), _LEAST_M**2), 0.0, 1.0)
    return np.linalg.norm(offset - along[..., None] * bone, axis=-1)
