"""Ground truth of hand shapes in the layout of HALO's tools: ``meta``, ``points``, ``points_iou``, ``pointcloud``.

A folder of one split holds, for each hand ``<capture>_<frame>_<side>``::

    meta/NAME.npz         hand_joints (21, 3) halo order, root_rot_mat (4, 4): canonical frame, metres
                          root_xyz (3,): the wrist in the world, mirrored in x for left hands, metres
    points/NAME.npz       points (N, 3), occupancies (packed bits): half uniform, half near the surface
    points_iou/NAME.npz   the same, all uniform in the query cube
    pointcloud/NAME.npz   points (N, 3), normals (N, 3) on the sealed surface
    mesh/NAME.off         optional: the sealed surface, canonical frame, metres
    datalist.txt          optional: the names, one a line

Points and point clouds are normalised: the canonical frame divided by 0.4 m. Here everything is in metres, in the
canonical frame of the hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import HALO_TO_FILE, KEYPOINT_COUNT, Side
from im2hands.core.unpacking import unpack_arrays
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.mesh_file import read_mesh_file
from im2hands.lab.evaluation.measures import Mesh

PointFolder = Literal["points", "points_iou"]

_NAME = re.compile(r"(?P<frame>.+)_(?P<side>left|right)")
_MOST_BYTES = 256 * 2**20
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
    side : Side
        The person's own left or right hand.
    root : (3,) float64
        Wrist in the world, mirrored in x for a left hand, metres.
    rotation : (3, 3) float64
        ``M``, from the hand frame to the canonical frame.
    keypoints : (21, 3) float64
        Canonical frame, file order, metres.
    """

    name: str
    frame: str
    side: Side
    root: np.ndarray
    rotation: np.ndarray
    keypoints: np.ndarray

    @property
    def mirror(self) -> np.ndarray:
        """(3,) factors that turn a left hand into a right one."""
        return np.array([-1.0 if self.side == "left" else 1.0, 1.0, 1.0])

    def to_canonical(self, points: np.ndarray) -> np.ndarray:
        """Move points (N, 3) from the world to the canonical frame, metres."""
        return (points * self.mirror - self.root) @ self.rotation.T

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Move points (N, 3) from the canonical frame to the world, metres."""
        return (points @ self.rotation + self.root) * self.mirror


class TruthFolder:
    """The true hands of one split.

    Parameters
    ----------
    folder : Path
        Folder of the split.

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
        listed = folder / "datalist.txt"
        if listed.is_file():
            names = listed.read_text("utf-8").split()
        else:
            names = sorted(path.stem for path in (folder / "meta").glob("*.npz"))
        self.names = [name for name in dict.fromkeys(names)]
        if not self.names:
            raise InputError(f"{folder} holds no hand.", "Prepare the data, or give another split.")
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise InputError(f"{folder} names the hand {name!r}.", "Names end in _left or _right.")

    def shape(self, name: str) -> TrueShape:
        """Read the meta file of a hand.

        Raises
        ------
        InputError
            The file is missing, half-written, or holds other arrays.
        """
        path = self.folder / "meta" / f"{name}.npz"
        arrays = _arrays(path, ("root_xyz", "root_rot_mat", "hand_joints"))
        named = _NAME.fullmatch(name)
        assert named is not None
        joints = _shaped(path, "hand_joints", arrays["hand_joints"], (KEYPOINT_COUNT, 3))
        turn = _shaped(path, "root_rot_mat", arrays["root_rot_mat"], (4, 4))[:3, :3]
        if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3):
            raise InputError(f"{path}: root_rot_mat is not a rotation.", _AGAIN)
        root = _shaped(path, "root_xyz", arrays["root_xyz"], (3,))
        side: Side = "left" if named["side"] == "left" else "right"
        return TrueShape(name, named["frame"], side, root, turn, joints[list(HALO_TO_FILE)])

    def has(self, kind: str, name: str) -> bool:
        """Return whether the hand has a file in the folder ``kind``."""
        return (self.folder / kind / f"{name}{'.off' if kind == 'mesh' else '.npz'}").is_file()

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
        path = self.folder / kind / f"{name}.npz"
        arrays = _arrays(path, ("points", "occupancies"))
        points, bits = arrays["points"], arrays["occupancies"]
        points = _shaped(path, "points", points, (len(points), 3))
        if bits.dtype == np.uint8 and len(bits) == (len(points) + 7) // 8:
            bits = np.unpackbits(bits)[: len(points)]
        if bits.shape != (len(points),):
            raise InputError(f"{path} has {len(points)} points and {len(bits)} occupancies.", _AGAIN)
        return points * QUERY_SCALE, bits.astype(bool)

    def cloud(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Read points on the surface (N, 3), canonical frame, metres, and their normals (N, 3).

        Raises
        ------
        InputError
            The file is missing or half-written.
        """
        path = self.folder / "pointcloud" / f"{name}.npz"
        arrays = _arrays(path, ("points", "normals"))
        points = _shaped(path, "points", arrays["points"], (len(arrays["points"]), 3))
        normals = _shaped(path, "normals", arrays["normals"], points.shape)
        return points * QUERY_SCALE, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def mesh(self, name: str) -> Mesh | None:
        """Read the sealed mesh, canonical frame, metres; None if there is none.

        Raises
        ------
        InputError
            The file is half-written.
        """
        if not self.has("mesh", name):
            return None
        return Mesh(*read_mesh_file(self.folder / "mesh" / f"{name}.off"))


def _arrays(path: Path, wanted: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        arrays = unpack_arrays(read_regular(path), _MOST_BYTES, lambda name: name in wanted)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Prepare the data again.") from error
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}.", _AGAIN) from error
    for name in wanted:
        if name not in arrays:
            raise InputError(f"{path} has no array {name}.", "Prepare the data again.")
    return arrays


def _shaped(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array as float64, if it has the shape and is finite."""
    if array.shape != shape:
        raise InputError(f"{path}: {name} has shape {array.shape}, not {shape}.", _AGAIN)
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {name} holds numbers that are not finite.", _AGAIN)
    return array
