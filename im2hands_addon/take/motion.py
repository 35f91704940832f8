"""Reads the animation of a take: the template hand with its rig, and the motion over all frames (numpy only).

Units and frames are those of the take: metres; the camera frame has x right, y down, z forward. Template and rest pose
are in the rest frame of each hand. Quaternions are (w, x, y, z). See ``docs/take.md``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import TakeError
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
        The files are damaged, or do not fit each other.
    """
    paths = take.folder / TEMPLATE_FILE, take.folder / MOTION_FILE
    if not take.clean or not all(path.is_file() for path in paths):
        return None
    if _parse(paths[1], lambda arrays: str(arrays["key"])) != str(take.clean.get("key")):
        return None
    template = _parse(paths[0], _parse_template)
    motion = _parse(paths[1], lambda arrays: _parse_motion(arrays, template))
    return template, motion


def _parse(path: Path, parser):
    """The result of ``parser`` for the arrays of an npz file; every failure becomes a TakeError."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return parser({name: archive[name] for name in archive.files})
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise TakeError(f"Cannot read {path}: {error}.", _AGAIN) from error


def _array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], dtype: type) -> np.ndarray:
    """The array ``name``, checked against ``shape`` (None allows any length) and converted to ``dtype``."""
    if name not in arrays:
        raise ValueError(f"it lacks {name}")
    found = arrays[name]
    fits = found.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {found.dtype}{found.shape}")
    return np.ascontiguousarray(found, dtype=dtype)


def _finite(name: str, *arrays: np.ndarray) -> None:
    """Refuse arrays with NaN or infinity; ``name`` begins the message."""
    if not all(np.isfinite(one).all() for one in arrays):
        raise ValueError(f"{name} has numbers that are not finite")


def _parse_template(arrays: Mapping[str, np.ndarray]) -> Template:
    names = tuple(str(name) for name in arrays["bone_names"])
    bones = len(names)
    if len(set(names)) != bones or not bones or not all(names):
        raise ValueError("its bones have no unique names")
    weights = _array(arrays, "weights", (None, bones), np.float32)
    faces = _array(arrays, "faces", (None, 4), np.int32)
    uv = _array(arrays, "uv", (len(faces), 4, 2), np.float32)
    parents = _array(arrays, "bone_parents", (bones,), np.int32)
    if (parents >= np.arange(bones)).any() or parents.min(initial=0) < -1:
        raise ValueError("bone_parents does not put parents before their children")
    count = len(weights)
    if faces.size and (faces[:, :3].min() < 0 or faces[:, 3].min() < -1 or faces.max() >= count):
        raise ValueError(f"faces points past its {count} vertices")
    sums = weights.sum(axis=1, keepdims=True)
    if not (sums > 0).all():
        raise ValueError("weights leaves vertices without a bone")
    _finite("it", weights, np.where(faces[..., None] < 0, 0.0, uv))
    rest = {}
    for side in SIDES:
        if f"{side}_rest_vertices" not in arrays:
            continue
        rest[side] = RestHand(
            vertices=_array(arrays, f"{side}_rest_vertices", (count, 3), np.float32),
            heads=_array(arrays, f"{side}_rest_heads", (bones, 3), np.float32),
            tails=_array(arrays, f"{side}_rest_tails", (bones, 3), np.float32),
            axes=_array(arrays, f"{side}_rest_axes", (bones, 3, 3), np.float32),
        )
        one = rest[side]
        _finite(f"the {side} hand", one.vertices, one.heads, one.tails, one.axes)
    return Template(faces, uv, weights / sums, names, parents, rest)


def _parse_motion(arrays: Mapping[str, np.ndarray], template: Template) -> Motion:
    frames = _array(arrays, "frames", (None,), np.int32)
    if (np.diff(frames) <= 0).any():
        raise ValueError("frames is not ascending")
    hands = {}
    for side in SIDES:
        if f"{side}_status" not in arrays:
            continue
        if side not in template.rest:
            raise ValueError(f"{TEMPLATE_FILE} has no {side} hand")
        hands[side] = _parse_hand(arrays, side, len(frames), template)
    return Motion(frames, hands)


def _parse_hand(arrays: Mapping[str, np.ndarray], side: str, count: int, template: Template) -> HandMotion:
    status = _array(arrays, f"{side}_status", (count,), np.uint8)
    if status.max(initial=0) > DOUBTFUL:
        raise ValueError(f"{side}_status has values past {DOUBTFUL}")
    vertices = len(template.weights)
    mean, basis = np.zeros((vertices, 3), np.float32), np.zeros((0, vertices, 3), np.float32)
    if f"{side}_offset_mean" in arrays:
        mean = _array(arrays, f"{side}_offset_mean", (vertices, 3), np.float32)
    if f"{side}_offset_basis" in arrays:
        basis = _array(arrays, f"{side}_offset_basis", (None, vertices, 3), np.float32)
    _finite(f"the {side} hand's corrective shapes", mean, basis)
    bones = len(template.bone_names)
    layers = {}
    for name, ending in (("raw", "_raw"), ("clean", "")):
        weights = np.zeros((count, 0), np.float32)
        if len(basis):
            weights = _array(arrays, f"{side}_offset_weights{ending}", (count, len(basis)), np.float32)
        layers[name] = Layer(
            rotations=_array(arrays, f"{side}_rotations{ending}", (count, bones, 4), np.float32),
            root=_array(arrays, f"{side}_root{ending}", (count, 3), np.float32),
            root_rotation=_array(arrays, f"{side}_root_rotation{ending}", (count, 4), np.float32),
            weights=weights,
        )
    present = status != MISSING
    clean = layers["clean"]
    _finite(
        f"the {side} hand's motion",
        clean.rotations[present], clean.root[present], clean.root_rotation[present], clean.weights[present],
    )  # fmt: skip
    keypoints = np.full((count, KEYPOINT_COUNT, 3), np.nan, np.float32)
    if f"{side}_keypoints_raw" in arrays:
        keypoints = _array(arrays, f"{side}_keypoints_raw", (count, KEYPOINT_COUNT, 3), np.float32)
    return HandMotion(status, layers["raw"], clean, mean, basis, keypoints)
