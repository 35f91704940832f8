"""From a posed hand to the files of the prepared layout: closed mesh, bones, occupancy points, surface points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from im2hands.core.hands import FILE_TO_HALO, Side
from im2hands.geometry.bones import BOX, QUERY_SCALE, bones_from_keypoints
from im2hands.geometry.sealing import seal
from im2hands.geometry.surface_samples import face_normals, sample_surface
from im2hands.lab.datasets.part_occupancy import inside

from .layout import MIRROR

SURFACE_SAMPLES = 6000
"""Surface points in ``meta``."""

NEAR = 0.01
"""Standard deviation of the points near the surface, query space: 4 mm."""


@dataclass(frozen=True)
class SealedHand:
    """A closed hand in its canonical frame.

    Parameters
    ----------
    vertices : (779, 3) float64
        Vertices, canonical frame, metres; the last one closes the wrist.
    faces : (1554, 3) int64
        Triangles, outward.
    labels : (779,) int64
        Bone (0 to 15) of each vertex; 0 for the last.
    keypoints : (21, 3) float64
        Keypoints, file order, canonical frame, metres.
    transforms : (16, 4, 4) float64
        Bone transforms from the canonical frame to each bone's straight frame, metres.
    lengths : (16,) float64
        Bone lengths, metres.
    rotation : (3, 3) float64
        From the hand frame to the canonical frame.
    wrist : (3,) float64
        The wrist in the world frame, mirrored in x for a left hand, metres.
    """

    vertices: np.ndarray
    faces: np.ndarray
    labels: np.ndarray
    keypoints: np.ndarray
    transforms: np.ndarray
    lengths: np.ndarray
    rotation: np.ndarray
    wrist: np.ndarray


def sealed_hand(
    vertices: np.ndarray, keypoints: np.ndarray, labels: np.ndarray, right_faces: np.ndarray, side: Side
) -> SealedHand:
    """Bring a posed hand into its canonical frame and close it.

    Parameters
    ----------
    vertices : (V, 3) float64
        Vertices, world frame, metres.
    keypoints : (21, 3) float64
        Keypoints, file order, world frame, metres.
    labels : (V,) int
        Bone (0 to 15) of each vertex.
    right_faces : (F, 3) int
        Faces of the right hand; a left hand is mirrored, so it takes them too.
    side : Side
        The hand.

    Returns
    -------
    SealedHand
        The hand.

    Raises
    ------
    InputError
        The mesh cannot be closed.
    """
    bones = bones_from_keypoints(torch.from_numpy(np.asarray(keypoints, np.float64))[None], [side])
    rotation, wrist = bones.rotation[0].numpy(), bones.wrist[0].numpy()
    canonical = (vertices * MIRROR[side] - wrist) @ rotation.T
    closed, faces = seal(canonical, right_faces)
    transforms = bones.transforms[0].numpy().copy()  # of query space: rotation times 0.4, translation divided by it
    transforms[:, :3, :3] /= QUERY_SCALE
    transforms[:, :3, 3] *= QUERY_SCALE
    return SealedHand(
        closed, faces, np.append(labels, 0).astype(np.int64), (keypoints * MIRROR[side] - wrist) @ rotation.T,
        transforms, bones.lengths[0].numpy(), rotation, wrist,
    )  # fmt: skip


def hand_arrays(
    hand: SealedHand, shape: np.ndarray, kinds: Sequence[str], count: int, rng: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """Make the arrays of a hand's npz files.

    Parameters
    ----------
    hand : SealedHand
        The hand.
    shape : (10,) float
        MANO's shape parameters.
    kinds : sequence of str
        Which of "meta", "points", "points_iou" and "pointcloud".
    count : int
        Points in each file but ``meta``.
    rng : numpy.random.Generator
        Source of all random numbers. The order of ``kinds`` does not matter.

    Returns
    -------
    dict of str to dict of str to array
        Arrays by name for each kind.

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    streams = dict(zip(("meta", "points", "points_iou", "pointcloud"), rng.spawn(4), strict=True))
    root = np.eye(4)
    root[:3, :3] = hand.rotation
    places, face = sample_surface(hand.vertices, hand.faces, SURFACE_SAMPLES, streams["meta"])
    meta = {
        "joints_trans": hand.transforms, "verts": places, "shape": np.reshape(shape, 10),
        "bone_lengths": hand.lengths, "hand_joints": hand.keypoints[list(FILE_TO_HALO)], "root_rot_mat": root,
        "root_xyz": hand.wrist,
    }  # fmt: skip
    meta = {name: np.asarray(array, np.float32) for name, array in meta.items()}
    meta["vert_labels"] = _face_labels(hand)[face].astype(np.int64)
    made: dict[str, dict[str, np.ndarray]] = {"meta": meta} if "meta" in kinds else {}
    scaled = np.ascontiguousarray(hand.vertices / QUERY_SCALE)
    still = {"loc": np.zeros(3, np.float32), "scale": np.array(1.0, np.float32)}
    shared = {name: meta[name] for name in ("shape", "bone_lengths", "vert_labels")} | {
        "verts": meta["verts"] / np.float32(QUERY_SCALE),
        "hand_joints": meta["hand_joints"] / np.float32(QUERY_SCALE),
        "joints_trans": meta["joints_trans"] * np.array([QUERY_SCALE, QUERY_SCALE, QUERY_SCALE, 1.0], np.float32),
    }  # fmt: skip
    for kind in ("points", "points_iou"):
        if kind in kinds:
            near = count // 2 if kind == "points" else 0
            stream = streams[kind]
            points = stream.uniform(-BOX / 2, BOX / 2, (count - near, 3))
            if near:
                close = sample_surface(scaled, hand.faces, near, stream)[0]
                points = np.concatenate([points, close + stream.standard_normal(close.shape) * NEAR])
            occupied = np.packbits(inside(points, scaled, hand.faces))
            made[kind] = {"points": points.astype(np.float16), "occupancies": occupied, **still, **shared}
    if "pointcloud" in kinds:
        points, face = sample_surface(scaled, hand.faces, count, streams["pointcloud"])
        normals = face_normals(scaled, hand.faces)
        made["pointcloud"] = {
            "points": points.astype(np.float16), "normals": normals[face].astype(np.float16), **still
        }  # fmt: skip
    return made


def _face_labels(hand: SealedHand) -> np.ndarray:
    """The bone that most vertices of each face belong to; that of its first vertex if they all differ."""
    a, b, c = hand.labels[hand.faces].T
    return np.where(b == c, b, a)
