"""Export of takes to files of other programs: an animated glb, or one OBJ or PLY per frame.

Exports are y up: x right, y up, z towards the viewer, metres. The camera is at the origin and looks along -z.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import DamagedFramesError, InputError, TakeError
from im2hands.core.files import write_atomically
from im2hands.core.hands import SIDES, Side
from im2hands.core.person_path import person_path
from im2hands.media.frame_range import FrameRange
from im2hands.take.take import Take

from .hands import OBJECT_NAMES, hands_y_up
from .surfaces_glb import glb_bytes

FORMATS = ("glb", "obj", "ply", "abc", "usd")
"""All export formats."""
FROM_BLENDER = ("abc", "usd")
"""Formats that only Blender's exporters write."""
MESHES = ("clean", "surface")
"""Meshes of a take: the template hands ("clean") and the implicit surfaces ("surface")."""


def export_take(
    folder: str | Path,
    format_name: str,
    output: str | Path | None = None,
    frames: str | None = None,
    overwrite: bool = False,
    mesh: str | None = None,
) -> list[Path]:
    """Export a take.

    Parameters
    ----------
    folder : str or Path
        The take.
    format_name : str
        One of ``FORMATS``.
    output : str or Path, optional
        The file (glb) or the folder (OBJ: one file per frame; PLY: one per frame and hand). None writes beside the
        take.
    frames : str, optional
        Frames to export, for example ``"1-100,120"``; None for all.
    overwrite : bool
        Replace existing files.
    mesh : {"clean", "surface"}, optional
        "clean" exports the template hands: the same vertices in every frame, quads, texture coordinates; in glb also
        the rig and its motion. "surface" exports the implicit surfaces. None is "clean" if the take has clean hands.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        The format is unknown or only written by Blender, the mesh is unknown, no chosen frame has a hand, or files
        exist already.
    DamagedFramesError
        Frames cannot be read. The other frames, if there are any, were exported.
    TakeError
        The take cannot be read, or the output cannot be written.
    """
    if format_name in FROM_BLENDER:
        raise InputError(
            f"{format_name} comes from Blender: its exporters write Alembic and USD.",
            "Import the take (File > Import > Im2Hands Take) and export there.",
        )
    if format_name not in FORMATS:
        raise InputError(f'There is no format "{format_name}".', f"Use {', '.join(FORMATS)}.")
    if mesh is not None and mesh not in MESHES:
        raise InputError(f'There is no mesh "{mesh}".', f"Use {' or '.join(MESHES)}.")
    take = Take.open(person_path(folder))
    if mesh == "clean" or (mesh is None and (take.header.get("clean") or {}).get("hands")):
        return _export_clean(take, format_name, output, frames, overwrite)
    indices = FrameRange.parse(frames).choose(sorted(take.records), 1, "the take")
    with_hands = [index for index in indices if take.records[index].file and take.records[index].hands]
    if with_hands and all(take.records[index].is_draft for index in with_hands):
        raise InputError(
            f"The take {take.folder} is a draft, which has no surfaces.",
            "Reconstruct it with --quality standard, or export the rigged hands (--mesh clean).",
        )
    indices = [index for index in indices if not take.records[index].is_draft]
    with_hands = [index for index in with_hands if not take.records[index].is_draft]
    if not with_hands:
        raise InputError(f"No chosen frame of {take.folder} has a hand.", "Choose other frames.")
    if format_name == "glb":
        path = _glb_path(take, output)
        _refuse_existing([path], overwrite)
        data, damaged = glb_bytes(take, indices)
        if len(damaged) < len(with_hands):
            write_atomically(path, data)
        _report(damaged, with_hands)
        return [path]
    target = _target(take, output, format_name)
    files = _file_names(take, with_hands, target, format_name)
    _refuse_existing([path for paths in files.values() for path in paths], overwrite)
    damaged = {}
    for index, paths in files.items():
        try:
            encoded = _encode(dict(hands_y_up(take, index)), index, format_name)
            if len(encoded) != len(paths):
                raise TakeError(f"Frame {index} of the take has lost a hand.", "Reconstruct that frame again.")
        except TakeError as error:
            damaged[index] = error
            continue
        for path, data in zip(paths, encoded, strict=True):
            write_atomically(path, data)
    _report(damaged, with_hands)
    return [path for paths in files.values() for path in paths]


def _report(damaged: Mapping[int, TakeError], indices: list[int]) -> None:
    """Raise DamagedFramesError if frames of a finished export were left out."""
    if damaged:
        raise DamagedFramesError(damaged, "The other frames were exported." if len(damaged) < len(indices) else "")


def _glb_path(take: Take, output: str | Path | None) -> Path:
    path = person_path(output) if output else take.folder.resolve().parent / f"{take.folder.resolve().name}.glb"
    return path if path.suffix.lower() == ".glb" else path.with_name(path.name + ".glb")


def _target(take: Take, output: str | Path | None, format_name: str) -> Path:
    folder = take.folder.resolve()
    return person_path(output) if output else folder.parent / f"{folder.name}_{format_name}"


def _export_clean(
    take: Take, format_name: str, output: str | Path | None, frames: str | None, overwrite: bool
) -> list[Path]:  # fmt: skip
    # These import scipy and torch, which take long to load; other exports do not need them.
    from im2hands.animation.cleaned_take import CleanTake

    from .rigged_hands import clean_glb, clean_obj, clean_ply

    clean = CleanTake.read(take)
    indices = FrameRange.parse(frames).choose(clean.frames.tolist(), 1, "the take")
    present = {
        index: [side for side, hand in clean.hands.items() if hand.present[clean.row(index)]] for index in indices
    }
    if not any(present.values()):
        raise InputError(f"No chosen frame of {take.folder} has a hand.", "Choose other frames.")
    if format_name == "glb":
        path = _glb_path(take, output)
        _refuse_existing([path], overwrite)
        write_atomically(path, clean_glb(clean, indices, take.header.get("camera") or {}))
        return [path]
    target = _target(take, output, format_name)
    wanted = [(index, side) for index, sides in present.items() for side in sides]
    if format_name == "obj":
        files = {target / f"{index:06d}.obj": (index, None) for index, _ in wanted}
    else:
        files = {target / f"{index:06d}_{side}.ply": (index, side) for index, side in wanted}  # type: ignore[misc]
    _refuse_existing(list(files), overwrite)
    for path, (index, side) in files.items():
        data = clean_obj(clean, index) if side is None else clean_ply(clean.hands[side], clean.row(index))
        write_atomically(path, data)
    return list(files)


def _file_names(take: Take, indices: list[int], target: Path, format_name: str) -> dict[int, list[Path]]:
    """The files of each frame, by frame index."""
    if format_name == "obj":
        return {index: [target / f"{index:06d}.obj"] for index in indices}
    return {
        index: [target / f"{index:06d}_{side}.ply" for side in SIDES if side in take.records[index].hands]
        for index in indices
    }


def _encode(hands: dict[Side, tuple[np.ndarray, np.ndarray]], index: int, format_name: str) -> list[bytes]:
    """The files of one frame, in the order of ``_file_names``."""
    import trimesh

    meshes = {side: trimesh.Trimesh(vertices, faces, process=False) for side, (vertices, faces) in hands.items()}
    if not meshes:
        raise TakeError(f"Frame {index} of the take has lost its hands.", "Reconstruct that frame again.")
    if format_name == "ply":
        return [_bytes(mesh.export(file_type="ply")) for mesh in meshes.values()]
    scene = trimesh.Scene()
    for side, mesh in meshes.items():
        scene.add_geometry(mesh, geom_name=OBJECT_NAMES[side])
    return [_bytes(scene.export(file_type="obj", include_normals=True))]


def _bytes(data: Any) -> bytes:
    """Text or binary data as bytes."""
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)


def _refuse_existing(paths: list[Path], overwrite: bool) -> None:
    """Raise InputError if a file exists and must not be replaced."""
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} is there already.", "Name another place (--output), or replace it (--overwrite).")
