"""Export of clean hands: a skinned, animated glb; a frame as OBJ with texture coordinates, or as PLY."""

from __future__ import annotations

from typing import Any

import numpy as np

from im2hands.animation.cleaned_take import CleanHand, CleanTake
from im2hands.animation.motion.quaternions import continuous, to_matrices, to_quaternions
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.normals import vertex_normals

from .glb import GlbBuilder
from .hands import CAMERA_TO_Y_UP, OBJECT_NAMES
from .surfaces_glb import COLOURS, ROUGHNESS, add_camera


def clean_glb(clean: CleanTake, indices: list[int], camera: dict[str, Any]) -> bytes:
    """Export both hands as skinned meshes with armatures, corrective morph targets and one animation; y up, metres.

    Parameters
    ----------
    clean : CleanTake
        The clean hands.
    indices : list of int
        Indices of the frames, ascending.
    camera : dict
        The camera entry of ``take.json``.

    Returns
    -------
    bytes
        Content of the glb file.

    Raises
    ------
    InputError
        The file would be larger than glTF allows (4 GB).
    """
    glb = GlbBuilder()
    times = np.array([(index - indices[0]) / clean.fps for index in indices], np.float32)
    rows = np.array([clean.row(index) for index in indices])
    animation: dict[str, Any] = {"name": "Take", "samplers": [], "channels": []}
    clock = glb.accessor(times, bounds=True)
    for side, hand in clean.hands.items():
        if hand.present[rows].any():
            _add_hand(glb, side, hand, rows, animation, clock)
    if len(indices) > 1:
        glb.tree["animations"] = [animation]
    add_camera(glb.tree, camera)
    glb.tree["extras"] = {"fps": clean.fps}
    return glb.bytes()


def _add_hand(
    glb: GlbBuilder, side: Side, hand: CleanHand, rows: np.ndarray, animation: dict[str, Any], clock: int
) -> None:  # fmt: skip
    """Add armature, mesh and animation channels of one hand; ``rows`` (N,) are the rows of the exported frames."""
    name = OBJECT_NAMES[side]
    # Where the hand is missing it is hidden by a scale of 0, in the pose of the nearest frame with the hand.
    own = _nearest(np.flatnonzero(hand.present), rows)
    flip = np.diag(CAMERA_TO_Y_UP.astype(float))
    root_turn = _xyzw(continuous(to_quaternions(flip @ to_matrices(hand.root_rotation[own]))))
    root = (hand.root[own] * CAMERA_TO_Y_UP).astype(np.float32)
    shown = np.repeat(hand.present[rows].astype(np.float32)[:, None], 3, axis=1)
    base = np.array([_rest_rotation(hand, bone) for bone in range(len(hand.parents))])
    turns = _xyzw(continuous(to_quaternions(base @ to_matrices(hand.rotations[own]))))

    first = len(glb.tree["nodes"])
    armature = glb.add("nodes", {"name": f"{name} Rig", **_still(root_turn[0], root[0])})
    if not shown[0].any():
        glb.tree["nodes"][armature]["scale"] = [0.0] * 3
    for bone, parent in enumerate(hand.parents):
        place = hand.heads[bone]
        if parent >= 0:
            place = hand.axes[parent].T @ (hand.heads[bone] - hand.heads[parent])
        glb.add("nodes", {"name": hand.bone_names[bone], **_still(turns[0, bone], place)})
        holder = glb.tree["nodes"][armature if parent < 0 else first + 1 + int(parent)]
        holder.setdefault("children", []).append(first + 1 + bone)
    bind = np.tile(np.eye(4), (len(hand.parents), 1, 1))
    bind[:, :3, :3] = hand.axes.transpose(0, 2, 1)
    bind[:, :3, 3] = -np.einsum("bji,bj->bi", hand.axes, hand.heads)
    joints = [first + 1 + bone for bone in range(len(hand.parents))]
    matrices = glb.accessor(bind.astype(np.float32))
    skin = glb.add("skins", {"joints": joints, "inverseBindMatrices": matrices, "skeleton": armature, "name": name})
    mesh = _add_mesh(glb, side, hand, hand.shape_weights[own[0]])
    node = glb.add("nodes", {"name": name, "mesh": mesh, "skin": skin})
    glb.tree["scenes"][0]["nodes"] += [armature, node]

    glb.animate(animation, armature, "translation", (clock, glb.accessor(root)), "LINEAR")
    glb.animate(animation, armature, "rotation", (clock, glb.accessor(root_turn)), "LINEAR")
    if not hand.present[rows].all():
        glb.animate(animation, armature, "scale", (clock, glb.accessor(shown)), "STEP")
    for bone, joint in enumerate(joints):
        if np.ptp(turns[:, bone], axis=0).max() > 1e-6:
            values = glb.accessor(np.ascontiguousarray(turns[:, bone]))
            glb.animate(animation, joint, "rotation", (clock, values), "LINEAR")
    if len(hand.basis):
        weights = glb.accessor(hand.shape_weights[own].astype(np.float32).ravel())
        glb.animate(animation, node, "weights", (clock, weights), "LINEAR")


def _nearest(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) for each of ``wanted`` the nearest of ``known`` (ascending, not empty); the lower one if two are as near.

    It is a search, because the memory of a table of all distances grows with the square of the take's length.
    """
    after = np.searchsorted(known, wanted)
    lower, upper = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
    return np.where(np.abs(wanted - lower) <= np.abs(upper - wanted), lower, upper)


def _rest_rotation(hand: CleanHand, bone: int) -> np.ndarray:
    """(3, 3) the rest axes of a bone in the axes of its parent."""
    parent = int(hand.parents[bone])
    found: np.ndarray = hand.axes[bone] if parent < 0 else hand.axes[parent].T @ hand.axes[bone]
    return found


def _still(turn: np.ndarray, place: np.ndarray) -> dict[str, Any]:
    """Rotation and translation of a node."""
    return {"rotation": [float(v) for v in turn], "translation": [float(v) for v in place]}


def _xyzw(quaternions: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) in glTF's order, float32."""
    found: np.ndarray = quaternions[..., [1, 2, 3, 0]].astype(np.float32)
    return found


def _add_mesh(glb: GlbBuilder, side: Side, hand: CleanHand, weights: np.ndarray) -> int:
    """Add the mesh with texture coordinates and morph targets.

    Vertices are duplicated where corners have different texture coordinates. ``weights`` (K,) are the initial weights
    of the morph targets.
    """
    quads, triangles = hand.faces[:, 3] >= 0, hand.triangles
    corners = np.concatenate([hand.uv[:, :3], hand.uv[quads][:, [0, 2, 3]]]).astype(np.float32)
    keys = np.column_stack([triangles.reshape(-1, 1).astype(np.float64), corners.reshape(-1, 2).round(6)])
    _, chosen, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    vertex, uv = triangles.ravel()[chosen], corners.reshape(-1, 2)[chosen]
    order = np.argsort(-hand.weights, axis=1, kind="stable")[:, :4]
    share = np.take_along_axis(hand.weights, order, axis=1)
    share = share / share.sum(axis=1, keepdims=True)
    attributes = {
        "POSITION": glb.accessor(hand.vertices[vertex].astype(np.float32), bounds=True),
        "NORMAL": glb.accessor(vertex_normals(hand.vertices, triangles)[vertex].astype(np.float32)),
        "TEXCOORD_0": glb.accessor(np.column_stack([uv[:, 0], 1 - uv[:, 1]])),
        "JOINTS_0": glb.accessor(np.where(share > 0, order, 0)[vertex].astype(np.uint8)),
        "WEIGHTS_0": glb.accessor(share[vertex].astype(np.float32)),
    }
    colour = {"baseColorFactor": [*COLOURS[side], 1.0], "metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    material = glb.add("materials", {"name": OBJECT_NAMES[side], "pbrMetallicRoughness": colour})
    primitive: dict[str, Any] = {
        "attributes": attributes, "material": material,
        "indices": glb.accessor(index.reshape(-1).astype(np.uint32)),
    }  # fmt: skip
    mesh: dict[str, Any] = {"name": OBJECT_NAMES[side], "primitives": [primitive]}
    if len(hand.basis):
        shapes = [glb.accessor(shape[vertex].astype(np.float32), bounds=True) for shape in hand.basis]
        primitive["targets"] = [{"POSITION": accessor} for accessor in shapes]
        mesh["weights"] = [float(weight) for weight in weights]
        mesh["extras"] = {"targetNames": [f"Corrective {k + 1:02d}" for k in range(len(hand.basis))]}
    return glb.add("meshes", mesh)


def clean_obj(clean: CleanTake, index: int) -> bytes:
    """Export one frame as Wavefront OBJ: quads, texture coordinates, y up, metres.

    Parameters
    ----------
    clean : CleanTake
        The clean hands.
    index : int
        Index of the frame.

    Returns
    -------
    bytes
        Content of the OBJ file.
    """
    lines = [f"# im2hands, frame {index}"]
    points = corners = 0
    for side in SIDES:
        hand = clean.hands.get(side)
        if hand is None or not hand.present[clean.row(index)]:
            continue
        vertices = hand.posed(clean.row(index)) * CAMERA_TO_Y_UP
        texture, number = np.unique(hand.uv.reshape(-1, 2).round(6), axis=0, return_inverse=True)
        number = number.reshape(-1, 4)
        lines.append(f"o {OBJECT_NAMES[side]}")
        lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in vertices.tolist()]
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in texture.tolist()]
        for face, at in zip((hand.faces + 1 + points).tolist(), (number + 1 + corners).tolist(), strict=True):
            size = 4 if face[3] > points else 3
            lines.append("f " + " ".join(f"{a}/{b}" for a, b in zip(face[:size], at[:size], strict=True)))
        points, corners = points + len(vertices), corners + len(texture)
    return ("\n".join(lines) + "\n").encode()


def clean_ply(hand: CleanHand, row: int) -> bytes:
    """Export one hand of one frame as binary PLY, y up, metres.

    The faces are triangles, because many readers do not support mixed faces.

    Parameters
    ----------
    hand : CleanHand
        The hand.
    row : int
        Row of the frame; the hand must be present in it.

    Returns
    -------
    bytes
        Content of the PLY file.
    """
    vertices = (hand.posed(row) * CAMERA_TO_Y_UP).astype("<f4")
    triangles = hand.triangles
    head = (
        "ply\nformat binary_little_endian 1.0\ncomment im2hands\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(triangles), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    return head.encode() + vertices.tobytes() + faces.tobytes()
