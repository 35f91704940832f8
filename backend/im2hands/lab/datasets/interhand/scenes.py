"""Scenes of a split in the prepared layout, in the form of a scene set, so that every training reads both alike.

The layout holds less than a synthetic set: no parameters of the bundled hand model, and occupancies instead of signed
distances. Distances are computed when a scene is read, from the closed mesh of the hand if there is one, otherwise from
the surface points of ``meta``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import KEYPOINT_COUNT, SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.lab.datasets.part_occupancy import inside, surface_distance
from im2hands.lab.datasets.scene import LEFT, RIGHT, Scene, SetInfo, encode_labels
from im2hands.lab.datasets.scene_shards import ARRAYS, shape_of
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.surfaces.hand_crop import CROP_SIZE

from .annotation import read_annotation
from .layout import (
    PreparedHand,
    crop_indices,
    hand_name,
    hand_path,
    joints_path,
    read_hand,
    read_joints,
    read_mesh,
    read_points,
)
from .raw import ViewCamera

POINTS = 3072
"""Labelled points of each hand of a scene; they are drawn from the file's 100,000."""

TERMS = "InterHand2.6M CC BY-NC 4.0, MANO non-commercial research"
"""Terms of what is trained on prepared crops, unless they were prepared from something else."""

_CLOSE = 0.002  # metres; points nearer than this make up the first third
_MARGIN = 0.015  # of the hand's box, metres
_CHECKED = 64  # crops that ``check`` reads completely
_SHARD = 64  # scenes of a shard if the set is copied into a scene set
_DISC = 0.002  # radius of a surface point in the label image where there is no mesh, metres
_HANDS = 16  # meshes and points of hands that are kept; views of a frame often follow each other


class _Hand(NamedTuple):
    """The files of a hand: its ``meta``, its points (N, 3) in the canonical frame, metres, and its mesh, if any."""

    prepared: PreparedHand
    points: np.ndarray
    occupied: np.ndarray
    mesh: tuple[np.ndarray, np.ndarray] | None


class PreparedScenes(SceneSet):
    """A split in the prepared layout, read as a scene set.

    Parameters
    ----------
    folder : Path
        Folder of the split, with ``img``, ``anno``, ``meta`` and ``points``.
    points : int
        Labelled points of each hand.

    Raises
    ------
    InputError
        The folder has no crops.
    """

    def __init__(self, folder: Path, points: int = POINTS) -> None:
        self.folder = Path(folder)
        self._indices = crop_indices(self.folder)
        if not self._indices:
            raise InputError(f"{folder} has no crops: its folder anno is empty.", "Prepare the split first.")
        made = {"layout": "prepared crops", "crops": len(self._indices), "terms": TERMS}
        self.info = SetInfo(0, _SHARD, CROP_SIZE, points, ("two hands",), made, len(self._indices))
        self._is_detected = (self.folder / "pred_joints").is_dir()
        self._hand = lru_cache(_HANDS)(self._load_hand)

    def scene(self, index: int) -> Scene:
        """Load scene ``index``.

        Its points are drawn from those of the hand's file, always the same ones for a crop: a third within 2 mm of the
        surface, a third from all points near it, and a third from the uniform points in the hand's box.

        Raises
        ------
        IndexError
            There is no such scene.
        InputError
            A file of the scene is missing or damaged.
        SetupError
            libigl is not installed.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        number = self._indices[index]
        annotation = read_annotation(self.folder / "anno" / f"{number}.pkl")
        sample, camera = annotation.sample, annotation.camera
        hands = {side: self._hand(hand_name(sample.capture, sample.frame, side)) for side in SIDES}
        picture = self.folder / "img" / f"{number}.jpg"
        try:
            jpeg = read_regular(picture)
        except OSError as error:
            raise InputError(f"{picture} cannot be read: {error.strerror or error}.", "Prepare it again.") from error
        keypoints = np.stack([
            camera.to_camera(hands[side].prepared.to_world(hands[side].prepared.keypoints)) for side in SIDES
        ])  # fmt: skip
        labels = _label_image(hands, camera)
        arrays: dict[str, Any] = {
            name: np.full(shape_of(name, self.info.points), np.nan if np.issubdtype(dtype, np.floating) else 0, dtype)
            for name, (dtype, _) in ARRAYS.items()
        }
        arrays |= {
            "keypoints": keypoints.astype(np.float32), "visible": _visible(keypoints, camera, labels),
            "intrinsics": camera.matrix.astype(np.float32), "size": np.array([CROP_SIZE, CROP_SIZE], np.int32),
        }  # fmt: skip
        for hand, side in enumerate(SIDES):
            rng = np.random.default_rng((number, hand))
            other = hands[SIDES[1 - hand]]
            for name, values in _labelled(hands[side], other, self.info.points, rng).items():
                arrays[name][hand] = values
        arrays["detected"] = self._detected(number, camera, hands)
        return Scene(picture=jpeg, labels=encode_labels(labels), **arrays)

    def present(self) -> np.ndarray:
        """Return which hands are present in each of the N scenes, (N, 2) bool: both, always."""
        return np.ones((len(self), 2), bool)

    def check(self) -> None:
        """Check that every crop has its picture, and read some crops completely.

        Raises
        ------
        InputError
            A file is missing or damaged.
        """
        pictures = {path.stem for path in (self.folder / "img").iterdir()}
        for number in self._indices:
            if str(number) not in pictures:
                raise InputError(f"{self.folder / 'img' / f'{number}.jpg'} is missing.", "Prepare the split again.")
        for index in np.unique(np.linspace(0, len(self) - 1, _CHECKED).astype(int)):
            self.scene(int(index))

    def _load_hand(self, name: str) -> _Hand:
        points, occupied = read_points(self.folder, name)
        if len(points) < 2:
            raise InputError(f"{hand_path(self.folder, 'points', name)} has no points.", "Prepare the split again.")
        path = hand_path(self.folder, "mesh", name)
        mesh = read_mesh(path) if path.exists() else None
        return _Hand(read_hand(self.folder, name), points.astype(np.float64) * QUERY_SCALE, occupied, mesh)

    def _detected(self, number: int, camera: ViewCamera, hands: Mapping[Side, _Hand]) -> np.ndarray | None:
        """Detected keypoints (2, 21, 3) of ``pred_joints``, camera frame; NaN for a hand without a file."""
        if not self._is_detected:
            return None
        found = np.full((2, KEYPOINT_COUNT, 3), np.nan, np.float32)
        for hand, side in enumerate(SIDES):
            path = joints_path(self.folder, number, side, "pred_joints")
            if path.exists():
                world = read_joints(path)
                # The layout allows keypoints relative to the wrist; then the true wrist is added.
                prepared = hands[side].prepared
                world = world - world[0] + prepared.to_world(prepared.keypoints[:1])
                found[hand] = camera.to_camera(world)
        return found


def _labelled(hand: _Hand, other: _Hand, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Choose ``count`` points of a hand, in three parts as ``scene_points.label_points`` draws them, and label them."""
    surface = hand.prepared.surface if hand.mesh is None else hand.mesh[0]
    if not len(surface):
        raise InputError("A hand has neither a mesh nor surface points in its meta file.", "Prepare the set again.")
    uniform, near = np.array_split(np.arange(len(hand.points)), [(len(hand.points) + 1) // 2])
    low, high = surface.min(0) - _MARGIN, surface.max(0) + _MARGIN
    boxed = uniform[((hand.points[uniform] >= low) & (hand.points[uniform] <= high)).all(1)]
    third = count // 3
    drawn = np.concatenate([
        rng.choice(near, 3 * third), rng.choice(boxed if len(boxed) else uniform, count - 2 * third)
    ])  # fmt: skip
    distance = _distance(hand, drawn)
    close = np.flatnonzero(np.abs(distance[: 3 * third]) < _CLOSE)
    chosen = np.concatenate([
        rng.choice(close if len(close) else 3 * third, third), np.arange(third), np.arange(3 * third, len(drawn))
    ])  # fmt: skip
    points = hand.points[drawn[chosen]].astype(np.float16)
    result = {"points": points, "distance": distance[chosen].astype(np.float16)}
    if len(hand.prepared.surface):
        nearest = cKDTree(hand.prepared.surface).query(points.astype(np.float64))[1]
        result["part"] = hand.prepared.labels[nearest].astype(np.int8)
    if other.mesh is not None:
        seen = other.prepared.from_world(hand.prepared.to_world(points.astype(np.float64)))
        result["other"] = _signed(seen, other.mesh).astype(np.float16)
    return result


def _distance(hand: _Hand, rows: np.ndarray) -> np.ndarray:
    """Signed distances of some points to the hand, metres; the sign is that of the stored occupancy."""
    sign = np.where(hand.occupied[rows], -1.0, 1.0)
    if hand.mesh is None:
        return sign * cKDTree(hand.prepared.surface).query(hand.points[rows])[0]
    return sign * surface_distance(hand.points[rows], *hand.mesh)[0]


def _signed(points: np.ndarray, mesh: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Signed distances of points to a closed mesh, metres. The slow test of the sign is for points in its box only."""
    distance = surface_distance(points, *mesh)[0]
    boxed = ((points >= mesh[0].min(0)) & (points <= mesh[0].max(0))).all(1)
    if boxed.any():
        distance[boxed] *= np.where(inside(points[boxed], *mesh), -1.0, 1.0)
    return distance


def _label_image(hands: Mapping[Side, _Hand], camera: ViewCamera) -> np.ndarray:
    """The label image (256, 256): the farthest shapes are painted first."""
    shapes: list[tuple[float, int, np.ndarray]] = []
    for side, value in zip(SIDES, (LEFT, RIGHT), strict=True):
        hand = hands[side]
        own = hand.prepared.surface if hand.mesh is None else hand.mesh[0]
        seen = camera.to_camera(hand.prepared.to_world(own))
        pixels = seen @ camera.matrix.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        if hand.mesh is None:
            angles = np.arange(8) * np.pi / 4
            disc = np.stack([np.cos(angles), np.sin(angles)], 1) * _DISC * camera.matrix[0, 0]
            outlines = pixels[:, None] + disc / seen[:, None, 2:]
            depths = seen[:, 2]
        else:
            outlines, depths = pixels[hand.mesh[1]], seen[hand.mesh[1], 2].mean(1)
        shapes += [(depth, value, outline) for depth, outline in zip(depths, outlines, strict=True)]
    labels = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for _, value, outline in sorted(shapes, key=lambda shape: -shape[0]):
        cv2.fillConvexPoly(labels, np.rint(outline * 16).astype(np.int32), value, shift=4)
    return labels


def _visible(keypoints: np.ndarray, camera: ViewCamera, labels: np.ndarray) -> np.ndarray:
    """Which keypoints (2, 21) lie in the picture and are not behind the other hand, uint8."""
    pixels = keypoints @ camera.matrix.T
    pixels = np.rint(pixels[..., :2] / pixels[..., 2:]).astype(np.int64)
    seen = ((pixels >= 0) & (pixels < CROP_SIZE)).all(-1)
    x, y = np.moveaxis(pixels.clip(0, CROP_SIZE - 1), -1, 0)
    other = np.array([[RIGHT], [LEFT]])
    return (seen & (labels[y, x] != other)).astype(np.uint8)
