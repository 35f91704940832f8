"""The prepared layout, as the published programs read it: where the files of a split lie, and what is in them.

=======================================  =====================================================================
``img/<index>.jpg``                      crop of 256 x 256 pixels
``anno/<index>.pkl``                     photo, MANO parameters and camera; see ``annotation``
``gt_joints/<index>_<side>.ply``         true keypoints, file order, world frame, metres; the index has 7 digits
``pred_joints/…``                        keypoints of a detector, same form; another program writes them
``meta/<capture>_<frame>_<side>.npz``    bones, keypoints and surface points, canonical frame, metres
``points/…``                             points with occupancy, query space, half of them uniform
``points_iou/…``                         the same, all of them uniform
``pointcloud/…``                         surface points with normals, query space
``mesh/…``, ``mesh_scaled/…``            closed mesh (OFF), canonical frame, in metres and in query space
``datalist.txt``                         names of the hands
=======================================  =====================================================================

Left hands are mirrored in x before everything else, also ``root_xyz``, the wrist. Bones and ``hand_joints`` are in HALO
order. The canonical frame and query space are those of ``geometry.bones``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import FILE_TO_HALO, HALO_TO_FILE, KEYPOINT_COUNT, Side
from im2hands.core.unpacking import unpack_arrays
from im2hands.geometry.mesh_file import read_mesh_file
from im2hands.geometry.sealing import volume
from im2hands.keypoints.conversion.orders import checked_unit, in_file_order

JOURNAL = "samples.jsonl"
"""What became of each photo; see ``prepare``."""

DATALIST = "datalist.txt"
SUBFOLDERS = ("meta", "points", "points_iou", "pointcloud", "mesh", "mesh_scaled")
"""Files that every hand of a frame may have; all views of a frame share them."""

MIRROR: dict[Side, np.ndarray] = {"left": np.array([-1.0, 1.0, 1.0]), "right": np.ones(3)}

_MOST_BYTES = 256 * 2**20
_META = {"hand_joints": (KEYPOINT_COUNT, 3), "root_rot_mat": (4, 4), "root_xyz": (3,)}
_AGAIN = "Run im2hands data prepare again with --resume: it writes damaged and missing files anew."


@dataclass(frozen=True)
class PreparedHand:
    """One hand of a prepared frame, read from ``meta``.

    Parameters
    ----------
    keypoints : (21, 3) float64
        True keypoints, file order, canonical frame, metres.
    rotation : (3, 3) float64
        From the hand frame to the canonical frame.
    wrist : (3,) float64
        The wrist in the world frame, mirrored in x for a left hand, metres.
    surface : (S, 3) float64
        Points on the surface, canonical frame, metres; none if the file lacks them.
    labels : (S,) int64
        Bone (0 to 15) of each of these points.
    side : Side
        The hand.
    """

    keypoints: np.ndarray
    rotation: np.ndarray
    wrist: np.ndarray
    surface: np.ndarray
    labels: np.ndarray
    side: Side

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Convert points (N, 3) from the canonical frame to the world frame, metres."""
        return np.asarray((points @ self.rotation + self.wrist) * MIRROR[self.side])

    def from_world(self, points: np.ndarray) -> np.ndarray:
        """Convert points (N, 3) from the world frame to the canonical frame, metres."""
        return np.asarray((points * MIRROR[self.side] - self.wrist) @ self.rotation.T)


def hand_name(capture: str, frame: str, side: Side) -> str:
    """Return the name of a hand's files without their ending."""
    return f"{capture}_{frame}_{side}"


def joints_path(folder: Path, index: int, side: Side, kind: str = "gt_joints") -> Path:
    """Return the path of a keypoint file of crop ``index``; ``kind`` is its folder."""
    return folder / kind / f"{index:07d}_{side}.ply"


def hand_path(folder: Path, kind: str, name: str) -> Path:
    """Return the path of a file of a hand; ``kind`` is one of :data:`SUBFOLDERS`."""
    return folder / kind / (f"{name}.off" if kind.startswith("mesh") else f"{name}.npz")


def write_ply(points: np.ndarray) -> bytes:
    """Return the content of a ``.ply`` file with points (N, 3)."""
    head = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property float {axis}" for axis in "xyz")]
    rows = [" ".join(f"{value:.9g}" for value in point) for point in points]
    return ("\n".join([*head, "end_header", *rows]) + "\n").encode("ascii")


def read_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read an npz file that must have some arrays.

    Parameters
    ----------
    path : Path
        The file.
    shapes : mapping of str to tuple of int
        Shapes of the arrays that must be there; -1 stands for any size.

    Returns
    -------
    dict of str to array
        All arrays of the file.

    Raises
    ------
    InputError
        The file is missing, cut off or damaged, or an array is missing, has another shape or a number that is not
        finite.
    """
    try:
        arrays = unpack_arrays(read_regular(path, _MOST_BYTES), _MOST_BYTES)
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None:
                raise ValueError(f"{name} is missing")
            fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(shape, array.shape, strict=True))
            if not fits or array.dtype.kind not in "biuf":
                raise ValueError(f"{name} is {array.dtype} {array.shape}, not {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"a number of {name} is not finite")
    except FileNotFoundError as error:
        raise InputError(f"The file {path} is missing.", _AGAIN) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is cut off or damaged: {error}.", _AGAIN) from error
    return arrays


def read_hand(folder: Path, name: str) -> PreparedHand:
    """Read the ``meta`` file of a hand.

    Parameters
    ----------
    folder : Path
        Folder of the split.
    name : str
        Name of the hand; see :func:`hand_name`.

    Returns
    -------
    PreparedHand
        The hand.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    arrays = read_arrays(hand_path(folder, "meta", name), _META)
    surface, labels = arrays.get("verts"), arrays.get("vert_labels")
    if surface is None or labels is None or surface.ndim != 2 or surface.shape != (labels.size, 3):
        surface, labels = np.zeros((0, 3)), np.zeros(0)
    return PreparedHand(
        arrays["hand_joints"].astype(np.float64)[list(HALO_TO_FILE)], arrays["root_rot_mat"].astype(np.float64)[:3, :3],
        arrays["root_xyz"].astype(np.float64), surface.astype(np.float64), labels.astype(np.int64).reshape(-1),
        "left" if name.endswith("left") else "right",
    )  # fmt: skip


def require_hand(keypoints: np.ndarray, where: Path) -> None:
    """Require that the keypoints of a ``meta`` file are those of a hand, in HALO order and metres.

    Parameters
    ----------
    keypoints : (21, 3) float64
        As ``read_hand`` gives them.
    where : Path
        The file, for errors.

    Raises
    ------
    InputError
        The bones have a hand's proportions in another order, or the palm has an impossible length.
    """
    what = f"hand in {where}"
    try:
        checked_unit(in_file_order(keypoints[list(FILE_TO_HALO)], "halo", what), "m", what)
    except InputError as error:
        raise InputError(error.message, "The published programs write HALO order and metres. " + _AGAIN) from error


def read_points(folder: Path, name: str, kind: str = "points") -> tuple[np.ndarray, np.ndarray]:
    """Read the points of a hand.

    Parameters
    ----------
    folder : Path
        Folder of the split.
    name : str
        Name of the hand.
    kind : str
        "points" or "points_iou".

    Returns
    -------
    points : (N, 3)
        Points, query space, in the type of the file.
    inside : (N,) bool
        Which of them lie inside the hand.

    Raises
    ------
    InputError
        The file is missing, cut off or damaged.
    """
    path = hand_path(folder, kind, name)
    arrays = read_arrays(path, {"points": (-1, 3), "occupancies": (-1,)})
    points, packed = arrays["points"], arrays["occupancies"]
    if not len(points):
        raise InputError(f"{path} has no points.", _AGAIN)
    inside = np.unpackbits(packed)[: len(points)] if packed.dtype == np.uint8 and len(packed) < len(points) else packed
    if len(inside) != len(points):
        raise InputError(f"{path} has {len(points)} points, but occupancies for {len(inside)}.", _AGAIN)
    return points, inside.astype(bool)


def read_joints(path: Path) -> np.ndarray:
    """Read a keypoint file.

    Parameters
    ----------
    path : Path
        A ``.ply`` file with 21 vertices, text or binary, of a known unit: metres.

    Returns
    -------
    (21, 3) float64
        Keypoints, file order, in the frame of the file.

    Raises
    ------
    InputError
        The file is missing or damaged, or has another number of points.
    """
    points, _ = read_mesh_file(path, "keypoint file")
    if len(points) != KEYPOINT_COUNT:
        raise InputError(f"{path} has {len(points)} points, not {KEYPOINT_COUNT}.", "It must hold one hand.")
    return points


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the closed mesh of a hand.

    Parameters
    ----------
    path : Path
        File of the folder ``mesh`` or ``mesh_scaled``.

    Returns
    -------
    vertices : (V, 3) float64
        In the unit of the file.
    faces : (F, 3) int64
        At least one.

    Raises
    ------
    InputError
        The file is missing or damaged, has no faces, or encloses nothing.
    """
    vertices, faces = read_mesh_file(path)
    if not len(faces):
        raise InputError(f"The mesh {path} has no faces.", _AGAIN)
    if not volume(vertices, faces):
        raise InputError(f"The mesh {path} encloses nothing.", _AGAIN)
    return vertices, faces


def crop_indices(folder: Path) -> list[int]:
    """Return the indices of the crops of a split that have an annotation, ascending."""
    found = [path.stem for path in (folder / "anno").glob("*.pkl")]
    return sorted(int(stem) for stem in found if stem.isdecimal())


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a split in the prepared layout."""
    return (folder / "anno").is_dir() and (folder / "img").is_dir()
