"""Hands of other models, posed: a rigged mesh cut from its file, its 21 keypoints, and six poses by linear skinning.

A hand is measured as a right hand; a left one is mirrored in x when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, WRIST, Side
from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.geometry.sealing import close_outward
from im2hands.lab.datasets.part_occupancy import FIRST_BONES, vertex_parts
from im2hands.lab.synthesis.poses import mean_shape

from .bone_names import TIPS
from .skinned_glb import SkinnedMesh

PALM_LIMITS = (0.06, 0.14)
"""Shortest and longest palm of a hand, metres: a model outside has another unit."""

_SAME_PLACE = 1e-5  # Vertices this close, as seams of textures have them, are one vertex; share of the palm length.
_PARTS = 16  # The palm, then three bones of each finger, thumb to little.
_PUBLISHED = np.array([0, *(first + level for first in FIRST_BONES for level in range(3))])  # bone of each part
_RANDOM_SEED = 20
_KNUCKLE_LINES = ((5, 9), (5, 13), (9, 17), (13, 17))  # index to little: flexion is about the line between these


@dataclass(frozen=True)
class OtherHand:
    """A hand model in its rest pose, as a right hand.

    Parameters
    ----------
    vertices : (V, 3) float64
        Positions, metres.
    faces : (F, 3) int64
        Triangles, outward, closed if the mesh had a single opening.
    weights : (V, 16) float64
        How much the palm and the three bones of each finger, thumb to little, move each vertex.
    keypoints : (21, 3) float64
        Keypoints in file order, same frame, metres.
    owner : (V,) int
        The bone of the 16 in published order (``geometry.bones.BONE_NAMES``) to which the vertex's bone belongs.
    end : float
        How far behind the wrist the model's own surface reaches all around, metres.
    """

    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray
    keypoints: np.ndarray
    owner: np.ndarray
    end: float


@dataclass(frozen=True)
class HandPose:
    """Angles of the finger joints away from the rest pose, degrees.

    Parameters
    ----------
    flexion : (5, 3) float
        Bending of the joints of each finger, thumb to little.
    spreading : (5,) float
        Sideways turn of each finger's first joint, away from the little finger.
    """

    flexion: np.ndarray
    spreading: np.ndarray


def poses() -> dict[str, HandPose]:
    """The six poses by name. The random one is the same in every call."""
    fist, half = np.array([70.0, 90.0, 55.0]), np.array([35.0, 45.0, 30.0])
    rng = np.random.default_rng(_RANDOM_SEED)

    def pose(thumb: list[float], fingers: np.ndarray, spreading: list[float] | None = None) -> HandPose:
        flexion = np.concatenate([[thumb], np.broadcast_to(fingers, (4, 3))])
        return HandPose(flexion, np.array(spreading or [0.0] * 5))

    pointing = np.stack([np.zeros(3), fist, fist, fist])
    return {
        "open": pose([0, 0, 0], np.zeros(3)),
        "half closed": pose([10, 15, 20], half),
        "fist": pose([20, 30, 40], fist),
        "spread": pose([-10, 0, 0], np.zeros(3), [8, 10, 2, -8, -16]),
        "pointing": pose([15, 25, 35], pointing),
        "random": HandPose(
            rng.uniform(0, 1, (5, 3)) * np.array([[20, 30, 40], *[[65, 80, 50]] * 4]), rng.uniform(-8, 8, 5)
        ),
    }


def posed(hand: OtherHand, pose: HandPose) -> tuple[np.ndarray, np.ndarray]:
    """Pose a hand by linear blend skinning.

    Parameters
    ----------
    hand : OtherHand
        The hand.
    pose : HandPose
        Angles of its joints.

    Returns
    -------
    vertices : (V, 3) float64
        Posed vertices, metres; the palm stays where it is.
    keypoints : (21, 3) float64
        Posed keypoints, metres.
    """
    turns, shifts = np.tile(np.eye(3), (_PARTS, 1, 1)), np.zeros((_PARTS, 3))
    keypoints = hand.keypoints.copy()
    for finger in range(5):
        chain = hand.keypoints[1 + 4 * finger : 5 + 4 * finger]
        flexion, side = _axes(hand.keypoints, finger)
        turn, shift = np.eye(3), np.zeros(3)
        for level in range(3):
            own = _turn(flexion[level], pose.flexion[finger, level])
            if level == 0:
                own = _turn(side, pose.spreading[finger]) @ own
            shift = turn @ (chain[level] - own @ chain[level]) + shift
            turn = turn @ own
            turns[1 + 3 * finger + level], shifts[1 + 3 * finger + level] = turn, shift
            keypoints[2 + 4 * finger + level] = turn @ chain[level + 1] + shift
    moved = np.einsum("vp,pab->vab", hand.weights, np.concatenate([turns, shifts[..., None]], axis=2))
    return np.einsum("vab,vb->va", moved[..., :3], hand.vertices) + moved[..., 3], keypoints


def other_hand(mesh: SkinnedMesh, bones: dict[int, int], side: Side, scale: float = 1.0) -> OtherHand:
    """Cut a hand from a skinned mesh: what the bone before the wrist and all bones after it move.

    Parameters
    ----------
    mesh : SkinnedMesh
        The model; it may be a whole body.
    bones : dict of int to int
        Bone by keypoint, all but the fingertips; see ``bone_names``. A tip without a bone is the vertex of the last
        bone that is farthest from its joint.
    side : Side
        The hand's side.
    scale : float
        Metres in a unit of the file.

    Returns
    -------
    OtherHand
        The hand.

    Raises
    ------
    InputError
        The hand is not of a hand's size, or no vertex follows a finger.
    """
    keypoints = np.full((KEYPOINT_COUNT, 3), np.nan)
    keypoints[list(bones)] = mesh.heads[list(bones.values())]
    mirror = np.array([-scale if side == "left" else scale, scale, scale])
    vertices, keypoints = mesh.vertices * mirror, keypoints * mirror
    palm = float(np.linalg.norm(keypoints[MIDDLE_MCP] - keypoints[WRIST]))
    if not PALM_LIMITS[0] <= palm <= PALM_LIMITS[1]:
        raise InputError(
            f"The palm of the model is {palm:.4g} m long.", "Give the metres in a unit of the file with --scale."
        )
    parts = _parts(mesh.parents, bones)
    weights = np.zeros((len(vertices), _PARTS))
    np.add.at(weights.T, parts, mesh.weights.T)
    for finger, tip in enumerate(TIPS):
        own = np.flatnonzero(weights.argmax(axis=1) == 3 * finger + 3)
        if tip not in bones:
            if not len(own):
                raise InputError("No vertex of the model follows the last bone of a finger.", "Check its bones.")
            keypoints[tip] = vertices[own[np.linalg.norm(vertices[own] - keypoints[tip - 1], axis=1).argmax()]]
    kept = mesh.weights[:, _of_the_hand(mesh.parents, bones[WRIST])].sum(axis=1) > 0.5
    faces = mesh.faces[kept[mesh.faces].all(axis=1)]
    if side == "left":
        faces = faces[:, ::-1]
    used, faces = np.unique(faces, return_inverse=True)
    owner = _PUBLISHED[parts[mesh.weights[used].argmax(axis=1)]]
    return _whole_hand(vertices[used], faces.reshape(-1, 3), weights[used], keypoints, owner)


def bundled_hand() -> OtherHand:
    """The mean hand of the bundled model, to compare hands of other models with."""
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    turns = np.eye(3)[None, None].repeat(22, axis=1)
    mesh, keypoints = model.pose(vertices, heads, vertices.new_tensor(turns))
    weights = np.zeros((mesh.shape[1], _PARTS))
    table = {bone: 1 + 3 * f + level for f, bones in enumerate(FINGER_BONES) for level, bone in enumerate(bones)}
    for bone, column in enumerate(model._weights.numpy().T):
        weights[:-1, table.get(bone, 0)] += column
    weights[-1, 0] = 1.0
    return _whole_hand(mesh[0].numpy(), model.faces.numpy(), weights, keypoints[0].numpy(), vertex_parts(model))


def _whole_hand(
    vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, keypoints: np.ndarray, owner: np.ndarray
) -> OtherHand:  # fmt: skip
    """Join vertices at the same place, drop faces without area, and close the mesh."""
    back = keypoints[WRIST] - keypoints[MIDDLE_MCP]
    palm = np.linalg.norm(back)
    _, first, same = np.unique(
        np.round(vertices / (_SAME_PLACE * palm)), axis=0, return_index=True, return_inverse=True
    )  # fmt: skip
    vertices, weights, owner, faces = vertices[first], weights[first], owner[first], same.ravel()[faces]
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    closed, faces = close_outward(vertices, faces)
    if len(closed) > len(vertices):  # the new vertex follows the palm
        weights, owner = np.concatenate([weights, np.eye(1, _PARTS)]), np.append(owner, 0)
    return OtherHand(closed, faces, weights, keypoints, owner, _end(closed, faces, keypoints[WRIST], back / palm))


def _end(vertices: np.ndarray, faces: np.ndarray, wrist: np.ndarray, back: np.ndarray) -> float:
    """How far behind the wrist the mesh reaches all around, metres: where its rim or its flat end begins."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    cap = normals @ back > 0.7
    behind = (corners - wrist) @ back
    ending = cap & (behind.max(axis=1) > behind.max() - 0.03)
    return float(behind[ending].min()) if ending.any() else float(behind.max())


def _parts(parents: np.ndarray, bones: dict[int, int]) -> np.ndarray:
    """The part (J,) that each bone belongs to: its own, or that of the nearest bone above it that has one."""
    own = {}
    for keypoint, bone in bones.items():
        finger, level = divmod(keypoint - 1, 4)
        own[bone] = 0 if keypoint == WRIST else 1 + 3 * finger + min(level, 2)
    found = np.zeros(len(parents), int)
    for bone in range(len(parents)):
        above = bone
        while above >= 0 and above not in own:
            above = int(parents[above])
        found[bone] = own.get(above, 0)
    return found


def _of_the_hand(parents: np.ndarray, wrist: int) -> np.ndarray:
    """Which bones (J,) belong to the forearm and the hand; all of a rig whose wrist has no bone above it."""
    top = int(parents[wrist])
    if top < 0:
        return np.ones(len(parents), bool)
    found = np.zeros(len(parents), bool)
    for bone in range(len(parents)):
        above = bone
        while above not in (-1, top):
            above = int(parents[above])
        found[bone] = above == top
    return found


def _axes(keypoints: np.ndarray, finger: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit axes (3, 3) about which a finger's joints flex, and (3,) about which it spreads, of a right hand.

    The thumb flexes towards the root of the little finger, the other fingers about the line of the knuckles beside
    them.
    """
    chain = keypoints[1 + 4 * finger : 5 + 4 * finger]
    along = _unit(np.diff(chain, axis=0))
    if finger == 0:
        line = np.cross(along, keypoints[17] - chain[:3])
    else:
        a, b = _KNUCKLE_LINES[finger - 1]
        line = np.broadcast_to(keypoints[a] - keypoints[b], (3, 3))
    flexion = _unit(line - (line * along).sum(axis=1, keepdims=True) * along)
    return flexion, np.cross(along[0], flexion[0])


def _unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def _turn(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation (3, 3) about a unit axis."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    found: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return found
