"""Export of the implicit surfaces of a take as one animated glb file.

Surfaces change their topology from frame to frame. So each frame and hand is a node of its own, shown and hidden by a
stepped animation of its scale, which every viewer plays.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from im2hands.core.errors import InputError, TakeError
from im2hands.core.hands import SIDES, Side
from im2hands.take.take import Take

from .hands import OBJECT_NAMES, hands_y_up

# Constants of glTF 2.0's binary container.
_MAGIC, _VERSION, _JSON, _BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
_FLOAT = 5126
_LARGEST = 2**32 - 1

# Base colours, linear RGB: similar skin tones that still distinguish the hands.
COLOURS: dict[Side, tuple[float, float, float]] = {"left": (0.60, 0.36, 0.26), "right": (0.52, 0.31, 0.24)}
ROUGHNESS = 0.7
"""Roughness of the hands' material."""
CAMERA_NAME = "Camera"
"""Name of the camera node."""


def glb_bytes(take: Take, indices: list[int]) -> tuple[bytes, dict[int, TakeError]]:
    """Export a take as glTF binary; y up, metres.

    Parameters
    ----------
    take : Take
        The take.
    indices : list of int
        Indices of the frames, ascending. Frames without hands, or that cannot be read, show nothing for their duration.

    Returns
    -------
    data : bytes
        Content of the glb file; empty if no frame can be read.
    damaged : dict of int to TakeError
        Why frames cannot be read, by index.

    Raises
    ------
    InputError
        The file would be larger than glTF allows (4 GB).
    """
    import trimesh

    scene = trimesh.Scene()
    spans: dict[str, tuple[float, float]] = {}
    damaged: dict[int, TakeError] = {}
    times = _times(take, indices)
    for position, index in enumerate(indices):
        try:
            hands = dict(hands_y_up(take, index))
        except TakeError as error:
            damaged[index] = error
            continue
        for side, (vertices, faces) in hands.items():
            name = f"{OBJECT_NAMES[side]} {index:06d}"
            mesh = trimesh.Trimesh(vertices, faces, process=False)
            scene.add_geometry(mesh, node_name=name, geom_name=name)
            spans[name] = times[position], times[position + 1]
    if not spans:
        return b"", damaged
    tree, data = split_glb(trimesh.exchange.gltf.export_glb(scene, include_normals=True))
    _add_materials(tree)
    add_camera(tree, take.header.get("camera") or {})
    if len(indices) > 1:
        data = _add_visibility(tree, data, spans, times[-1])
    tree["asset"]["generator"] = "im2hands"
    tree.setdefault("extras", {})["fps"] = take.header.get("fps")
    return join_glb(tree, data), damaged


def split_glb(glb: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a glb file into its JSON and its binary part.

    Parameters
    ----------
    glb : bytes
        Content of the file.

    Returns
    -------
    tree : dict
        The JSON.
    data : bytes
        The binary part; empty if there is none.

    Raises
    ------
    ValueError
        The file is not a glb of version 2.
    """
    magic, version, _ = struct.unpack_from("<III", glb, 0)
    json_length, json_kind = struct.unpack_from("<II", glb, 12)
    if magic != _MAGIC or version != _VERSION or json_kind != _JSON:
        raise ValueError("not a glb of version 2")
    tree = json.loads(glb[20 : 20 + json_length])
    start = 20 + json_length
    if start >= len(glb):
        return tree, b""
    length, _ = struct.unpack_from("<II", glb, start)
    return tree, glb[start + 8 : start + 8 + length]


def join_glb(tree: dict[str, Any], data: bytes) -> bytes:
    """Join a JSON and a binary part to a glb file.

    Parameters
    ----------
    tree : dict
        The JSON; the length of its only buffer is set here.
    data : bytes
        The binary part.

    Returns
    -------
    bytes
        Content of the glb file.

    Raises
    ------
    InputError
        The file would be larger than 4 GB.
    """
    data += b"\0" * (-len(data) % 4)
    tree["buffers"] = [{"byteLength": len(data)}]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(data)
    if total > _LARGEST:
        raise InputError("The take is too large for one glb (4 GB).", "Export fewer frames at a time (--frames).")
    head = struct.pack("<III", _MAGIC, _VERSION, total)
    return head + struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(data), _BIN) + data


def _times(take: Take, indices: list[int]) -> list[float]:
    """The start of each frame and the end of the last one, seconds from the first start."""
    fps = float(take.header.get("fps") or 25.0)
    starts = [(index - indices[0]) / fps for index in indices]
    return [*starts, starts[-1] + 1.0 / fps]


def _add_materials(tree: dict[str, Any]) -> None:
    """Add one material per hand and assign it to the meshes."""
    tree["materials"] = [
        {
            "name": OBJECT_NAMES[side],
            "pbrMetallicRoughness": {
                "baseColorFactor": [*COLOURS[side], 1.0], "metallicFactor": 0.0, "roughnessFactor": ROUGHNESS,
            },
        }
        for side in SIDES
    ]  # fmt: skip
    for mesh in tree["meshes"]:
        side = next(side for side in SIDES if mesh["name"].startswith(OBJECT_NAMES[side]))
        for primitive in mesh["primitives"]:
            primitive["material"] = SIDES.index(side)


def add_camera(tree: dict[str, Any], camera: dict[str, Any]) -> None:
    """Add the camera of the pictures; glTF does not support a principal point outside the centre.

    Parameters
    ----------
    tree : dict
        The glTF JSON; the camera is added to it.
    camera : dict
        The camera entry of ``take.json``; empty for none.
    """
    if not camera:
        return
    lens = {
        "yfov": 2 * math.atan(camera["height"] / (2 * camera["fy"])),
        "aspectRatio": camera["width"] / camera["height"] * camera["fy"] / camera["fx"],
        "znear": 0.01,
    }
    tree["cameras"] = [{"type": "perspective", "name": CAMERA_NAME, "perspective": lens}]
    tree["nodes"].append({"name": CAMERA_NAME, "camera": 0})
    tree["scenes"][tree.get("scene", 0)]["nodes"].append(len(tree["nodes"]) - 1)


def _add_visibility(tree: dict[str, Any], data: bytes, spans: dict[str, tuple[float, float]], end: float) -> bytes:
    """Add an animation that shows each node in its own time span and hides it otherwise; returns the extended
    binary part."""
    animation: dict[str, Any] = {"name": "Take", "samplers": [], "channels": []}
    longer = bytearray(data + b"\0" * (-len(data) % 4))
    for number, node in enumerate(tree["nodes"]):
        if node.get("name") not in spans:
            continue
        first, last = spans[node["name"]]
        # Keys at both ends give every node's animation the length of the take.
        keys = {0.0: 0.0, end: 0.0, last: 0.0, first: 1.0}
        if last >= end:
            keys[end] = 1.0
        times = np.array(sorted(keys), dtype=np.float32)
        scales = np.array([[keys[time]] * 3 for time in sorted(keys)], dtype=np.float32)
        sampler = {
            "input": _add_accessor(tree, longer, times),
            "output": _add_accessor(tree, longer, scales),
            "interpolation": "STEP",
        }
        animation["samplers"].append(sampler)
        target = {"node": number, "path": "scale"}
        animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})
        # A viewer that plays no animation shows the first frame. glTF forbids a matrix on an animated node.
        node.pop("matrix", None)
        node["scale"] = [1.0] * 3 if first == 0.0 else [0.0] * 3
    tree["animations"] = [animation]
    return bytes(longer)


def _add_accessor(tree: dict[str, Any], data: bytearray, values: np.ndarray) -> int:
    """Append (N,) or (N, 3) float32 values to the binary part; returns the index of the accessor."""
    raw = values.tobytes()
    tree["bufferViews"].append({"buffer": 0, "byteOffset": len(data), "byteLength": len(raw)})
    data += raw
    accessor: dict[str, Any] = {
        "bufferView": len(tree["bufferViews"]) - 1,
        "componentType": _FLOAT,
        "count": len(values),
        "type": "SCALAR" if values.ndim == 1 else "VEC3",
    }
    if values.ndim == 1:  # glTF requires bounds for the times of animations
        accessor["min"], accessor["max"] = [float(values.min())], [float(values.max())]
    tree["accessors"].append(accessor)
    return len(tree["accessors"]) - 1
