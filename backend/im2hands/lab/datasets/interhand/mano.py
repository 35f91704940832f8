"""The MANO hands of a user: their files, and linear blend skinning. Nothing of MANO is part of this program.

The files are those that https://mano.is.tue.mpg.de gives to registered users, ``MANO_LEFT.pkl`` and ``MANO_RIGHT.pkl``,
or the same arrays as ``.npz``. The pickles are read without running anything in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import HALO_TO_FILE, SIDES, Side
from im2hands.core.unpacking import unpack_arrays
from im2hands.core.unpickling import Stored, unpickle
from im2hands.geometry.sealing import boundary_loop

VERTICES, JOINTS, BETAS, POSE = 778, 16, 10, 48
TIPS: dict[Side, tuple[int, ...]] = {
    "left": (745, 317, 444, 556, 673),
    "right": (745, 317, 444, 556, 673),
}
"""Vertices at the fingertips, thumb to little finger. HALO takes vertex 445 for the left middle finger."""

LICENCE = "MANO: registration at mano.is.tue.mpg.de, non-commercial research only, not to be redistributed."

_MOST_BYTES = 256 * 2**20
_SAME_SIGN = 1.0  # sum of the absolute differences in x below which both hands' shape bases have the same sign
_SUM_OF_WEIGHTS = 0.1  # largest difference from 1
_SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, BETAS),
    "posedirs": (VERTICES, 3, 9 * (JOINTS - 1)),
    "J_regressor": (JOINTS, VERTICES),
    "weights": (VERTICES, JOINTS),
    "kintree_table": (2, JOINTS),
    "hands_components": (POSE - 3, POSE - 3),
    "hands_mean": (POSE - 3,),
}
_SPARSE = tuple(
    f"scipy.sparse.{module}.{name}" for name in ("csc_matrix", "csr_matrix") for module in (name[:3], f"_{name[:3]}")
)


class _Sparse(Stored):
    """A sparse matrix in a pickle."""


_STORED: dict[str, type[Stored]] = {
    "chumpy.ch.Ch": Stored, "chumpy.reordering.Select": Stored, **dict.fromkeys(_SPARSE, _Sparse),
}  # fmt: skip


@dataclass(frozen=True)
class ManoHand:
    """One hand of MANO; the joints are in MANO's order: wrist, index, middle, little, ring, thumb.

    Parameters
    ----------
    template : (778, 3) float64
        Vertices of the mean shape, metres.
    shape_basis : (778, 3, 10) float64
        Displacement of the vertices for each shape parameter.
    pose_basis : (778, 3, 135) float64
        Displacement of the vertices for each entry of the 15 joint rotations minus the identity.
    regressor : (16, 778) float64
        Joints of the rest pose as weighted sums of vertices.
    weights : (778, 16) float64
        Skin weights.
    parents : tuple of 16 ints
        Parent of each joint, -1 for the wrist.
    components : (45, 45) float64
        Principal components of the hand pose, one a row.
    mean : (45,) float64
        Mean hand pose, axis-angle.
    faces : (1538, 3) int64
        Triangles; the wrist is open.
    """

    template: np.ndarray
    shape_basis: np.ndarray
    pose_basis: np.ndarray
    regressor: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]
    components: np.ndarray
    mean: np.ndarray
    faces: np.ndarray

    def pose(self, pose: np.ndarray, shape: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pose the hand by linear blend skinning.

        Parameters
        ----------
        pose : (48,) float
            Axis-angle rotations: of the whole hand about its wrist, then of the 15 joints, relative to the mean pose.
        shape : (10,) float
            Shape parameters.
        translation : (3,) float
            Translation, metres.

        Returns
        -------
        vertices : (778, 3) float64
            Vertices, metres.
        joints : (16, 3) float64
            Joints, metres, in MANO's order.
        """
        rest = self.template + self.shape_basis @ np.asarray(shape, np.float64)
        joints = self.regressor @ rest
        angles = np.asarray(pose, np.float64).reshape(JOINTS, 3).copy()
        angles[1:] += self.mean.reshape(-1, 3)
        turns = Rotation.from_rotvec(angles).as_matrix()
        shaped = rest + self.pose_basis @ (turns[1:] - np.eye(3)).reshape(-1)
        rotation, place = turns.copy(), joints.copy()
        for joint in range(1, JOINTS):
            parent = self.parents[joint]
            rotation[joint] = rotation[parent] @ turns[joint]
            place[joint] = place[parent] + rotation[parent] @ (joints[joint] - joints[parent])
        shift = place - np.einsum("jab,jb->ja", rotation, joints)
        blended = np.einsum("vj,jab->vab", self.weights, rotation)
        vertices = np.einsum("vab,vb->va", blended, shaped) + self.weights @ shift
        return vertices + translation, place + translation

    def coefficients(self, pose: np.ndarray) -> np.ndarray:
        """Express the 15 joint rotations of a pose (48,) by principal components about the mean pose, (45,)."""
        return np.asarray(np.asarray(pose, np.float64).reshape(-1)[3:] @ np.linalg.inv(self.components))


@dataclass(frozen=True)
class Mano:
    """Both hands of MANO.

    Parameters
    ----------
    hands : mapping of Side to ManoHand
        The hands.
    fixed : bool
        Whether the x sign of the left hand's shape basis was corrected on loading.
    """

    hands: Mapping[Side, ManoHand]
    fixed: bool

    def __getitem__(self, side: Side) -> ManoHand:
        return self.hands[side]

    def keypoints(
        self, side: Side, vertices: np.ndarray, joints: np.ndarray, tips: Mapping[Side, tuple[int, ...]] = TIPS
    ) -> np.ndarray:
        """Return the 21 keypoints of a posed hand.

        Parameters
        ----------
        side : Side
            The hand.
        vertices : (778, 3) float
            Its vertices.
        joints : (16, 3) float
            Its joints, in MANO's order.
        tips : mapping of Side to tuple of int
            Vertices at the fingertips.

        Returns
        -------
        (21, 3) float64
            Keypoints, file order.
        """
        thumb, *others = vertices[list(tips[side])]
        halo = np.concatenate([joints, thumb[None], np.stack(others)])
        return halo[list(HALO_TO_FILE)]

    @property
    def note(self) -> str:
        """What was done about the left hand's shape basis, for a person."""
        if self.fixed:
            return "The left hand's shape basis was corrected in x: its published file has the sign of a right hand."
        return "The left hand's shape basis is used as it is: its x sign is already that of a left hand."


@lru_cache(maxsize=2)
def load_mano(folder: Path) -> Mano:
    """Load both hands, and correct the sign error of the published left file.

    The published left hand has the shape basis of a right hand in x. If both bases agree in x, the left one is negated.
    A left file that was corrected before is not changed.

    Parameters
    ----------
    folder : Path
        Folder with ``MANO_LEFT`` and ``MANO_RIGHT`` as ``.pkl`` or ``.npz``, or with such a folder ``mano`` or
        ``models`` inside.

    Returns
    -------
    Mano
        The hands.

    Raises
    ------
    InputError
        A file is missing, damaged, holds more than data, or is no MANO hand, or both are hands of one side.
    """
    hands: dict[Side, ManoHand] = {side: _load_hand(_file(folder, side)) for side in SIDES}
    left, right = hands["left"], hands["right"]
    flipped = left.template * (-1, 1, 1)
    if np.abs(left.template - right.template).sum() < np.abs(flipped - right.template).sum():
        raise InputError(
            f"Both files in {folder} are hands of one side.",
            "Give the files MANO_LEFT.pkl and MANO_RIGHT.pkl, unchanged.",
        )
    same = bool(np.abs(left.shape_basis[:, 0] - right.shape_basis[:, 0]).sum() < _SAME_SIGN)
    if same:
        basis = left.shape_basis.copy()
        basis[:, 0] *= -1
        hands["left"] = replace(left, shape_basis=basis)
    return Mano(hands, same)


def _file(folder: Path, side: Side) -> Path:
    names = [f"MANO_{side.upper()}{suffix}" for suffix in (".pkl", ".npz")]
    places = [folder, folder / "mano", folder / "models", folder / "mano" / "models"]
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    raise InputError(
        f"{folder} has no {names[0]}.",
        "Both hands are needed: give the folder with MANO_LEFT.pkl and MANO_RIGHT.pkl of mano.is.tue.mpg.de.",
    )


def _load_hand(path: Path) -> ManoHand:
    try:
        data = read_regular(path, _MOST_BYTES)
        content: Any = unpack_arrays(data, _MOST_BYTES) if path.suffix == ".npz" else unpickle(data, _STORED)
        if not isinstance(content, dict):
            raise ValueError("it is no table of arrays")
        arrays = {name: _entry(content, name, shape) for name, shape in _SHAPES.items()}
        faces = _faces(_dense(content.get("f", content.get("faces"))).astype(np.int64))
        parents = _parents(arrays["kintree_table"])
        for name in ("weights", "J_regressor"):
            if np.abs(arrays[name].sum(1) - 1).max() > _SUM_OF_WEIGHTS:
                raise ValueError(f"the rows of {name} do not sum to 1")
        if np.linalg.matrix_rank(arrays["hands_components"]) < POSE - 3:
            raise ValueError("hands_components does not span the poses")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except ValueError as error:
        raise InputError(
            f"{path} is no MANO hand: {error}.", "Give the files MANO_LEFT.pkl and MANO_RIGHT.pkl, unchanged."
        ) from error
    return ManoHand(
        arrays["v_template"], arrays["shapedirs"], arrays["posedirs"], arrays["J_regressor"], arrays["weights"],
        parents, arrays["hands_components"], arrays["hands_mean"], faces,
    )  # fmt: skip


def _entry(content: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in content:
        raise ValueError(f"{name} is missing")
    array = _dense(content[name])
    if name == "shapedirs" and array.ndim == 3:
        array = array[..., :BETAS]
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, not {shape}")
    if name != "kintree_table" and not np.isfinite(array).all():
        raise ValueError(f"a number of {name} is not finite")
    return array


def _dense(value: Any) -> np.ndarray:
    """The numbers of an array, of a sparse matrix, or of an array object of chumpy."""
    if isinstance(value, _Sparse):
        state = value.state
        parts = [_dense(state.get(name)) for name in ("data", "indices", "indptr")]
        shape = state.get("_shape", state.get("shape"))
        kind = sparse.csc_matrix if len(parts[2]) == VERTICES + 1 else sparse.csr_matrix
        matrix = kind((parts[0], parts[1].astype(np.int64), parts[2].astype(np.int64)), shape=shape)
        matrix.check_format(full_check=True)
        return np.asarray(matrix.toarray(), np.float64)
    if isinstance(value, Stored):
        state = value.state
        if "x" in state:
            return _dense(state["x"])
        if "a" in state and "idxs" in state:  # some entries of another array
            rows = _dense(state["idxs"]).reshape(-1).astype(np.int64)
            chosen = _dense(state["a"]).reshape(-1)[rows]
            return chosen.reshape([int(n) for n in np.ravel(state.get("preferred_shape", chosen.shape))])
        raise ValueError("an array of an unknown kind")
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.astype(np.float64)
    raise ValueError("an entry is no array")


def _faces(faces: np.ndarray) -> np.ndarray:
    """The faces of a hand: every vertex has one, and the wrist is the only hole."""
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.array_equal(np.unique(faces), np.arange(VERTICES)):
        raise ValueError(f"its faces do not fit {VERTICES} vertices")
    try:
        boundary_loop(faces)
    except InputError as error:
        raise ValueError("its faces leave no single hole at the wrist") from error
    return faces


def _parents(table: np.ndarray) -> tuple[int, ...]:
    """Parents of the joints; the wrist's may be -1 or the largest unsigned number."""
    parents = (-1, *(int(p) for p in table[0, 1:]))
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents) if joint):
        raise ValueError("a joint comes before its parent")
    return parents
