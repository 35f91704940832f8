"""Reads what a take holds for animation: the template with its rig, and the motion over all frames (numpy only).

Everything is in the take's own terms: metres, camera frame x right, y down, z forward; each hand's template and rest
pose are in that hand's own rest frame. Quaternions are (w, x, y, z). See ``docs/take.md``.
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
STATUS_NAMES = ("missing", "observed", "filled", "doubtful")
_AGAIN = "Reconstruct the take again."


@dataclass(frozen=True)
class RestHand:
    """One hand in its rest pose, in its own rest frame, metres.

    Args:
        vertices: (T, 3) float32. heads, tails: (B, 3) float32.
        axes: (B, 3, 3) float32, columns x, y, z of each bone; y points from head to tail, the finger bends about x.
    """

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    axes: np.ndarray


@dataclass(frozen=True)
class Template:
    """The mesh of fixed topology and its rig, the same for both hands but for mirroring.

    Args:
        faces: (F, 4) int32, outward counter-clockwise on one of the hands; the last entry of a triangle is -1.
        uv: (F, 4, 2) float32, per corner. weights: (T, B) float32, rows sum to 1.
        bone_names: B names without side. bone_parents: (B,) int32, -1 for a root; parents stand before children.
        rest: by side ("left", "right") that hand at rest; one side may be missing.
    """

    faces: np.ndarray
    uv: np.ndarray
    weights: np.ndarray
    bone_names: tuple[str, ...]
    bone_parents: np.ndarray
    rest: dict[str, RestHand]

    def faces_of(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Faces (F, 4) and uv (F, 4, 2) of that side, outward counter-clockwise; the left hand is a mirror image."""
        if _signed_volume(self.rest[side].vertices, self.faces) >= 0:
            return self.faces, self.uv
        triangles = self.faces[:, 3] < 0
        order = np.where(triangles[:, None], [0, 2, 1, 3], [0, 3, 2, 1])
        return np.take_along_axis(self.faces, order, 1), np.take_along_axis(self.uv, order[..., None], 1)


def _signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume within (nearly closed) faces, cubic metres; negative where they are wound inward."""
    points = np.asarray(vertices, np.float64) - vertices.mean(axis=0)
    quads = faces[faces[:, 3] >= 0]
    triangles = np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


@dataclass(frozen=True)
class Layer:
    """One version of a hand's motion, as measured ("raw") or cleaned, NaN on frames without the hand.

    Args:
        rotations: (N, B, 4), each bone's rotation in its rest axes relative to its parent.
        root: (N, 3) metres, root_rotation: (N, 4): the rigid motion from the rest frame to the camera frame.
        weights: (N, K), of the corrective shapes.
    """

    rotations: np.ndarray
    root: np.ndarray
    root_rotation: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class HandMotion:
    """One hand over the take.

    Args:
        status: (N,) uint8: MISSING, OBSERVED, FILLED or DOUBTFUL.
        offset_mean: (T, 3), offset_basis: (K, T, 3): corrective shapes in the rest frame, metres.
        keypoints: (N, 21, 3) of each frame by itself, camera frame, metres, NaN where there are none.
    """

    status: np.ndarray
    raw: Layer
    clean: Layer
    offset_mean: np.ndarray
    offset_basis: np.ndarray
    keypoints: np.ndarray

    @property
    def is_present(self) -> np.ndarray:
        """(N,) bool: where there is something to show."""
        return self.status != MISSING


@dataclass(frozen=True)
class Motion:
    """Both hands over the take: ``frames`` (N,) int32, ascending, and by side the hand; one side may be missing."""

    frames: np.ndarray
    hands: dict[str, HandMotion]


def read_animation(take: Take) -> tuple[Template, Motion] | None:
    """The template and the motion of a take.

    None where the take has none: it is older, not finished, or its frames were made anew since.

    Raises:
        TakeError: they are damaged, or do not belong together.
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
    try:
        with np.load(path, allow_pickle=False) as archive:
            return parser({name: archive[name] for name in archive.files})
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise TakeError(f"Cannot read {path}: {error}.", _AGAIN) from error


def _array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], dtype: type) -> np.ndarray:
    """The array ``name``, checked against ``shape`` (None for any length)."""
    if name not in arrays:
        raise ValueError(f"it lacks {name}")
    found = arrays[name]
    fits = found.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {found.dtype}{found.shape}")
    return np.ascontiguousarray(found, dtype=dtype)


def _finite(name: str, *arrays: np.ndarray) -> None:
    if not all(np.isfinite(one).all() for one in arrays):
        raise ValueError(f"{name} has numbers that are not finite")


def _parse_template(arrays: Mapping[str, np.ndarray]) -> Template:
    names = tuple(str(name) for name in arrays["bone_names"])
    bones = len(names)
    if len(set(names)) != bones or not bones or not all(names):
        raise ValueError("its bones have no names of their own")
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
