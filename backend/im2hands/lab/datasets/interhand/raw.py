"""InterHand2.6M as it is distributed: annotations, cameras, joints and MANO fits of one split.

Version 1.0 has ``annotations/<split>/InterHand2.6M_<split>_*.json``; older releases have a level ``all``,
``human_annot`` or ``machine_annot`` below ``annotations``. Pictures lie in ``images/<split>``. The packages of 5 and 30
frames per second have the same layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import is_rotation
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import INTERHAND_TO_FILE, KEYPOINT_COUNT, SIDES, Side

from .streamed import read_list

SPLITS = ("train", "val", "test")
RELEASES = ("", "all", "human_annot", "machine_annot")
"""Levels below ``annotations``; version 1.0 has none."""

LICENCE = "InterHand2.6M: CC BY-NC 4.0 (https://mks0601.github.io/InterHand2.6M/)."

JOINTS = 2 * KEYPOINT_COUNT
RIGHT_FIRST: tuple[Side, Side] = ("right", "left")
"""Joints 0 to 20 are the right hand's, 21 to 41 the left hand's."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_WRIST = 20  # of one hand, in InterHand's order
_MOST_BYTES = 16 * 2**30  # of a JSON file that is read as a whole: all but the data file
_AGAIN = "Download the annotations again."


@dataclass(frozen=True)
class Sample:
    """One picture of the set.

    Parameters
    ----------
    image : dict
        Its entry in ``images`` of the data file.
    annotation : dict
        Its entry in ``annotations`` of the data file.
    """

    image: dict[str, Any]
    annotation: dict[str, Any]

    @property
    def capture(self) -> str:
        """Key of the capture in the other files."""
        return str(self.image["capture"])

    @property
    def frame(self) -> str:
        """Key of the frame in the other files."""
        return str(self.image["frame_idx"])

    @property
    def camera(self) -> str:
        """Key of the camera in the camera file."""
        return str(self.image["camera"])

    @property
    def is_grey(self) -> bool:
        """Whether the camera is one of the grey ones, whose names begin with 41."""
        return self.camera.startswith("41")

    @property
    def interacts(self) -> bool:
        """Whether both hands are annotated as interacting."""
        return self.annotation.get("hand_type") == "interacting"

    @property
    def type_is_valid(self) -> bool:
        """Whether the annotation of the hands' type is valid."""
        return bool(np.ravel(self.annotation.get("hand_type_valid", 0))[:1].any())

    @property
    def joint_valid(self) -> np.ndarray:
        """Which joints are annotated and usable in this picture, (42,) bool, InterHand's order."""
        return valid_joints(self.annotation.get("joint_valid"))


@dataclass(frozen=True)
class ViewCamera:
    """A calibrated camera of a capture: ``X_cam = rotation @ X_world + translation``.

    Parameters
    ----------
    rotation : (3, 3) float64
        World-to-camera rotation.
    translation : (3,) float64
        World-to-camera translation, metres.
    matrix : (3, 3) float64
        Intrinsic matrix, pixels of the photo.
    """

    rotation: np.ndarray
    translation: np.ndarray
    matrix: np.ndarray

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform points (N, 3) from the world frame to the camera frame, metres."""
        return np.asarray(points @ self.rotation.T + self.translation)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (N, 3), metres, to pixels (N, 2) of the picture that ``matrix`` belongs to."""
        seen = self.to_camera(points) @ self.matrix.T
        return np.asarray(seen[:, :2] / seen[:, 2:])


def valid_joints(values: Any) -> np.ndarray:
    """Return which joints of a pair of hands are valid.

    Parameters
    ----------
    values : Any
        42 numbers or booleans, or lists of one such value each.

    Returns
    -------
    (42,) bool
        InterHand's order. All joints of a hand with an invalid wrist are invalid. All are invalid if the entry is
        missing or has another length. What stands at an invalid joint has no meaning, even if it is a plausible place.
    """
    try:
        valid = np.asarray(values, np.float64).reshape(-1) > 0
    except (TypeError, ValueError):
        valid = np.zeros(0, bool)
    if len(valid) != JOINTS:
        return np.zeros(JOINTS, bool)
    for first in (0, KEYPOINT_COUNT):
        hand = slice(first, first + KEYPOINT_COUNT)
        valid[hand] &= valid[first + _WRIST]
    return valid


def hand_joints(joints: np.ndarray, side: Side) -> np.ndarray:
    """Take one hand's rows of 42 in InterHand's order, and bring them into file order, (21, ...)."""
    first = KEYPOINT_COUNT * RIGHT_FIRST.index(side)
    return joints[first : first + KEYPOINT_COUNT][list(INTERHAND_TO_FILE)]


class InterHand:
    """The annotations of one split.

    Parameters
    ----------
    root : Path
        Folder with ``images`` and ``annotations``.
    split : str
        "train", "val" or "test".

    Attributes
    ----------
    release : str
        Level below ``annotations``; empty for version 1.0.
    mano_file : Path or None
        The file of the MANO fits.

    Raises
    ------
    InputError
        A file is missing or damaged.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = Path(root), split
        if split not in SPLITS:
            raise InputError(f"There is no split {split!r}.", f"Use {', '.join(SPLITS)}.")
        self.release, self.folder = self._annotations()
        self.images = self.root / "images" / split
        if not self.images.is_dir():
            raise InputError(f"{self.root} has no folder images/{split}.", "Unpack the pictures of this split there.")
        self._data = self.folder / self._name("data")
        self._count = sum(1 for _ in read_list(self._data, "images"))
        if not self._count:
            raise InputError(f'{self._data} has no pictures: its list "images" is missing or empty.', _AGAIN)
        self._cameras = _load(self.folder / self._name("camera"))
        self._joints = _load(self.folder / self._name("joint_3d"))
        self.mano_file = self._mano_file()
        self._fits: dict[str, Any] = {} if self.mano_file is None else _load(self.mano_file)

    def __len__(self) -> int:
        return self._count

    def samples(self) -> Iterator[Sample]:
        """Yield all pictures in the order of the data file, whatever hands they show.

        Raises
        ------
        InputError
            A picture has no annotation, or an entry is damaged.
        """
        marks: Mapping[Any, dict[str, Any]] = {}
        beside = read_list(self._data, "annotations")
        for position, image in enumerate(read_list(self._data, "images")):
            mark = next(beside, {})
            try:
                if mark.get("image_id") != image["id"]:  # the lists are parallel in the released files
                    marks = marks or {mark["image_id"]: mark for mark in read_list(self._data, "annotations")}
                    mark = marks[image["id"]]
                for key in ("file_name", "capture", "frame_idx", "camera"):
                    if not _NAME.fullmatch(str(image[key])) and key != "file_name":
                        raise ValueError(f"its {key} is {str(image[key])[:40]!r}")  # it becomes part of a file's name
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise InputError(
                    f"{self._name('data')}: picture {position} or its annotation is incomplete ({error}).", _AGAIN
                ) from error
            yield Sample(image, mark)

    def camera(self, sample: Sample) -> ViewCamera | None:
        """Return the camera of a picture; None if the camera file lacks it or it is damaged."""
        capture = _child(self._cameras, sample.capture)
        try:
            place, turn, focal, centre = (
                np.asarray(capture[key][sample.camera], np.float64) for key in ("campos", "camrot", "focal", "princpt")
            )
            values = np.concatenate([place.reshape(3), turn.reshape(9), focal.reshape(2), centre.reshape(2)])
        except (KeyError, TypeError, ValueError):
            return None
        if not np.isfinite(values).all() or (focal <= 0).any():
            return None
        if not is_rotation(turn):
            return None
        matrix = np.array([[focal[0], 0.0, centre[0]], [0.0, focal[1], centre[1]], [0.0, 0.0, 1.0]])
        # ``campos`` is the camera's centre, in millimetres.
        return ViewCamera(turn, -turn @ place / 1000, matrix)

    def joints(self, capture: str, frame: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the annotated joints of a frame.

        Parameters
        ----------
        capture : str
            Key of the capture.
        frame : str
            Key of the frame.

        Returns
        -------
        (42, 3) float64 and (42,) bool, or None
            Joints in InterHand's order, world frame, metres, and which of them are valid. None if the file lacks the
            frame.
        """
        entry = _child(_child(self._joints, capture), frame)
        try:
            places = np.asarray(entry["world_coord"], np.float64).reshape(JOINTS, 3) / 1000
        except (KeyError, TypeError, ValueError):
            return None
        return places, valid_joints(entry.get("joint_valid")) & np.isfinite(places).all(1)

    def fit(self, capture: str, frame: str) -> dict[Side, dict[str, Any] | None]:
        """Return the MANO parameters of a frame's hands as the file has them; None for a hand without a fit."""
        entry = _child(_child(self._fits, capture), frame)
        return {side: entry.get(side) for side in SIDES}

    def fitted_frames(self) -> int:
        """Return for how many frames the split has MANO fits."""
        return sum(len(frames) for frames in self._fits.values() if isinstance(frames, dict))

    def photo(self, sample: Sample) -> Path:
        """Return the path of a picture."""
        return self.images / str(sample.image["file_name"])

    def _name(self, what: str) -> str:
        return f"InterHand2.6M_{self.split}_{what}.json"

    def _annotations(self) -> tuple[str, Path]:
        base = self.root / "annotations"
        for release in RELEASES:
            for folder in (base / release / self.split, base / self.split / release, base / release):
                if (folder / self._name("data")).is_file():
                    return release, folder
        raise InputError(
            f"{base} has no {self._name('data')}, neither in {self.split}/ nor in all/, human_annot/, machine_annot/.",
            "Give the folder that holds annotations/ and images/ of InterHand2.6M.",
        )

    def _mano_file(self) -> Path | None:
        name = self._name("MANO_NeuralAnnot")
        base = self.root / "annotations"
        places = (self.folder, base / self.split, base)
        return next((place / name for place in places if (place / name).is_file()), None)


def _child(value: Any, key: str) -> Any:
    """The entry of an object of JSON; an empty object if there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _load(path: Path) -> dict[str, Any]:
    # The files are larger than what ``core.unpacking`` reads, and Python's reader runs nothing in them.
    try:
        data = json.loads(read_regular(path, _MOST_BYTES))
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.", "Unpack all annotations of the split.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {str(error)[:200]}.", _AGAIN) from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is no table of annotations.", _AGAIN)
    return data
