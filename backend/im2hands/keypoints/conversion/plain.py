"""Plain joint files: points of 21 keypoints in a named order and unit, or joints by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import is_rotation
from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side

from .files import contents_of, numbers, read_values
from .hands import Converted, ForeignHand, Given, number_in
from .orders import checked_unit, in_file_order, named_points

_SIDED = re.compile(r"(?P<frame>.*?)[_.-]?(?P<side>left|right)$", re.IGNORECASE)


def read_points(paths: Sequence[Path], given: Given) -> Converted:
    """Read plain joint files, see ``sources.SOURCES``.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    given : Given
        Order (default "file"), unit (default m) and space (default camera; world for ply files, as pred_joints are).

    Returns
    -------
    Converted

    Raises
    ------
    InputError
        A file cannot be used, or its bones show another order or unit.
    """
    cameras = _cameras(given)
    hands: list[ForeignHand] = []
    space = "camera"
    settings: dict[str, str] = {}
    for path, content in contents_of(paths):
        if path.suffix.lower() == ".ply":
            space = "world"
        for frame, side, points, said in _hands_in(path, content):
            what = f"{side} hand of frame {frame} in {path.name}"
            order, unit = given.order or said.get("order", "file"), given.unit or said.get("unit", "m")
            settings |= {key: said[key] for key in ("space",) if key in said}
            moved = points if said.get("order") == "named" else in_file_order(points, order, what)
            hands.append(ForeignHand(frame, side, checked_unit(moved, unit, what)))
    space = given.space or settings.get("space", space)
    if cameras is None or space != "world":
        return Converted(tuple(hands), space)
    moved_hands = []
    for hand in hands:
        if hand.frame not in cameras:
            raise InputError(f"There is no annotation of view {hand.frame}.", "Give the folder anno of the split.")
        turn, shift = cameras[hand.frame]
        moved_hands.append(ForeignHand(hand.frame, hand.side, hand.positions @ turn.T + shift))
    return Converted(
        tuple(moved_hands), "camera", given.camera, ("World positions were moved into each view's camera.",)
    )


def _hands_in(path: Path, content: Any) -> list[tuple[int, Side, np.ndarray, dict[str, str]]]:
    """Frame, side, points and settings of every hand in a file."""
    named = _SIDED.fullmatch(path.stem)
    if isinstance(content, dict) and set(content) == {"vertices"}:
        if named is None:
            raise InputError(f"{path.name} does not say which hand it is.", "Name it NUMBER_left or NUMBER_right.")
        return [(number_in(named["frame"]) or 0, _side(named["side"]), numbers(content["vertices"], path.name), {})]
    if isinstance(content, np.ndarray):
        if named is None:
            raise InputError(f"{path.name} does not say which hand it is.", "Name it NUMBER_left or NUMBER_right.")
        return [(number_in(named["frame"]) or 0, _side(named["side"]), content, {})]
    if not isinstance(content, dict):
        raise InputError(f"{path.name} holds no hands by name.", 'Write {"frames": {"000012": {"left": …}}}.')
    said = {key: str(content[key]) for key in ("order", "unit", "space") if key in content}
    found = []
    frames = content.get("frames")
    if frames is None:
        frames = _by_frame(content, path)
    for key, hands in frames.items():
        if not isinstance(hands, dict):
            raise InputError(f"Frame {key} in {path.name} is not a set of hands.", 'Write {"left": …, "right": …}.')
        for side in SIDES:
            if hands.get(side) is None:
                continue
            what = f"{side} hand of frame {key} in {path.name}"
            if isinstance(hands[side], dict):
                points = {name: numbers(point, what) for name, point in hands[side].items()}
                found.append((_number(key, path), side, named_points(points, what), {**said, "order": "named"}))
            else:
                found.append((_number(key, path), side, numbers(hands[side], what), said))
    return found


def _by_frame(content: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """Frames of a file without "frames": ``000012_left`` arrays, or ``left`` and ``right`` of one frame."""
    frames: dict[str, dict[str, Any]] = {}
    for key, value in content.items():
        named = _SIDED.fullmatch(key)
        if named is not None:
            frame = named["frame"] or str(number_in(path.stem) or 0)
            frames.setdefault(frame, {})[_side(named["side"])] = value
    if not frames:
        raise InputError(f"{path.name} names no hand.", 'Write {"frames": {"000012": {"left": …}}}.')
    return frames


def _number(key: str, path: Path) -> int:
    found = number_in(key)
    if found is None:
        raise InputError(f"{path.name}: {key!r} is no frame number.", 'Use keys such as "000012".')
    return found


def _side(word: str) -> Side:
    return "left" if word.lower() == "left" else "right"


def _cameras(given: Given) -> dict[int, tuple[np.ndarray, np.ndarray]] | None:
    """Rotation and translation of each view of the annotations, if they are given."""
    if given.annotations is None:
        return None
    cameras = {}
    for path in sorted(given.annotations.glob("*.pkl")):
        content = read_values(path)
        try:
            camera = content["camera"]
            turn = np.asarray(camera["R"], np.float64).reshape(3, 3)
            shift = np.asarray(camera["t"], np.float64).reshape(3)
            if not is_rotation(turn) or not np.isfinite(shift).all():
                raise ValueError("its camera is damaged")
            cameras[int(path.stem)] = turn, shift
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is no annotation of a view: {error}.", "Prepare the data again.") from error
    if not cameras:
        raise InputError(f"{given.annotations} holds no annotation (*.pkl).", "Give the folder anno of the split.")
    return cameras
