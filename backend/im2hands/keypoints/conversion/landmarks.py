"""2D landmarks of MediaPipe and OpenPose, placed in space by the camera and the palm length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.rigid import place
from im2hands.keypoints.placing.solve import place_hands

from .files import contents_of, numbers
from .hands import Converted, ForeignHand, Given, frame_of, number_in, palm_length, side_of
from .orders import checked_unit, in_file_order

_SURE = 0.05  # least confidence of an OpenPose point that is used
_LEAST_POINTS = 21
_SHAPE_COMPONENTS, _RIG_BONES = 20, 22  # of the bundled hand model


def read_mediapipe(paths: Sequence[Path], given: Given) -> Converted:
    """Read MediaPipe's landmarks, see ``sources.SOURCES``.

    A record is ``{"frame": 12, "hands": [{"handedness": "Left", "score": 0.9, "landmarks": [[x, y, z] × 21],
    "world_landmarks": [[x, y, z] × 21]}]}``, or the result's own fields ``hand_landmarks``, ``hand_world_landmarks``
    and ``handedness`` (lists over hands; points as lists or as {"x", "y", "z"}).

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    given : Given
        The camera of the pictures and the palm length.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used.
    """
    camera = given.require_camera("landmarks in the picture")
    found: list[ForeignHand] = []
    for path, content in contents_of(paths):
        records = content.get("frames", content) if isinstance(content, dict) else content
        for number, record in enumerate(records if isinstance(records, list) else [records]):
            if not isinstance(record, dict):
                raise InputError(f"{path.name} holds no results by name.", "See the source table of the documentation.")
            named = number_in(path.stem)
            frame = frame_of(record, number if isinstance(records, list) else named or 0)
            found += [_mediapipe_hand(hand, camera, given, frame, path) for hand in _hands(record)]
    return Converted(tuple(found), "camera", camera, (f"Hands were placed by a palm of {given.palm * 1000:.0f} mm.",))


def _hands(record: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(record.get("hands"), list):
        return record["hands"]
    lists = [record.get(key) for key in ("hand_landmarks", "hand_world_landmarks", "handedness")]
    if lists[0] is None:
        lists = [record.get(key) for key in ("multi_hand_landmarks", "multi_hand_world_landmarks", "multi_handedness")]
    if lists[0] is None:
        raise InputError("A record has no landmarks.", 'Write {"hands": [{"landmarks": …, "world_landmarks": …}]}.')
    return [
        {"landmarks": one, "world_landmarks": world, "handedness": side}
        for one, world, side in zip(*(value or [] for value in lists), strict=True)
    ]


def _mediapipe_hand(hand: dict[str, Any], camera: Camera, given: Given, frame: int, path: Path) -> ForeignHand:
    what = f"hand of frame {frame} in {path.name}"
    label, score = hand.get("handedness"), hand.get("score", 1.0)
    while isinstance(label, list) and label:
        label = label[0]
    if isinstance(label, dict):
        score = label.get("score", score)
        label = label.get("category_name", label.get("label", label.get("categoryName")))
    flat = _xyz(hand.get("landmarks"), what)
    pixels = flat[:, :2] * (camera.width, camera.height) - 0.5
    side = side_of(label, what)
    world = hand.get("world_landmarks")
    if world is None:
        raise InputError(f"The {what} has no world landmarks.", "Save hand_world_landmarks, too: they hold the shape.")
    shape = in_file_order(_xyz(world, what), given.order or "mediapipe", what)
    metric = (shape - shape.mean(0)) * given.palm / max(palm_length(shape), 1e-9)
    return ForeignHand(frame, side, place(metric, pixels, camera), float(score))


def _xyz(points: Any, what: str) -> np.ndarray:
    if isinstance(points, dict):
        points = points.get("landmark", points.get("landmarks"))
    if isinstance(points, list) and points and isinstance(points[0], dict):
        points = [[point.get(axis) for axis in "xyz"] for point in points]
    array = numbers(points, what)
    if array.shape != (21, 3) or not np.isfinite(array).all():
        raise InputError(f"The {what} has landmarks of shape {array.shape}.", "A hand has 21 rows of x, y, z.")
    return array


def read_openpose(paths: Sequence[Path], given: Given) -> Converted:
    """Read OpenPose's json files, see ``sources.SOURCES``.

    Parameters
    ----------
    paths : sequence of Path
        A file a picture, or a folder of them.
    given : Given
        The camera of the pictures and the palm length, for 2D; unit and space for 3D.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used.
    """
    solid: list[ForeignHand] = []
    flat: list[tuple[int, list[HandDetection]]] = []
    partial = 0
    for number, (path, content) in enumerate(contents_of(paths)):
        people = content.get("people") if isinstance(content, dict) else None
        if not isinstance(people, list):
            raise InputError(f"{path.name} is no file of OpenPose: it has no people.", "Give its json files.")
        numbered = number_in(path.stem.replace("_keypoints", ""))
        frame = number if numbered is None else numbered
        detections: list[HandDetection] = []
        for person in people:
            for side in SIDES:
                what = f"{side} hand of frame {frame} in {path.name}"
                rows = _rows(person.get(f"hand_{side}_keypoints_3d"), 4, what)
                if rows is not None and (rows[:, 3] > _SURE).all():
                    moved = in_file_order(rows[:, :3], given.order or "openpose", what)
                    points = checked_unit(moved, given.unit or "m", what)
                    solid.append(ForeignHand(frame, side, points, float(rows[:, 3].mean())))
                    continue
                rows = _rows(person.get(f"hand_{side}_keypoints_2d"), 3, what)
                if rows is None:
                    continue
                if (rows[:, 2] > _SURE).sum() < _LEAST_POINTS:
                    partial += 1
                    continue
                detections.append(_flat_hand(rows, side))
        flat.append((frame, detections))
    if solid:
        return Converted(tuple(solid), given.space or "world", given.camera)
    notes = [f"{partial} hands with missing points were left out."] if partial else []
    if not any(detections for _, detections in flat):
        return Converted((), "camera", given.camera, tuple(notes))
    notes.append("2D points have no depth: a resting hand was bent until it projects to them.")
    return _placed(flat, given.require_camera("OpenPose's 2D points"), given, notes)


def _rows(values: Any, width: int, what: str) -> np.ndarray | None:
    """Rows (21, width) of OpenPose's flat list; None if there is no hand."""
    if not values:
        return None
    flat = numbers(values, what).reshape(-1)
    if flat.size != 21 * width:
        raise InputError(f"The {what} has {flat.size} numbers.", f"Expected 21 x {width}.")
    array = flat.reshape(21, width)
    return array if array[:, width - 1].any() else None


def _flat_hand(rows: np.ndarray, side: Side) -> HandDetection:
    return HandDetection(
        side, rows[:, :2].copy(), _resting(side), rows[:, 2].clip(0, 1), float(rows[:, 2].mean()), "openpose"
    )


def _resting(side: Side) -> np.ndarray:
    """Keypoints (21, 3) of the bundled hand at rest, metres."""
    import torch

    from im2hands.geometry.hand_model import HandModel, HandShape

    model = HandModel()
    zeros = torch.zeros(1, _SHAPE_COMPONENTS, dtype=torch.float64)
    ones = torch.ones(1, _RIG_BONES, dtype=torch.float64)
    vertices, heads = model.rest(HandShape(zeros, ones, ones))
    turns = torch.eye(3, dtype=torch.float64).expand(1, _RIG_BONES, 3, 3)
    joints = model.pose(vertices, heads, turns)[1][0].numpy()
    return joints * (-1, 1, 1) if side == "left" else joints


def _placed(
    found: Sequence[tuple[int, list[HandDetection]]], camera: Camera, given: Given, notes: Sequence[str]
) -> Converted:
    hands: list[ForeignHand] = []
    lost = 0
    for frame, detections in found:
        placed = place_hands(detections, camera, given.palm)
        present = placed.present()
        lost += len({detection.side for detection in detections}) - len(present)
        hands += [ForeignHand(frame, hand.side, hand.positions, hand.score) for hand in present]
    said = [*notes, f"Hands were placed by a palm of {given.palm * 1000:.0f} mm."]
    if lost:
        said.append(f"{lost} hands could not be placed.")
    return Converted(tuple(hands), "camera", camera, tuple(said))
