"""Skinned meshes of other programs' glTF binary files, in the pose of their nodes.

Only the JSON and the arrays of the file itself are read, every index and length is checked, and nothing outside the
file is opened. Specification: glTF 2.0 of the Khronos Group.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular

_MOST_BYTES = 256 * 2**20
_MOST_NODES = 4000
_MOST_WEIGHTS = 10**8  # vertices times joints
_MAGIC, _VERSION, _JSON, _BINARY = b"glTF", 2, 0x4E4F534A, 0x004E4942
_COMPONENTS: dict[object, Any] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES = 4


@dataclass(frozen=True)
class SkinnedMesh:
    """The skinned meshes of a file as one mesh, and the bones that move it, in the pose of the file's nodes.

    Parameters
    ----------
    vertices : (V, 3) float64
        Positions, the file's world frame, metres.
    faces : (F, 3) int64
        Triangles.
    names : tuple of J str
        Names of the bones: the joints of the skins and the nodes below them.
    parents : (J,) int
        The nearest bone above each bone, -1 if there is none.
    heads : (J, 3) float64
        Places of the bones, same frame, metres.
    weights : (V, J) float64
        How much each bone moves each vertex; the weights of a vertex add up to 1.
    """

    vertices: np.ndarray
    faces: np.ndarray
    names: tuple[str, ...]
    parents: np.ndarray
    heads: np.ndarray
    weights: np.ndarray


def read_skinned_glb(path: Path) -> SkinnedMesh:
    """Read the skinned meshes of a glTF binary file; morph targets, animations and materials are left out.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    SkinnedMesh
        The meshes.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, has no skinned mesh, or needs an extension or another file.
    """
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    try:
        return _skinned_mesh(_Glb(data))
    except Exception as error:  # a damaged file can cause any exception
        raise InputError(
            f"{path} has no skinned mesh that can be read: {error}.", "Export it again as a glTF binary file (.glb)."
        ) from error


class _Glb:
    """The JSON and the binary chunk of a file; its methods raise ValueError where something does not fit."""

    def __init__(self, data: bytes) -> None:
        _require(len(data) >= 20 and data[:4] == _MAGIC, "it is no glTF binary file")
        version, length, size, kind = struct.unpack_from("<4I", data, 4)
        _require(version == _VERSION, f"its version is {version}, not {_VERSION}")
        _require(length <= len(data) and kind == _JSON and 20 + size <= length, "it is cut off or damaged")
        tree = json.loads(data[20 : 20 + size])
        _require(isinstance(tree, dict), "its JSON is no object")
        self._tree: dict[str, Any] = tree
        self._binary = b""
        start = 20 + size
        if start + 8 <= length:
            size, kind = struct.unpack_from("<2I", data, start)
            _require(kind == _BINARY and start + 8 + size <= length, "its binary chunk is cut off or damaged")
            self._binary = data[start + 8 : start + 8 + size]
        needed = tree.get("extensionsRequired", [])
        _require(not needed, f"it needs the extensions {needed}")

    def entries(self, name: str) -> list[dict[str, Any]]:
        """A list of the tree; empty if it is missing."""
        found = self._tree.get(name, [])
        _require(isinstance(found, list) and all(isinstance(entry, dict) for entry in found), f"{name} is no list")
        return list(found)

    def entry(self, name: str, index: object) -> dict[str, Any]:
        """An entry of a list of the tree."""
        entries = self.entries(name)
        _require(isinstance(index, int) and 0 <= index < len(entries), f"{name} has no entry {index}")
        return entries[int(index)]  # type: ignore[call-overload,no-any-return]

    def array(self, index: object) -> np.ndarray:
        """The values (N, width) of an accessor, integers that stand for fractions as float64."""
        accessor = self.entry("accessors", index)
        _require("sparse" not in accessor, "a sparse accessor is not supported")
        view = self.entry("bufferViews", accessor.get("bufferView"))
        buffer = self.entry("buffers", view.get("buffer"))
        _require("uri" not in buffer and view["buffer"] == 0, "its arrays lie in another file")
        component, width = _COMPONENTS.get(accessor.get("componentType")), _WIDTHS.get(str(accessor.get("type")))
        if component is None or width is None:
            raise ValueError(f"accessor {index} has an unknown type")
        item = width * np.dtype(component).itemsize
        count, length = _whole(accessor, "count"), _whole(view, "byteLength")
        offset, stride = _whole(accessor, "byteOffset", 0), _whole(view, "byteStride", item)
        start = _whole(view, "byteOffset", 0)
        fits = stride >= item and (count == 0 or offset + (count - 1) * stride + item <= length)
        _require(fits and start + length <= len(self._binary), f"accessor {index} reaches beyond its buffer")
        if count == 0:
            return np.empty((0, width), component)
        layout = np.dtype(component).newbyteorder("<")
        values = np.ndarray(
            (count, width), layout, self._binary, start + offset, (stride, np.dtype(component).itemsize)
        )  # fmt: skip
        if accessor.get("normalized") and component != np.float32:
            return np.maximum(values / float(np.iinfo(component).max), -1.0)
        return values.astype(component)


def _skinned_mesh(glb: _Glb) -> SkinnedMesh:
    nodes = glb.entries("nodes")
    parents, worlds = _hierarchy(nodes)
    shown = [node for node in nodes if "mesh" in node and "skin" in node]
    _require(bool(shown), "it has no mesh with a skin")
    skins = [glb.entry("skins", node["skin"]) for node in shown]
    used = _with_ends({_index(joint, len(nodes)) for skin in skins for joint in skin.get("joints", [])}, nodes)
    column = {node: k for k, node in enumerate(used)}
    vertices, faces, weights, total = [], [], [], 0
    for node, skin in zip(shown, skins, strict=True):
        joints = [_index(joint, len(nodes)) for joint in skin["joints"]]
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in skin:
            matrices = glb.array(skin["inverseBindMatrices"]).astype(np.float64)
            _require(matrices.shape[1] == 16 and len(matrices) >= len(joints), "a skin has too few matrices")
            inverse = matrices[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        bind = worlds[joints] @ inverse
        for primitive in glb.entry("meshes", node["mesh"]).get("primitives", []):
            points, corners, share = _primitive(glb, primitive, len(joints), len(used))
            moved = np.einsum("vj,jab->vab", share, bind[:, :3])
            vertices.append(np.einsum("vab,vb->va", moved, np.column_stack([points, np.ones(len(points))])))
            dense = np.zeros((len(points), len(used)))
            np.add.at(dense.T, [column[joint] for joint in joints], share.T)
            weights.append(dense)
            faces.append(corners + total)
            total += len(points)
            _require(total * len(used) <= _MOST_WEIGHTS, "it is too large")
    _require(total > 0, "its skinned meshes are empty")
    mesh = np.concatenate(vertices)
    _require(bool(np.isfinite(mesh).all() and np.isfinite(worlds).all()), "it has numbers that are not finite")
    return SkinnedMesh(
        mesh, np.concatenate(faces), tuple(str(nodes[k].get("name", k)) for k in used),
        np.array([_bone_above(k, parents, column) for k in used]), worlds[used][:, :3, 3], np.concatenate(weights),
    )  # fmt: skip


def _primitive(
    glb: _Glb, primitive: dict[str, Any], joints: int, columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Points (V, 3), triangles (F, 3) and weights (V, joints) of a primitive."""
    _require(primitive.get("mode", _TRIANGLES) == _TRIANGLES, "a skinned mesh does not consist of triangles")
    attributes = primitive.get("attributes", {})
    points = glb.array(attributes.get("POSITION")).astype(np.float64)
    count = len(points)
    _require(points.shape[1] == 3 and count * max(joints, columns) <= _MOST_WEIGHTS, "it is too large")
    corners = np.arange(count)
    if "indices" in primitive:
        corners = glb.array(primitive["indices"]).astype(np.int64).ravel()
    _require(len(corners) % 3 == 0 and bool((corners < count).all()), "its triangles do not fit its vertices")
    weights, rows, group = np.zeros((count, joints)), np.arange(count), 0
    while f"JOINTS_{group}" in attributes:
        chosen = glb.array(attributes[f"JOINTS_{group}"]).astype(np.int64)
        share = glb.array(attributes.get(f"WEIGHTS_{group}")).astype(np.float64)
        _require(chosen.shape == share.shape == (count, 4), "its joints and weights do not fit its vertices")
        _require(bool((chosen < joints).all() and (share >= 0).all()), "its joints or weights are out of range")
        for k in range(4):
            np.add.at(weights, (rows, chosen[:, k]), share[:, k])
        group += 1
    sums = weights.sum(axis=1, keepdims=True)
    _require(bool((sums > 0).all()), "no bone moves some of its vertices")
    return points, corners.reshape(-1, 3), weights / sums


def _hierarchy(nodes: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Parents (N,) of the nodes, -1 for none, and their world matrices (N, 4, 4)."""
    count = len(nodes)
    _require(count <= _MOST_NODES, f"it has more than {_MOST_NODES} nodes")
    parents = np.full(count, -1)
    for k, node in enumerate(nodes):
        for child in node.get("children", []):
            _require(parents[_index(child, count)] < 0, "a node has two parents")
            parents[child] = k
    worlds, done = np.array([_local(node) for node in nodes]).reshape(-1, 4, 4), parents < 0
    order = [int(k) for k in np.flatnonzero(done)]
    for k in order:  # grows while it is walked
        for child in nodes[k].get("children", []):
            worlds[child] = worlds[k] @ worlds[child]
            order.append(child)
    _require(len(order) == count, "its nodes form a ring")
    return parents, worlds


def _with_ends(joints: set[int], nodes: list[dict[str, Any]]) -> list[int]:
    """The joints and the nodes below them, for example ends of fingers that move no vertex; ascending."""
    order = list(joints)
    for k in order:  # grows while it is walked
        order += [child for child in nodes[k].get("children", []) if "mesh" not in nodes[child] and child not in order]
    return sorted(order)


def _local(node: dict[str, Any]) -> np.ndarray:
    """The matrix (4, 4) of a node in its parent."""
    if "matrix" in node:
        return _numbers(node, "matrix", [0.0] * 16).reshape(4, 4).T
    x, y, z, w = _numbers(node, "rotation", [0.0, 0.0, 0.0, 1.0])
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    found = np.eye(4)
    found[:3, :3] = turn * _numbers(node, "scale", [1.0] * 3)
    found[:3, 3] = _numbers(node, "translation", [0.0] * 3)
    return found


def _numbers(node: dict[str, Any], name: str, usual: list[float]) -> np.ndarray:
    values = node.get(name, usual)
    numbers = isinstance(values, list) and all(isinstance(v, int | float) and math.isfinite(v) for v in values)
    _require(numbers and len(values) == len(usual), f"the {name} of a node is damaged")
    return np.array(values, np.float64)


def _bone_above(node: int, parents: np.ndarray, column: dict[int, int]) -> int:
    """Column of the nearest bone above a node, -1 if there is none."""
    node = int(parents[node])
    while node >= 0 and node not in column:
        node = int(parents[node])
    return column.get(node, -1)


def _whole(entry: dict[str, Any], name: str, usual: int | None = None) -> int:
    value = entry.get(name, usual)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value}")
    return value


def _index(value: object, count: int) -> int:
    if not isinstance(value, int) or not 0 <= value < count:
        raise ValueError(f"there is no node {value}")
    return value


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)
