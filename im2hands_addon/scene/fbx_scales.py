"""Makes the scales in an FBX file change in steps, which Blender's exporter cannot (no bpy).

The exporter joins all keys linearly, so that a hand would shrink between two frames instead of vanishing. Each curve of
an FBX file has a number of flags; one of them says how its keys are joined. It is changed in place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError

_HEAD = 27  # bytes: magic, and the version as the last four
_WIDE_FROM = 7500  # since this version offsets have 64 bits
_CONSTANT, _LINEAR, _CUBIC = 2, 4, 8
_SIZES = {b"C": 1, b"Y": 2, b"I": 4, b"F": 4, b"L": 8, b"D": 8}
_ARRAY_HEAD = struct.Struct("<III")  # number of values, whether compressed, bytes


class _Node(NamedTuple):
    """A node of the file: its name, where its properties start, and where its children start and end."""

    name: bytes
    properties: int
    count: int
    children: int
    end: int


def hold_scales(path: Path) -> None:
    """Join the keys of all scales in a binary FBX file by steps.

    Parameters
    ----------
    path : Path
        The file, as Blender's exporter writes it.

    Raises
    ------
    InputError
        The file does not have the form that is expected.
    """
    content = bytearray(path.read_bytes())
    try:
        _hold(content)
    except (struct.error, IndexError, KeyError, StopIteration) as error:
        raise InputError(f"Blender wrote {path} in an unknown form ({error!r}).", "Use another format.") from error
    path.write_bytes(content)


def _hold(content: bytearray) -> None:
    """Change the flags of the curves that are connected to a node named "S", as scales are."""
    top = {node.name: node for node in _nodes(content, _HEAD, len(content))}
    parts = [list(_nodes(content, top[name].children, top[name].end)) for name in (b"Objects", b"Connections")]
    values = [[(node, _properties(content, node)) for node in nodes] for nodes in parts]
    objects, connections = values
    scales = {own[0] for node, own in objects if node.name == b"AnimationCurveNode" and own[1].split(b"\0")[0] == b"S"}
    curves = {own[1] for _, own in connections if own[2] in scales}
    for node, own in objects:
        if node.name == b"AnimationCurve" and own[0] in curves:
            flags = next(one for one in _nodes(content, node.children, node.end) if one.name == b"KeyAttrFlags")
            start = flags.properties + 1
            count, is_packed, _ = _ARRAY_HEAD.unpack_from(content, start)
            if is_packed:
                raise KeyError("flags")
            for place in range(start + _ARRAY_HEAD.size, start + _ARRAY_HEAD.size + 4 * count, 4):
                (value,) = struct.unpack_from("<I", content, place)
                struct.pack_into("<I", content, place, value & ~(_LINEAR | _CUBIC) | _CONSTANT)


def _nodes(content: bytearray, start: int, end: int) -> Iterator[_Node]:
    """The nodes between two places; an empty one ends a list."""
    (version,) = struct.unpack_from("<I", content, _HEAD - 4)
    head = struct.Struct("<QQQB" if version >= _WIDE_FROM else "<IIIB")
    while start + head.size <= end:
        after, count, size, letters = head.unpack_from(content, start)
        if not after:
            return
        name = start + head.size
        properties = name + letters
        yield _Node(bytes(content[name:properties]), properties, count, properties + size, after)
        start = after


def _properties(content: bytearray, node: _Node) -> list:
    """The whole numbers and texts among a node's properties, in their places; None for others."""
    found: list = []
    place = node.properties
    for _ in range(node.count):
        kind = bytes(content[place : place + 1])
        place += 1
        if kind in (b"S", b"R"):
            (size,) = struct.unpack_from("<I", content, place)
            found.append(bytes(content[place + 4 : place + 4 + size]))
            place += 4 + size
        elif kind in _SIZES:
            found.append(struct.unpack_from("<q", content, place)[0] if kind == b"L" else None)
            place += _SIZES[kind]
        else:  # an array
            found.append(None)
            place += _ARRAY_HEAD.size + _ARRAY_HEAD.unpack_from(content, place)[2]
    return found
