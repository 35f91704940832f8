"""Body of a person without hands: a small mesh that can be posed, and what its vertices belong to."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

import im2hands
from im2hands.core.bundled_arrays import bundled_arrays
from im2hands.geometry.normals import corner_sums, face_normals

BODY_FILE = Path(im2hands.__file__).parent / "assets" / "makehuman_body.npz"
ARM_BONES = ("upperarm", "lowerarm", "wrist")
LEG_BONES = ("upperleg", "lowerleg", "foot", "toes")
_NECKLINE = 0.575  # height above the hips at which a shirt ends, metres, body frame


class BodyMesh:
    """Surface and bones of a body in the *person's frame*: x to the person's left, y up, z forward, metres.

    Attributes
    ----------
    vertices : (V, 3) float64
        Vertices at rest: arms half lowered, forearms a little forward. The arms end at the wrists.
    faces : (F, 3) int64
        Triangles, outward.
    weights : (V, B) float64
        Skinning weights; the sum of each row is 1.
    bones : tuple of str
        Names of the bones. A parent precedes its children.
    parents : (B,) int64
        Parent of each bone, -1 for the root.
    joints : (B, 3) float64
        Heads of the bones at rest.
    lips : (V,) float64
        Share of the lips.
    eyes : (V,) float64
        Share of the eyeballs.
    arm : (V,) float64
        Position along an arm: 0 shoulder, 1 elbow, 2 wrist; -1 elsewhere.
    leg : (V,) float64
        Position along a leg: 0 hip, 1 knee, 2 ankle, above 2 on the foot; -1 elsewhere.
    head : (V,) float64
        Share of the head and the neck above a shirt.

    Raises
    ------
    SetupError
        The bundled file is missing or damaged.
    """

    def __init__(self) -> None:
        arrays = bundled_arrays(BODY_FILE, "body")
        self.vertices = arrays["vertices"].astype(np.float64) * 1e-4
        self.faces = arrays["faces"].astype(np.int64)
        weights = arrays["weights"].astype(np.float64)
        self.weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
        self.bones = tuple(str(name) for name in arrays["bones"])
        self.parents = arrays["parents"].astype(np.int64)
        self.joints = arrays["joints"].astype(np.float64)
        self.lips, self.eyes = (arrays[name].astype(np.float64) / 255 for name in ("lips", "eyes"))
        self.arm, self.leg = self._along(ARM_BONES), self._along(LEG_BONES)
        self.head = self.share("head") + self.share("neck") * (self.vertices[:, 1] > _NECKLINE)
        self._sums = corner_sums(self.faces, len(self.vertices))

    def number(self, bone: str) -> int:
        """Return the number of a bone by its name."""
        return self.bones.index(bone)

    def share(self, *bones: str) -> np.ndarray:
        """Return the share (V,) of bones in each vertex; a name without side means both sides."""
        wanted = [k for k, name in enumerate(self.bones) if name in bones or name.split(".")[0] in bones]
        result: np.ndarray = self.weights[:, wanted].sum(axis=1)
        return result

    def transforms(self, pose: np.ndarray) -> np.ndarray:
        """Compute the transform (B, 3, 4) of each bone from rest.

        Parameters
        ----------
        pose : (B, 3) float64
            Rotation vector of each bone relative to its parent, radians, in the person's frame.

        Returns
        -------
        (B, 3, 4) float64
            Rotation and translation.
        """
        turns = Rotation.from_rotvec(pose).as_matrix()
        out = np.empty((len(turns), 3, 4))
        for k, parent in enumerate(self.parents):
            base = out[parent] if parent >= 0 else np.eye(3, 4)
            out[k, :, :3] = base[:, :3] @ turns[k]
            out[k, :, 3] = base[:, :3] @ self.joints[k] + base[:, 3] - out[k, :, :3] @ self.joints[k]
        return out

    def posed(self, transforms: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Move vertices at rest (V, 3) with the bones; see ``transforms``."""
        each = (self.weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
        return np.einsum("vij,vj->vi", each[:, :, :3], rest) + each[:, :, 3]

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Compute outward unit normals (V, 3)."""
        sums = self._sums @ face_normals(vertices, self.faces)
        result: np.ndarray = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return result

    def _along(self, limb: tuple[str, ...]) -> np.ndarray:
        """Position of each vertex along the limbs, -1 elsewhere."""
        place = np.full(len(self.vertices), -1.0)
        for side in (".L", ".R"):
            first, second, third = (self.number(bone + side) for bone in limb[:3])
            own = self.share(*(bone + side for bone in limb)) > 0.5
            lower = self.share(*(bone + side for bone in limb[1:])) > 0.5
            for start, end, base, chosen in ((first, second, 0, own & ~lower), (second, third, 1, own & lower)):
                axis = self.joints[end] - self.joints[start]
                along = (self.vertices[chosen] - self.joints[start]) @ axis / (axis @ axis)
                place[chosen] = base + np.clip(along, 0, 1 if base == 0 else 2)
        return place


@cache
def body_mesh() -> BodyMesh:
    """Return the body, read once."""
    return BodyMesh()
