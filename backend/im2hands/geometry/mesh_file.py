"""Triangle meshes and point files of other programs: obj, ply and off, with the vertices in the file's order.

The order matters: a mesh of 778 vertices is a MANO hand only in MANO's order, and a ply file of 21 vertices is a hand
only in a known keypoint order. So nothing is merged, sorted or dropped. Materials and textures are not opened.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular

MESH_SUFFIXES = (".off", ".obj", ".ply")
"""File formats of meshes, in the order in which a file is looked for."""

_MOST_BYTES = 256 * 2**20


def read_mesh_file(path: Path, what: str = "mesh") -> tuple[np.ndarray, np.ndarray]:
    """Read the vertices and triangles of a file; polygons are split into fans.

    Parameters
    ----------
    path : Path
        File with one of ``MESH_SUFFIXES``.
    what : str
        What the file is, for errors.

    Returns
    -------
    vertices : (V, 3) float64
        In the file's order and unit. V may be 0.
    faces : (F, 3) int64
        F is 0 for a file of points.

    Raises
    ------
    InputError
        The file is missing, of another format, damaged, or holds numbers that are not finite.
    """
    again = f"Write the {what} again; it may be half-written."
    reader = {".obj": _read_obj, ".off": _read_off, ".ply": _read_ply}.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no {what}.", f"Give a file that ends in {', '.join(MESH_SUFFIXES)}.")
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(f"The {what} {path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    if not data:
        raise InputError(f"The {what} {path} is empty.", again)
    try:
        vertices, faces = reader(data)
    except Exception as error:  # a damaged file can cause any exception in the readers
        raise InputError(f"The {what} {path} is damaged ({type(error).__name__}: {error}).", again) from error
    vertices, faces = vertices.reshape(-1, 3), faces.reshape(-1, 3)
    if not np.isfinite(vertices).all():
        raise InputError(f"The {what} {path} has points that are not finite numbers.", "Leave the hand out.")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(f"The {what} {path} has faces of vertices that it does not have.", again)
    return vertices, faces


def _fan(polygon: list[int]) -> list[tuple[int, int, int]]:
    return [(polygon[0], polygon[k], polygon[k + 1]) for k in range(1, len(polygon) - 1)]


def _read_obj(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    vertices: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            x, y, z = map(float, words[1:4])
            vertices.append([x, y, z])
        elif words[:1] == ["f"]:
            numbers = [int(word.split("/")[0]) for word in words[1:]]
            faces += _fan([number - 1 if number > 0 else len(vertices) + number for number in numbers])
    return np.array(vertices, np.float64), np.array(faces, np.int64)


def _read_off(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    text = data.decode("utf-8", "replace")
    words = " ".join(line.split("#")[0] for line in text.splitlines()).split()
    if not words or not words[0].upper().startswith("OFF"):
        raise ValueError("it does not begin with OFF")
    words[0] = words[0][3:]  # some writers put the counts on the same line
    words = [word for word in words if word]
    count, polygons = int(words[0]), int(words[1])
    vertices = np.array(words[3 : 3 + 3 * count], np.float64)
    if vertices.size != 3 * count:
        raise ValueError(f"it ends after {vertices.size // 3} of {count} vertices")
    faces: list[tuple[int, int, int]] = []
    place = 3 + 3 * count
    for _ in range(polygons):
        corners = int(words[place])
        polygon = [int(word) for word in words[place + 1 : place + 1 + corners]]
        if len(polygon) < corners:
            raise ValueError("it ends within its faces")
        faces += _fan(polygon)
        place += 1 + corners
    return vertices, np.array(faces, np.int64)


def _read_ply(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    from trimesh.exchange.ply import load_ply

    content: dict[str, Any] = load_ply(io.BytesIO(data), skip_materials=True, fix_texture=False)
    faces = content.get("faces")
    return np.asarray(content["vertices"], np.float64), np.asarray([] if faces is None else faces, np.int64)


def write_off(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """Write a mesh as an off file, atomically.

    Parameters
    ----------
    path : Path
        The file.
    vertices : (V, 3) float
        Vertices.
    faces : (F, 3) int
        Triangles.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    from im2hands.core.files import write_atomically

    text = io.StringIO()
    text.write(f"OFF\n{len(vertices)} {len(faces)} 0\n")
    np.savetxt(text, vertices, "%.9g")
    np.savetxt(text, np.column_stack([np.full(len(faces), 3), faces]), "%d")
    write_atomically(path, text.getvalue().encode("ascii"))
