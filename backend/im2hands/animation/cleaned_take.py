"""The template hands of a cleaned take, read from its files and posed frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.animation.motion.quaternions import to_matrices
from im2hands.animation.template.rig import skin
from im2hands.animation.template.topology import mirrored_faces
from im2hands.core.errors import InputError, TakeError
from im2hands.core.hands import SIDES, Side
from im2hands.take.frame_file import KEY, read_motion, read_template
from im2hands.take.take import MOTION_FILE, TEMPLATE_FILE, Take


@dataclass(frozen=True)
class CleanHand:
    """One hand of a cleaned take, on its own side: a left hand is not mirrored.

    Parameters
    ----------
    faces : (F, 4) int32
        Quads, outward; triangles have -1 as the last corner.
    uv : (F, 4, 2) float32
        Texture coordinates per corner.
    weights : (T, B) float64
        Skin weights; each row sums to 1.
    bone_names : list of str
        Names of the B bones with the side, for example ``hand.L``.
    parents : (B,) int32
        Parent of each bone; -1 for the root.
    vertices : (T, 3) float64
        Rest pose with the mean corrective shape, rest frame, metres.
    basis : (K, T, 3) float32
        Corrective shapes, rest frame, metres.
    heads : (B, 3) float64
        Heads of the bones, rest frame, metres.
    axes : (B, 3, 3) float64
        Axes of the bones at rest; columns x, y, z.
    present : (N,) bool
        Whether the hand has a pose in each frame.
    rotations : (N, B, 4) float64
        Quaternions (w, x, y, z) of the bones, relative to the parent, in the rest axes; NaN where missing.
    root_rotation : (N, 4) float64
        Quaternions (w, x, y, z) from the rest frame to the camera frame.
    root : (N, 3) float64
        Translations from the rest frame to the camera frame, metres.
    shape_weights : (N, K) float64
        Weights of the corrective shapes.
    """

    faces: np.ndarray
    uv: np.ndarray
    weights: np.ndarray
    bone_names: list[str]
    parents: np.ndarray
    vertices: np.ndarray
    basis: np.ndarray
    heads: np.ndarray
    axes: np.ndarray
    present: np.ndarray
    rotations: np.ndarray
    root_rotation: np.ndarray
    root: np.ndarray
    shape_weights: np.ndarray

    @property
    def triangles(self) -> np.ndarray:
        """(F', 3) the faces; quads are split along their first diagonal."""
        return np.concatenate([self.faces[:, :3], self.faces[self.faces[:, 3] >= 0][:, [0, 2, 3]]])

    def posed(self, row: int) -> np.ndarray:
        """The vertices of one frame, by linear blend skinning.

        Parameters
        ----------
        row : int
            Row of the frame; the hand must be present in it.

        Returns
        -------
        (T, 3) float64
            Vertices, camera frame, metres.
        """
        own = self.axes @ to_matrices(self.rotations[row]) @ self.axes.transpose(0, 2, 1)
        matrices = np.empty((len(own), 3, 4))
        for bone, parent in enumerate(self.parents):
            turn, shift = to_matrices(self.root_rotation[row]), self.root[row]
            if parent >= 0:
                turn, shift = matrices[parent, :, :3], matrices[parent, :, 3]
            matrices[bone, :, :3] = turn @ own[bone]
            matrices[bone, :, 3] = turn @ (self.heads[bone] - own[bone] @ self.heads[bone]) + shift
        shaped = self.vertices + np.einsum("k,ktc->tc", self.shape_weights[row], self.basis)
        return skin(self.weights, matrices, shaped)


@dataclass(frozen=True)
class CleanTake:
    """The hands of a cleaned take.

    Parameters
    ----------
    frames : (N,) int32
        Frame indices, ascending; ``docs/take.md`` says which.
    fps : float
        Frames per second.
    hands : dict of Side to CleanHand
        The hands.
    """

    frames: np.ndarray
    fps: float
    hands: dict[Side, CleanHand]

    def row(self, index: int) -> int:
        """The row of the frame with that index."""
        return int(np.searchsorted(self.frames, index))

    @classmethod
    def read(cls, take: Take) -> CleanTake:
        """Read the clean hands of a take.

        Parameters
        ----------
        take : Take
            The take.

        Returns
        -------
        CleanTake
            Its clean hands.

        Raises
        ------
        InputError
            The take was not cleaned.
        TakeError
            Its files are missing or damaged, or belong to two runs.
        """
        about = take.header.get("clean") or {}
        if not about.get("hands"):
            raise InputError(f"The take {take.folder} has no clean hands.", f"Make them: im2hands clean {take.folder}")
        template = read_template(take.folder / TEMPLATE_FILE)
        motion = read_motion(take.folder / MOTION_FILE, template)
        for arrays, name, key in ((motion, MOTION_FILE, "key"), (template, TEMPLATE_FILE, "template")):
            if key in about and KEY in arrays and str(arrays[KEY]) != str(about[key]):
                raise TakeError(f"{take.folder / name} belongs to another run of im2hands clean.", _AGAIN)
        try:
            sides = [side for side in SIDES if f"{side}_rotations" in motion]
            hands = {side: _hand(template, motion, side) for side in sides}
            return cls(motion["frames"], float(motion["fps"]), hands)
        except KeyError as error:
            raise TakeError(f"{take.folder}: {error} is missing from its clean hands.", _AGAIN) from error


_AGAIN = "Run im2hands clean again."


def _hand(template: dict[str, np.ndarray], motion: dict[str, np.ndarray], side: Side) -> CleanHand:
    faces, uv = template["faces"], template["uv"]
    if side == "left":
        order = mirrored_faces(np.where(faces < 0, -1, np.arange(4)))
        uv = np.where(order[..., None] < 0, 0.0, np.take_along_axis(uv, np.maximum(order, 0)[..., None], axis=1))
        faces = mirrored_faces(faces)
    weights = template["weights"].astype(np.float64)
    suffix = ".L" if side == "left" else ".R"
    return CleanHand(
        faces, uv, weights / weights.sum(axis=1, keepdims=True),
        [f"{name}{suffix}" for name in template["bone_names"]], template["bone_parents"],
        (template[f"{side}_rest_vertices"] + motion[f"{side}_offset_mean"]).astype(np.float64),
        motion[f"{side}_offset_basis"], template[f"{side}_rest_heads"].astype(np.float64),
        template[f"{side}_rest_axes"].astype(np.float64), motion[f"{side}_status"] > 0,
        motion[f"{side}_rotations"].astype(np.float64), motion[f"{side}_root_rotation"].astype(np.float64),
        motion[f"{side}_root"].astype(np.float64), motion[f"{side}_offset_weights"].astype(np.float64),
    )  # fmt: skip
