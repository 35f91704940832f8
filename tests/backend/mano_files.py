"""Files in MANO's form, made of the bundled hand: 778 vertices, 1538 faces, a hole of 16 edges at the wrist."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from im2hands.core.hands import FILE_TO_HALO
from im2hands.geometry.hand_model import HandModel, HandShape
from im2hands.lab.datasets.part_occupancy import vertex_parts

VERTICES, RIM = 778, 16
TIPS = (745, 317, 444, 556, 673)
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
STUMP = 0.012  # of forearm, metres


@cache
def right_hand() -> dict[str, Any]:
    """The arrays of a right hand: the bundled hand, cut behind the wrist and with fewer vertices."""
    model = HandModel()
    shape = HandShape(torch.zeros(1, 20), torch.ones(1, 22), torch.ones(1, 22))
    rest, heads = model.rest(shape)
    posed, keypoints = model.pose(rest, heads, torch.eye(3).expand(1, 22, 3, 3).double())
    vertices, joints = posed[0].numpy(), keypoints[0].numpy()
    along = joints[9] - joints[0]
    along /= np.linalg.norm(along)
    parts = vertex_parts(model)
    tips = [int(np.linalg.norm(vertices - joints[k], axis=1).argmin()) for k in (4, 8, 12, 16, 20)]
    faces = model.faces.numpy()
    faces = faces[((vertices[faces] - joints[0]) @ along > -STUMP).all(1)]
    faces = _largest(faces)
    faces = _collapsed(vertices, faces, tips)
    order = sorted({int(k) for k in faces.reshape(-1)} - set(tips))
    for place, tip in sorted(zip(TIPS, tips, strict=True)):
        order.insert(place, tip)
    number = np.full(len(vertices), -1)
    number[order] = np.arange(VERTICES)
    kept = vertices[order]
    wanted = joints[list(FILE_TO_HALO)][:16]
    basis = np.zeros((VERTICES, 3, 10))
    for k in range(10):
        components = torch.zeros(1, 20)
        components[0, k] = 1.0
        moved = model.rest(HandShape(components, torch.ones(1, 22), torch.ones(1, 22)))[0][0].numpy()
        basis[..., k] = (
            np.concatenate([moved, moved[:1]])[order] - np.concatenate([rest[0].numpy(), rest[0, :1]])[order]
        )
    rng = np.random.default_rng(7)
    components = np.linalg.qr(rng.standard_normal((45, 45)))[0]
    return {
        "v_template": kept, "shapedirs": basis, "posedirs": rng.standard_normal((VERTICES, 3, 135)) * 1e-5,
        "J_regressor": _regressor(kept, wanted), "weights": np.eye(16)[parts[order]],
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(16)]), "f": number[faces],
        "hands_components": components, "hands_mean": rng.standard_normal(45) * 0.05,
    }  # fmt: skip


def _regressor(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Weights of the nearest 60 vertices, with the sum 1, that give the joints."""
    rows = np.zeros((len(joints), len(vertices)))
    for row, joint in zip(rows, joints, strict=True):
        near = np.linalg.norm(vertices - joint, axis=1).argsort()[:60]
        system = np.concatenate([vertices[near].T, np.ones((1, 60))])
        row[near] = np.linalg.lstsq(system, np.append(joint, 1.0), rcond=None)[0]
    return rows


def _largest(faces: np.ndarray) -> np.ndarray:
    """The largest connected part of a mesh."""
    size = faces.max() + 1
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(size, size))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    return faces[label[faces[:, 0]] == np.bincount(label[faces[:, 0]]).argmax()]


def _collapsed(vertices: np.ndarray, faces: np.ndarray, keep: list[int]) -> np.ndarray:
    """Collapse the shortest edges that leave the mesh a disk, first those of its rim, down to the wanted counts."""
    around: dict[int, set[tuple[int, int, int]]] = {}
    for face in faces:
        triangle = (int(face[0]), int(face[1]), int(face[2]))
        for k in triangle:
            around.setdefault(k, set()).add(triangle)

    def neighbours(k: int) -> set[int]:
        return {n for triangle in around[k] for n in triangle} - {k}

    def rim() -> set[tuple[int, int]]:
        count: dict[tuple[int, int], int] = {}
        for k, triangles in around.items():
            for triangle in triangles:
                for n in triangle:
                    if n > k:
                        count[k, n] = count.get((k, n), 0) + 1
        return {edge for edge, times in count.items() if times == 1}

    def collapse(gone: int, stays: int) -> None:
        for triangle in list(around[gone]):
            for k in triangle:
                around[k].discard(triangle)
            if stays not in triangle:
                a, b, c = (stays if k == gone else k for k in triangle)
                for k in (a, b, c):
                    around[k].add((a, b, c))
        del around[gone]

    while len(border := rim()) > RIM:
        a, b = min(
            (e for e in border if len(neighbours(e[0]) & neighbours(e[1])) == 1),
            key=lambda e: float(np.linalg.norm(vertices[e[0]] - vertices[e[1]])),
        )  # fmt: skip
        collapse(a, b)
    fixed = {k for edge in rim() for k in edge}
    while len(around) > VERTICES:
        edges = [
            (a, b) for a in around if a not in fixed and a not in keep for b in neighbours(a) if b not in fixed
        ]  # fmt: skip
        edges.sort(key=lambda e: float(np.linalg.norm(vertices[e[0]] - vertices[e[1]])))
        touched: set[int] = set()
        for a, b in edges:
            if len(around) <= VERTICES:
                break
            if a in touched or b in touched or len(shared := neighbours(a) & neighbours(b)) != 2:
                continue
            touched |= shared | {a, b} | neighbours(a)
            collapse(a, b)
    return np.array(sorted({triangle for triangles in around.values() for triangle in triangles}))


def left_hand(*, mirrored_shape: bool = False) -> dict[str, Any]:
    """The arrays of the left hand; the published one has the shape basis of a right hand in x, as here by default."""
    right = right_hand()
    flip = np.array([-1.0, 1.0, 1.0])
    turn = np.array([1.0, -1.0, -1.0])  # axis-angle of a mirrored rotation
    basis = right["shapedirs"] * flip[:, None] if mirrored_shape else right["shapedirs"]
    # The pose basis of a mirrored hand: entry (a, b) of a rotation changes its sign if one of a, b is x.
    sign = np.outer(flip, flip).reshape(-1)
    poses = right["posedirs"] * flip[:, None] * np.tile(sign, 15)
    return {
        **right, "v_template": right["v_template"] * flip, "shapedirs": basis, "posedirs": poses,
        "f": right["f"][:, ::-1], "hands_mean": right["hands_mean"] * np.tile(turn, 15),
    }  # fmt: skip


def write_mano(folder: Path, *, mirrored_shape: bool = False, form: str = "pkl") -> Path:
    """Write both hands to a folder, as ``.pkl`` with a sparse matrix or as ``.npz``, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, arrays in (("LEFT", left_hand(mirrored_shape=mirrored_shape)), ("RIGHT", right_hand())):
        path = folder / f"MANO_{side}.{form}"
        if form == "npz":
            np.savez(path, **arrays)
        else:
            stored = {**arrays, "J_regressor": sparse.csc_matrix(arrays["J_regressor"])}
            path.write_bytes(pickle.dumps(stored, 2))
    return folder
