"""Reads the animation of a take: the template hand with its rig, and the motion over all frames (numpy only).

Units and frames are those of the take: metres; the camera frame has x right, y down, z forward. Template and rest pose
are in the rest frame of each hand. Quaternions are (w, x, y, z). See ``docs/take.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import TakeError
from .arrays import LIMITS, read_described, sides_of
from .files import read_shared
from .reader import KEYPOINT_COUNT, MOTION_FILE, SIDES, TEMPLATE_FILE, Take

MISSING, OBSERVED, FILLED, DOUBTFUL = range(4)
"""Status of a hand on a frame: absent, measured, interpolated, or measured but implausible (then interpolated)."""
STATUS_NAMES = ("missing", "observed", "filled", "doubtful")
_AGAIN = "Reconstruct the take again."


@dataclass(frozen=True)
class RestHand:
    """One hand in its rest pose, in its own rest frame, metres.

    Parameters
    ----------
    vertices : (T, 3) float32
        Vertices of the template.
    heads : (B, 3) float32
        Starts of the bones.
    tails : (B, 3) float32
        Ends of the bones.
    axes : (B, 3, 3) float32
        Axes of the bones as columns x, y, z. The y axis points from head to tail; a finger bends about x.
    """

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    axes: np.ndarray


@dataclass(frozen=True)
class Template:
    """The template hand: a mesh of fixed topology with its rig. Left and right are mirror images.

    Parameters
    ----------
    faces : (F, 4) int32
        Vertex indices of quads and triangles; the last entry of a triangle is -1. On one of the two hands the corners
        run counter-clockwise seen from outside.
    uv : (F, 4, 2) float32
        Texture coordinates of the corners.
    weights : (T, B) float32
        Skin weights; each row sums to 1.
    bone_names : tuple of B str
        Names of the bones, without side.
    bone_parents : (B,) int32
        Index of each bone's parent, -1 for a root. Parents come before their children.
    rest : dict
        Side ("left", "right") -> that hand in its rest pose; one side may be missing.
    """

    faces: np.ndarray
    uv: np.ndarray
    weights: np.ndarray
    bone_names: tuple[str, ...]
    bone_parents: np.ndarray
    rest: dict[str, RestHand]

    def faces_of(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the faces of one hand.

        Parameters
        ----------
        side : str
            "left" or "right".

        Returns
        -------
        tuple of (F, 4) int32 and (F, 4, 2) float32
            Faces and texture coordinates; the corners run counter-clockwise seen from outside.
        """
        if _signed_volume(self.rest[side].vertices, self.faces) >= 0:
            return self.faces, self.uv
        triangles = self.faces[:, 3] < 0
        order = np.where(triangles[:, None], [0, 2, 1, 3], [0, 3, 2, 1])
        return np.take_along_axis(self.faces, order, 1), np.take_along_axis(self.uv, order[..., None], 1)


def _signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume inside the nearly closed mesh, cubic metres; negative if its faces point inward."""
    points = np.asarray(vertices, np.float64) - vertices.mean(axis=0)
    quads = faces[faces[:, 3] >= 0]
    triangles = np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


@dataclass(frozen=True)
class Layer:
    """One version of a hand's motion, measured ("raw") or clean; NaN on frames without the hand.

    Parameters
    ----------
    rotations : (N, B, 4) float32
        Rotation of each bone relative to its parent, in the bone's rest axes, as quaternions.
    root : (N, 3) float32
        Translation of the rigid motion from the rest frame to the camera frame, metres.
    root_rotation : (N, 4) float32
        Rotation of the same rigid motion, as quaternions.
    weights : (N, K) float32
        Weights of the corrective shapes.
    """

    rotations: np.ndarray
    root: np.ndarray
    root_rotation: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class HandMotion:
    """One hand over the take.

    Parameters
    ----------
    status : (N,) uint8
        MISSING, OBSERVED, FILLED or DOUBTFUL.
    raw : Layer
        The motion as measured.
    clean : Layer
        The clean motion.
    offset_mean : (T, 3) float32
        Mean correction of the vertices, rest frame, metres.
    offset_basis : (K, T, 3) float32
        Corrective shapes, rest frame, metres.
    keypoints : (N, 21, 3) float32
        Keypoints as reconstructed for each frame alone, camera frame, metres; NaN where there are none.
    """

    status: np.ndarray
    raw: Layer
    clean: Layer
    offset_mean: np.ndarray
    offset_basis: np.ndarray
    keypoints: np.ndarray

    @property
    def is_present(self) -> np.ndarray:
        """(N,) bool: whether the hand is present."""
        return self.status != MISSING


@dataclass(frozen=True)
class Motion:
    """Both hands over the take.

    Parameters
    ----------
    frames : (N,) int32
        Frame numbers, ascending.
    hands : dict
        Side ("left", "right") -> the hand; one side may be missing.
    """

    frames: np.ndarray
    hands: dict[str, HandMotion]


def read_animation(take: Take) -> tuple[Template, Motion] | None:
    """Read the template and the motion of a take.

    Parameters
    ----------
    take : Take
        The take.

    Returns
    -------
    tuple of Template and Motion, or None
        None when the take has no valid clean motion: it is old or unfinished, or frames were reconstructed again since.

    Raises
    ------
    TakeError
        The files are damaged, do not fit each other, or belong to different runs.
    """
    paths = take.folder / TEMPLATE_FILE, take.folder / MOTION_FILE
    if not take.clean or not all(path.is_file() for path in paths):
        return None
    arrays = _read("template", paths[0])
    template = _parse_template(arrays, paths[0])
    lengths = {"T": len(template.weights), "B": len(template.bone_names)}
    moved = _read("motion", paths[1], lengths)
    if str(moved["key"]) != str(take.clean.get("key")):
        return None
    if "template" in take.clean and str(arrays.get("key")) != str(take.clean["template"]):
        raise TakeError(f"{paths[0]} and {MOTION_FILE} belong to different runs of the clean phase.", _AGAIN)
    hands = {}
    for side in sides_of(moved):
        if side not in template.rest:
            raise TakeError(f"Cannot read {paths[1]}: {TEMPLATE_FILE} has no {side} hand.", _AGAIN)
        hands[side] = _hand(moved, side, len(template.weights), paths[1])
    return template, Motion(moved["frames"], hands)


def _read(file: str, path: Path, lengths: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
    """The checked arrays of a file; every failure becomes a TakeError."""
    try:
        return read_described(file, read_shared(path, most_bytes=LIMITS[f"{file}_bytes"]), lengths)
    except (OSError, ValueError) as error:
        raise TakeError(f"Cannot read {path}: {error}.", _AGAIN) from error


def _parse_template(arrays: Mapping[str, np.ndarray], path: Path) -> Template:
    names = tuple(str(name) for name in arrays["bone_names"])
    if len(set(names)) != len(names) or not names or not all(names):
        raise TakeError(f"Cannot read {path}: its bones have no unique names.", _AGAIN)
    weights = arrays["weights"].astype(np.float32)
    rest = {
        side: RestHand(**{one.name: arrays[f"{side}_rest_{one.name}"] for one in fields(RestHand)})
        for side in sides_of(arrays)
    }
    shares = weights / weights.sum(axis=1, keepdims=True)
    return Template(arrays["faces"], arrays["uv"], shares, names, arrays["bone_parents"], rest)


def _hand(arrays: Mapping[str, np.ndarray], side: str, vertices: int, path: Path) -> HandMotion:
    status = arrays[f"{side}_status"]
    count = len(status)
    mean = arrays.get(f"{side}_offset_mean", np.zeros((vertices, 3), np.float32))
    basis = arrays.get(f"{side}_offset_basis", np.zeros((0, vertices, 3), np.float32))
    layers = {}
    for name, ending in (("raw", "_raw"), ("clean", "")):
        weights = np.zeros((count, 0), np.float32)
        if len(basis):
            if f"{side}_offset_weights{ending}" not in arrays:
                raise TakeError(f"Cannot read {path}: it lacks {side}_offset_weights{ending}.", _AGAIN)
            weights = arrays[f"{side}_offset_weights{ending}"]
        layers[name] = Layer(
            rotations=arrays[f"{side}_rotations{ending}"],
            root=arrays[f"{side}_root{ending}"],
            root_rotation=arrays[f"{side}_root_rotation{ending}"],
            weights=weights,
        )
    missing = np.full((count, KEYPOINT_COUNT, 3), np.nan, np.float32)
    keypoints = arrays.get(f"{side}_keypoints_raw", missing)
    return HandMotion(status, layers["raw"], layers["clean"], mean, basis, keypoints)


def keypoint_tracks(motion: Motion) -> dict[str, dict[int, np.ndarray]]:
    """Side -> frame -> keypoints (21, 3) as reconstructed for the frame alone, from the motion."""
    tracks: dict[str, dict[int, np.ndarray]] = {side: {} for side in SIDES}
    for side, hand in motion.hands.items():
        for frame, points in zip(motion.frames.tolist(), hand.keypoints, strict=True):
            if np.isfinite(points).all():
                tracks[side][frame] = points
    return tracks
