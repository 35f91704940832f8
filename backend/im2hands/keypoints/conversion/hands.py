"""What every reader of another system's files returns, and what it is given."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import MIDDLE_MCP, WRIST, Side
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M


@dataclass(frozen=True)
class ForeignHand:
    """One hand of another system, in this program's order and unit.

    Parameters
    ----------
    frame : int
        Frame index.
    side : Side
        The person's own left or right hand.
    positions : (21, 3) float64
        File order, metres, camera frame of the picture or world frame.
    score : float
        Confidence; of two hands of one side in a frame the higher is kept.
    """

    frame: int
    side: Side
    positions: np.ndarray
    score: float = 1.0


@dataclass(frozen=True)
class Given:
    """What the user says of the files.

    Parameters
    ----------
    camera : Camera, optional
        Camera of the pictures. None if the user gave none.
    palm_m : float, optional
        True length from wrist to middle MCP, metres.
    order : str, optional
        Keypoint order, a key of ``orders.ORDERS``; None for the source's own.
    unit : str, optional
        Unit, a key of ``orders.UNITS``; None for the source's own.
    space : str, optional
        "camera" or "world"; None for the source's own.
    regressor : (16 or 21, 778) float64, optional
        Joint regressor for meshes with MANO's vertices.
    annotations : Path, optional
        Folder ``anno`` of IntagHand's layout, with the camera of each view.
    swap_sides : bool
        Whether the picture was mirrored, so that left is right.
    """

    camera: Camera | None = None
    palm_m: float | None = None
    order: str | None = None
    unit: str | None = None
    space: str | None = None
    regressor: np.ndarray | None = field(default=None, compare=False)
    annotations: Path | None = None
    swap_sides: bool = False

    @property
    def palm(self) -> float:
        """The palm length, metres; an adult's if none was given."""
        return DEFAULT_PALM_M if self.palm_m is None else self.palm_m

    def require_camera(self, why: str) -> Camera:
        """Return the camera.

        Raises
        ------
        InputError
            None was given.
        """
        if self.camera is None:
            raise InputError(
                f"The camera of the pictures is missing: {why} cannot be placed without it.",
                "Give --camera FILE, or --size WxH with --fov.",
            )
        return self.camera


@dataclass(frozen=True)
class Converted:
    """The hands of a source's files.

    Parameters
    ----------
    hands : tuple of ForeignHand
        The hands.
    space : str
        "camera" or "world": the frame of the positions.
    camera : Camera, optional
        The camera, where the source knows it.
    notes : tuple of str
        What was assumed or left out, for a person.
    """

    hands: tuple[ForeignHand, ...]
    space: str = "camera"
    camera: Camera | None = None
    notes: tuple[str, ...] = ()


def frame_of(record: dict[str, Any], fallback: int) -> int:
    """Frame index of a record: its own number, or that at the end of its picture's name, or its place in the file."""
    for key in ("frame", "frame_idx", "frame_id", "frame_index"):
        value = record.get(key)
        if isinstance(value, int | float | np.integer) and not isinstance(value, bool) and value == int(value) >= 0:
            return int(value)
    for key in ("img_name", "image", "img_path", "imgname"):
        value = record.get(key)
        if isinstance(value, str) and (found := number_in(Path(value).stem)) is not None:
            return found
    return fallback


def number_in(name: str) -> int | None:
    """The last number in a name, for example 12 of ``shot_000012``; None if there is none."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def side_of(value: Any, what: str) -> Side:
    """Read a side: "left", "Right", "l", or 1 for right and 0 for left.

    Raises
    ------
    InputError
        The value is no side.
    """
    if isinstance(value, str) and value[:1].lower() in ("l", "r"):
        return "left" if value[0].lower() == "l" else "right"
    number = np.asarray(value).reshape(-1)
    if number.size == 1 and number.dtype.kind in "biuf" and float(number[0]) in (0.0, 1.0):
        return "right" if number[0] else "left"
    raise InputError(f"The {what} has no side: {value!r}.", 'Write "left" or "right", or 1 for right and 0 for left.')


def other(side: Side) -> Side:
    """The other side."""
    return "left" if side == "right" else "right"


def palm_length(positions: np.ndarray) -> float:
    """Length from wrist to middle MCP of positions (21, 3)."""
    return float(np.linalg.norm(positions[MIDDLE_MCP] - positions[WRIST]))


def curl_sign(positions: np.ndarray) -> float:
    """Side by the curl of the fingers: negative for a right hand, positive for a left one, about 0 for flat hands.

    Parameters
    ----------
    positions : (21, 3) float64
        File order.

    Returns
    -------
    float
        Sum over the four fingers, about 0.4 to 1 each where they bend.
    """
    across = positions[17] - positions[5]
    total = 0.0
    for base in (5, 9, 13, 17):
        first, second = positions[base + 1] - positions[base], positions[base + 2] - positions[base + 1]
        scale = np.linalg.norm(across) * np.linalg.norm(first) * np.linalg.norm(second)
        total += float(np.cross(across, first) @ second / max(float(scale), 1e-12))
    return total
