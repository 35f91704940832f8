"""Results of SAM 3D Body: the hands among the 70 keypoints of the Momentum Human Rig, or joints by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side

from .files import numbers
from .hands import Converted, ForeignHand, Given, frame_of
from .orders import checked_unit, in_file_order, named_points
from .regressors import _camera, one_camera, records_of, scaled_by_palm

MHR_ROWS: dict[Side, slice] = {"right": slice(21, 42), "left": slice(42, 63)}
"""Rows of the hands among the 70 keypoints: each finger tip to base, then the wrist, as InterHand2.6M orders them."""

MHR_KEYPOINTS = 70


def read_sam3dbody(paths: Sequence[Path], given: Given) -> Converted:
    """Read results of SAM 3D Body, see ``sources.SOURCES``.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders; a record a person. Of several persons the first of each frame is taken.
    given : Given
        Palm length, if the size is known.

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used.
    """
    hands: list[ForeignHand] = []
    cameras: list[Camera] = []
    seen: set[int] = set()
    others = 0
    for path, place, record in records_of(paths):
        frame = frame_of(record, place)
        if frame in seen:
            others += 1
            continue
        seen.add(frame)
        what = f"person of frame {frame} in {path.name}"
        shift = numbers(record.get("pred_cam_t", record.get("cam_t")), f"pred_cam_t of the {what}").reshape(-1)
        if shift.shape != (3,) or not np.isfinite(shift).all():
            raise InputError(f"The {what} has no camera translation.", "Save pred_cam_t (3).")
        camera = _camera(record)
        if camera is not None:
            cameras.append(camera)
        for side in SIDES:
            points = _hand(record, side, given, what)
            if points is not None:
                hands.append(ForeignHand(frame, side, points + shift))
    notes = [f"{others} further persons were left out; the first of each frame is taken."] if others else []
    scaled, more = scaled_by_palm(hands, given)
    return Converted(tuple(scaled), "camera", given.camera or one_camera(cameras), (*notes, *more))


def _hand(record: dict, side: Side, given: Given, what: str) -> np.ndarray | None:
    points = record.get("pred_keypoints_3d", record.get("keypoints_3d"))
    what = f"{side} hand of the {what}"
    if isinstance(points, dict):
        own = {name: numbers(point, what) for name, point in points.items() if name.lower().startswith(side)}
        return checked_unit(named_points(own, what), given.unit or "m", what) if own else None
    array = numbers(points, what)
    if array.shape != (MHR_KEYPOINTS, 3):
        raise InputError(f"The {what} has keypoints of shape {array.shape}.", "Save pred_keypoints_3d (70, 3).")
    rows = array[MHR_ROWS[side]]
    if not np.isfinite(rows).all():
        return None
    return checked_unit(in_file_order(rows, given.order or "interhand", what), given.unit or "m", what)
