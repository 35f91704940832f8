"""Ground truth of hand shapes: the prepared layout (``lab.datasets.interhand.layout``), hand by hand, in metres.

``datalist.txt`` may be missing, and so may every folder but ``meta``. All quantities are in the canonical frame of the
hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from im2hands.core.camera import is_rotation
from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.lab.datasets.interhand.layout import (
    DATALIST,
    MIRROR,
    PreparedHand,
    hand_path,
    read_arrays,
    read_hand,
    read_mesh,
    read_points,
    require_hand,
)
from im2hands.lab.evaluation.measures import Mesh

PointFolder = Literal["points", "points_iou"]

_NAME = re.compile(r"(?P<frame>.+)_(?P<side>left|right)")
_AGAIN = "It may be half-written: delete it and prepare the data again."


@dataclass(frozen=True)
class TrueShape:
    """One true hand.

    Parameters
    ----------
    name : str
        ``<capture>_<frame>_<side>``.
    frame : str
        ``<capture>_<frame>``: both hands of a frame share it.
    hand : PreparedHand
        Its keypoints and its place.
    """

    name: str
    frame: str
    hand: PreparedHand

    @property
    def side(self) -> Side:
        """The person's own left or right hand."""
        return self.hand.side

    @property
    def root(self) -> np.ndarray:
        """(3,) wrist in the world, mirrored in x for a left hand, metres."""
        return self.hand.wrist

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) ``M``, from the hand frame to the canonical frame."""
        return self.hand.rotation

    @property
    def keypoints(self) -> np.ndarray:
        """(21, 3) keypoints, canonical frame, file order, metres."""
        return self.hand.keypoints

    @property
    def mirror(self) -> np.ndarray:
        """(3,) factors that turn a left hand into a right one."""
        return MIRROR[self.side]

    def to_canonical(self, points: np.ndarray) -> np.ndarray:
        """Move points (N, 3) from the world to the canonical frame, metres."""
        return self.hand.from_world(points)

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Move points (N, 3) from the canonical frame to the world, metres."""
        return self.hand.to_world(points)


@lru_cache(maxsize=2)
def open_truth(folder: Path) -> TruthFolder:
    """Open a split once for all views of a process."""
    return TruthFolder(folder)


class TruthFolder:
    """The true hands of one split.

    Parameters
    ----------
    folder : Path
        Folder of the split.

    Attributes
    ----------
    names : list of str
        Names of the hands.
    known : frozenset of str
        The same.

    Raises
    ------
    InputError
        The folder has no ``meta``, or no hand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "meta").is_dir():
            raise InputError(
                f"{folder} holds no ground truth: it has no folder meta.",
                "Give the folder of one split, as im2hands data prepare writes it.",
            )
        listed = folder / DATALIST
        if listed.is_file():
            try:
                names = read_regular(listed).decode("utf-8").split()
            except (OSError, ValueError) as error:
                raise InputError(f"{listed} cannot be read: {error}.", _AGAIN) from error
        else:
            names = sorted(path.stem for path in (folder / "meta").glob("*.npz"))
        self.names = list(dict.fromkeys(names))
        if not self.names:
            raise InputError(f"{folder} holds no hand.", "Prepare the data, or give another split.")
        self.known = frozenset(self.names)
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise InputError(f"{folder} names the hand {name!r}.", "Names end in _left or _right.")

    def shape(self, name: str) -> TrueShape:
        """Read the meta file of a hand.

        Raises
        ------
        InputError
            The file is missing, half-written, holds other arrays, or keypoints in another order or unit.
        """
        hand = read_hand(self.folder, name)
        if not is_rotation(hand.rotation):
            raise InputError(f"{hand_path(self.folder, 'meta', name)}: root_rot_mat is not a rotation.", _AGAIN)
        require_hand(hand.keypoints, hand_path(self.folder, "meta", name))
        return TrueShape(name, name.rpartition("_")[0], hand)

    def has(self, kind: str, name: str) -> bool:
        """Return whether the hand has a file in the folder ``kind``."""
        return hand_path(self.folder, kind, name).is_file()

    def points(self, kind: PointFolder, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read labelled points.

        Returns
        -------
        points : (N, 3) float64
            Canonical frame, metres. Numbers stored in 16 bits are taken as they are, without added noise.
        inside : (N,) bool
            Whether they lie in the hand.

        Raises
        ------
        InputError
            The file is missing or half-written.
        """
        points, inside = read_points(self.folder, name, kind)
        return points.astype(np.float64) * QUERY_SCALE, inside

    def cloud(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read points on the surface (N, 3), canonical frame, metres, and their normals (N, 3).

        Raises
        ------
        InputError
            The file is missing or half-written.
        """
        arrays = read_arrays(hand_path(self.folder, "pointcloud", name), {"points": (-1, 3), "normals": (-1, 3)})
        points, normals = arrays["points"].astype(np.float64), arrays["normals"].astype(np.float64)
        if len(points) != len(normals) or not len(points):
            raise InputError(f"{hand_path(self.folder, 'pointcloud', name)} has no point for each normal.", _AGAIN)
        return points * QUERY_SCALE, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def mesh(self, name: str) -> Mesh | None:
        """Read the sealed mesh, canonical frame, metres; None if there is none.

        Raises
        ------
        InputError
            The file is half-written or has no faces.
        """
        if not self.has("mesh", name):
            return None
        return Mesh(*read_mesh(hand_path(self.folder, "mesh", name)))
