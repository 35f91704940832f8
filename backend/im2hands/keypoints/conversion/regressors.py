"""Results of mesh regressors of single hands: HaMeR and WiLoR (a record a hand), and Dyn-HaMR (a clip)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import Side

from .files import contents_of, numbers, tables_of
from .hands import Converted, ForeignHand, Given, curl_sign, frame_of, number_in, palm_length, side_of
from .orders import checked_unit, in_file_order, regressed

_CLEAR = 0.6  # sum of the fingers' curl from which it says the side
_POINTS = ("pred_keypoints_3d", "keypoints_3d", "joints", "pred_joints")
_VERTICES = ("pred_vertices", "vertices", "verts")
_MOVED = ("pred_cam_t_full", "cam_t", "cam_t_full")
_FOCAL = ("scaled_focal_length", "focal_length")


def read_hamer(paths: Sequence[Path], given: Given) -> Converted:
    """Read HaMeR's results; its left hands are mirrored right ones. See ``sources.SOURCES``."""
    return _read(paths, given, mirrored=True)


def read_wilor(paths: Sequence[Path], given: Given) -> Converted:
    """Read WiLoR's results; its left hands are mirrored back. See ``sources.SOURCES``."""
    return _read(paths, given, mirrored=False)


def records_of(paths: Sequence[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """The records of files: a list, a dictionary of one record, or a dictionary of arrays with a first axis of B.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.

    Yields
    ------
    path : Path
        The file.
    number : int
        Frame of a record that does not say its own: the number in the file's name, else 0.
    record : dict
        The record.

    Raises
    ------
    InputError
        A file cannot be read, or holds no records.
    """
    for path, content in contents_of(paths):
        named = number_in(path.stem) or 0
        for record in _records(path, content):
            yield path, named, record


def _records(path: Path, content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        for key in ("predictions", "hands", "records", "people", "outputs"):
            if isinstance(content.get(key), list):
                content = content[key]
                break
    if isinstance(content, dict):
        lengths = {len(np.asarray(content[k])) for k in _POINTS if k in content and np.asarray(content[k]).ndim == 3}
        if lengths:
            count = lengths.pop()
            for row in range(count):
                yield {key: _row(value, row, count) for key, value in content.items()}
            return
        content = [content]
    if not isinstance(content, list | tuple) or not all(isinstance(record, dict) for record in content):
        raise InputError(f"{path.name} holds no records.", "Save a list with a dictionary for each hand.")
    for record in content:
        inner = record.get("wilor_preds")  # WiLoR-mini nests what WiLoR writes beside the side
        yield {**record, **inner} if isinstance(inner, dict) else record


def _row(value: Any, row: int, count: int) -> Any:
    array = value if isinstance(value, list | np.ndarray) else None
    return value if array is None or np.ndim(array) == 0 or len(array) != count else array[row]


def _read(paths: Sequence[Path], given: Given, *, mirrored: bool) -> Converted:
    hands: list[ForeignHand] = []
    cameras: list[Camera] = []
    turned = 0
    for path, place, record in records_of(paths):
        frame = frame_of(record, place)
        what = f"hand of frame {frame} in {path.name}"
        side = side_of(next((record[k] for k in ("is_right", "right", "side") if k in record), None), what)
        points = _points(record, given, what)
        flips = mirrored and side == "left"
        sign = curl_sign(points)
        if side == "left" and abs(sign) > _CLEAR:  # bent fingers show whether the hand is mirrored
            turned += flips != (sign < 0)
            flips = sign < 0
        if flips:
            points = points * (-1, 1, 1)
        shift, camera = _translation(record, given, side, what)
        if camera is not None:
            cameras.append(camera)
        score = float(np.ravel(record.get("score", 1.0))[0])
        hands.append(ForeignHand(frame, side, points + shift, score))
    notes = ["Each hand was read alone, as a hand of mean size: their relative depth is uncertain."]
    if turned:
        notes.append(f"{turned} left hands were mirrored otherwise than this source does; their fingers show it.")
    hands, more = scaled_by_palm(hands, given)
    return Converted(tuple(hands), "camera", given.camera or one_camera(cameras), (*notes, *more))


def scaled_by_palm(hands: list[ForeignHand], given: Given) -> tuple[list[ForeignHand], list[str]]:
    """Scale all hands about the camera by one factor, so that their mean palm is the given one.

    What projects to a pixel stays there.
    """
    if given.palm_m is None or not hands:
        return hands, []
    factor = given.palm_m / float(np.mean([palm_length(hand.positions) for hand in hands]))
    scaled = [ForeignHand(hand.frame, hand.side, hand.positions * factor, hand.score) for hand in hands]
    return scaled, [f"All positions were scaled by {factor:.3f} about the camera."]


def one_camera(cameras: Sequence[Camera]) -> Camera | None:
    """The camera, if all are the same."""
    return cameras[0] if cameras and all(camera == cameras[0] for camera in cameras) else None


def _points(record: dict[str, Any], given: Given, what: str) -> np.ndarray:
    for key in _POINTS:
        if key in record:
            points = numbers(record[key], what)
            points = in_file_order(points.reshape(-1, 3)[-21:] if points.size == 63 else points,
                                   given.order or "openpose", what)  # fmt: skip
            return checked_unit(points, given.unit or "m", what)
    for key in _VERTICES:
        if key in record and given.regressor is not None:
            return checked_unit(regressed(numbers(record[key], what).reshape(778, 3), given.regressor), "m", what)
    raise InputError(
        f"The {what} has no 3D keypoints.", "Save pred_keypoints_3d (21, 3), or pred_vertices and give --regressor."
    )


def _translation(record: dict[str, Any], given: Given, side: Side, what: str) -> tuple[np.ndarray, Camera | None]:
    """Translation of a hand into the camera frame, metres, and the picture's camera if the record says it."""
    camera = _camera(record)
    for key in _MOVED:
        if key in record:
            shift = numbers(record[key], what).reshape(-1)
            if shift.shape == (3,) and np.isfinite(shift).all():
                return shift, camera
    seen = given.camera or camera
    if "pred_cam" in record and seen is not None and "box_size" in record and "box_center" in record:
        scale, x, y = numbers(record["pred_cam"], what).reshape(-1)[:3]
        if side == "left" and not record.get("pred_cam_flipped", False):
            x = -x
        box = float(np.ravel(numbers(record["box_size"], what))[0])
        centre = numbers(record["box_center"], what).reshape(-1)[:2]
        if not scale * box > 0:
            raise InputError(f"The {what} has a weak-perspective scale of {scale:g}.", "Leave the hand out.")
        depth = 2 * seen.fx / (box * scale)
        aside = (centre - (seen.cx, seen.cy)) * depth / (seen.fx, seen.fy)
        return np.array([x + aside[0], y + aside[1], depth]), camera
    raise InputError(
        f"The {what} has no camera.",
        "Save pred_cam_t_full (3); or pred_cam, box_center and box_size, with img_size and focal_length or --camera.",
    )


def _camera(record: dict[str, Any]) -> Camera | None:
    """The camera of a record with a focal length and a picture size: centred."""
    focal = next((record[key] for key in _FOCAL if key in record), None)
    size = next((record[key] for key in ("img_size", "image_size") if key in record), None)
    if focal is None or size is None:
        return None
    width, height = (int(value) for value in np.ravel(size)[:2])
    values = np.ravel(np.asarray(focal, np.float64))
    return Camera(float(values[0]), float(values[-1]), width / 2, height / 2, width, height, "file")


def read_dynhamr(paths: Sequence[Path], given: Given) -> Converted:
    """Read Dyn-HaMR's results: joints in the world, moved into each frame's camera. See ``sources.SOURCES``."""
    hands: list[ForeignHand] = []
    cameras: list[Camera] = []
    hint = "Its MANO parameters alone hold none: save the output of its MANO layer as joints (P, T, 21, 3)."
    for path, content in tables_of(paths, hint, "joints"):
        joints = numbers(content["joints"], f"joints of {path.name}")
        joints = joints.reshape(-1, *joints.shape[-3:])
        count, frames = joints.shape[:2]
        right = numbers(content.get("is_right"), "is_right").reshape(count, -1)
        turn = numbers(content.get("cam_R"), "cam_R").reshape(-1, 3, 3)
        shift = numbers(content.get("cam_t"), "cam_t").reshape(-1, 3)
        if len(turn) % frames or len(shift) != len(turn):
            raise InputError(f"{path.name} has {len(turn)} cameras for {frames} frames.", "Save cam_R (T, 3, 3).")
        followed = numbers(content.get("track_mask", np.ones((count, frames))), "track_mask").reshape(count, frames)
        if "intrins" in content:
            fx, fy, cx, cy = numbers(content["intrins"], "intrins").reshape(-1)[:4]
            cameras.append(Camera(fx, fy, cx, cy, max(1, round(2 * cx)), max(1, round(2 * cy)), "file"))
        for person in range(count):
            for frame in range(frames):
                points = joints[person, frame]
                if not followed[person, frame] or not np.isfinite(points).all():
                    continue
                side = side_of(right[person, min(frame, right.shape[1] - 1)], f"hand {person} in {path.name}")
                points = in_file_order(points, given.order or "openpose", f"{side} hand {frame} in {path.name}")
                hands.append(ForeignHand(frame, side, points @ turn[frame].T + shift[frame]))
    hands, notes = scaled_by_palm(hands, given)
    return Converted(tuple(hands), "camera", given.camera or one_camera(cameras), tuple(notes))
