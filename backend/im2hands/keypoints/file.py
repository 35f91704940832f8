"""Keypoints from a user's file (``--keypoints FILE``): JSON or npz, in any known order, in metres or millimetres.

JSON::

    {"order": "file", "unit": "m", "space": "camera", "frames": {"000012": {"left": [[x, y, z], ... 21], "right": ...}}}

npz: arrays ``000012_left`` and ``000012_right`` of shape (21, 3), and the strings ``order``, ``unit`` and ``space``.

``order`` is file, interhand, halo or mediapipe. ``unit`` is m or mm. ``space`` is camera (x right, y down, z forward)
or world (the camera's ``R`` and ``t`` are applied). The defaults are file, m and camera. A side or a frame may be
missing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import KEYPOINT_COUNT, SIDES, TO_FILE_ORDER, HandKeypoints, Side, TwoHands, check_keypoints
from im2hands.core.unpacking import parse_json, unpack_arrays

_MOST_BYTES = 256 * 2**20  # of all keypoints, unpacked; an hour of two hands takes a quarter of it

UNITS = {"m": 1.0, "mm": 0.001}
SPACES = ("camera", "world")
SETTINGS = {"order": tuple(TO_FILE_ORDER), "unit": tuple(UNITS), "space": SPACES}
_DEFAULTS = {"order": "file", "unit": "m", "space": "camera"}
_FORM = 'Write {"order": "file", "unit": "m", "space": "camera", "frames": {"000012": {"left": [[x, y, z], ...]}}}.'


@dataclass(frozen=True)
class KeypointFile:
    """Keypoints of a whole clip as they are written in a file.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    order : str
        Keypoint order of the rows: a key of ``core.hands.TO_FILE_ORDER``.
    unit : str
        Unit of the numbers: a key of ``UNITS``.
    space : str
        Frame of the numbers: an entry of ``SPACES``.
    raw : Mapping[int, Mapping[Side, Any]]
        The file's rows by frame index and hand side, not checked yet.
    """

    name: str
    order: str
    unit: str
    space: str
    raw: Mapping[int, Mapping[Side, Any]]

    @property
    def frames(self) -> list[int]:
        """The frame indices in the file, ascending."""
        return sorted(self.raw)

    @classmethod
    def read(cls, path: Path) -> KeypointFile:
        """Read a JSON or npz file.

        The keypoints themselves are checked frame by frame, in ``hands``.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        KeypointFile
            The file's content.

        Raises
        ------
        InputError
            If the file does not exist or has another format, if the order, the unit or the space is unknown, if a frame
            number or a side is invalid, or if there are no frames.
        """
        try:
            data = read_regular(path)
            packed = zipfile.is_zipfile(io.BytesIO(data))
            content = _read_npz(data) if packed else parse_json(data, nan=True)
        except OSError as error:
            raise InputError(
                f"The keypoints {path} cannot be read: {error.strerror or error}.", "Check the path."
            ) from error
        except ValueError as error:
            raise InputError(f"The keypoints {path} are neither JSON nor npz: {error}.", _FORM) from error
        return cls.from_dict(content, path.name)

    @classmethod
    def from_dict(cls, content: Any, name: str = "keypoints") -> KeypointFile:
        """Make a keypoint file from parsed JSON.

        Parameters
        ----------
        content : Any
            The parsed JSON, see the module.
        name : str
            The file's name, for messages.

        Returns
        -------
        KeypointFile
            The file's content.

        Raises
        ------
        InputError
            As in ``read``.
        """
        frames = content.get("frames") if isinstance(content, dict) else None
        if not isinstance(frames, dict) or not frames:
            raise InputError(f'{name} has no "frames".', _FORM)
        settings = {}
        for key, choices in SETTINGS.items():
            settings[key] = content.get(key, _DEFAULTS[key])
            if settings[key] not in choices:
                raise InputError(f"{name}: {key} is {settings[key]!r}.", f"Use {', '.join(choices)}.")
        raw: dict[int, dict[Side, Any]] = {}
        for key, hands in frames.items():
            try:
                index = int(key)
            except ValueError as error:
                raise InputError(f"{name}: {key!r} is no frame number.", 'Use keys such as "000012".') from error
            if index in raw:
                raise InputError(f"{name} names frame {index} twice.", "Keep one of the two.")
            if not isinstance(hands, dict):
                raise InputError(f"Frame {key} in {name} is not a set of hands.", _FORM)
            unknown = set(hands) - set(SIDES)
            if unknown:
                raise InputError(f"{sorted(unknown)[0]!r} of frame {key} in {name} is no hand.", 'Use "left", "right".')
            raw[index] = {side: hands[side] for side in SIDES if hands.get(side) is not None}
        return cls(name=name, **settings, raw=raw)

    def hands(self, index: int, camera: Camera) -> TwoHands:
        """Return the hands of one frame.

        Parameters
        ----------
        index : int
            Frame index. A frame that is not in the file gives no hands.
        camera : Camera
            The frame's camera. Its rotation and translation are used only if the file's space is world.

        Returns
        -------
        TwoHands
            Positions (21, 3) float64 in metres, camera frame, file order, and their projections in pixels. A side that
            is not in the file is None.

        Raises
        ------
        InputError
            If a hand of this frame has the wrong shape, numbers that are not finite, a bone of zero or impossible
            length, a palm without a plane, or lies behind the camera. Other frames may still be valid.
        """
        found: dict[str, HandKeypoints] = {}
        for side, rows in self.raw.get(index, {}).items():
            what = f"{side} hand of frame {index:06d} in {self.name}"
            positions = _positions(rows, what) * UNITS[self.unit]
            # Reorder before checking, so that the error names the right keypoint.
            positions = check_keypoints(positions[list(TO_FILE_ORDER[self.order])], what)
            if self.space == "world":
                positions = camera.world_to_camera(positions)
            if positions[:, 2].min() <= 0:
                raise InputError(
                    f"The {what} lies behind the camera.",
                    "z points away from the camera (x right, y down, z forward); check space, R and t.",
                )
            sure = np.ones(KEYPOINT_COUNT)
            found[side] = HandKeypoints(side, positions, camera.project(positions), sure, 1.0, "file")
        return TwoHands(left=found.get("left"), right=found.get("right"))


def _positions(rows: Any, what: str) -> np.ndarray:
    """Return the rows as (21, 3) float64, still in the file's own order and unit."""
    try:
        positions = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Keypoints of the {what} are not numbers.", "Give 21 rows of x, y, z.") from error
    if positions.shape != (KEYPOINT_COUNT, 3):
        raise InputError(f"Keypoints of the {what} have shape {positions.shape}.", "Give 21 rows of x, y, z.")
    return positions


def _read_npz(data: bytes) -> dict[str, Any]:
    """Read an npz file into the structure of the JSON file."""
    content: dict[str, Any] = {"frames": {}}
    for key, array in unpack_arrays(data, _MOST_BYTES).items():
        if key in SETTINGS:
            content[key] = str(array)
            continue
        frame, _, side = key.rpartition("_")
        content["frames"].setdefault(frame, {})[side] = array
    return content
