"""Calls of Blender's exporters, one function per format. Each exports objects from a scene made for the export."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import addon_utils
import bpy

from ..errors import InputError
from .fbx_scales import hold_scales

_GLB_HEAD = 20
"""Bytes of a glb before its JSON: magic, version and length of the file; length and type of the JSON."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    name : str
        Name of the format.
    endings : tuple of str
        Its file name endings, with dots.
    has_surfaces : bool
        Whether it can hold meshes whose topology changes.
    """

    name: str
    endings: tuple[str, ...]
    has_surfaces: bool = False


FORMATS = (
    Format("FBX", (".fbx",)),
    Format("glTF", (".glb", ".gltf")),
    Format("Alembic", (".abc",), has_surfaces=True),
    Format("USD", (".usd", ".usdc", ".usda"), has_surfaces=True),
    Format("BVH", (".bvh",)),
)


def format_of(path: Path) -> Format:
    """Return the format of a file by its ending.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Format
        The format.

    Raises
    ------
    InputError
        The ending is not known.
    """
    found = next((one for one in FORMATS if path.suffix.lower() in one.endings), None)
    if found is None:
        endings = ", ".join(ending for one in FORMATS for ending in one.endings)
        raise InputError(f"The ending of {path.name} is not a known format.", f"Use one of {endings}.")
    return found


@contextlib.contextmanager
def _operator(stage: bpy.types.Scene, things: Sequence[bpy.types.Object]) -> Iterator[None]:
    """A context in which operators work on the stage, with the objects selected; their failure is an InputError."""
    layer = stage.view_layers[0]
    for thing in things:
        thing.select_set(True, view_layer=layer)
    layer.objects.active = things[0]
    layer.update()
    context = {
        "scene": stage,
        "view_layer": layer,
        "object": things[0],
        "active_object": things[0],
        "selected_objects": list(things),
    }
    try:
        with bpy.context.temp_override(**context):
            yield
    except RuntimeError as error:
        raise InputError(f"Blender could not write the file: {error}.") from error


@contextlib.contextmanager
def _addon(name: str) -> Iterator[None]:
    """Enable one of Blender's own add-ons for a while, if it is disabled."""
    if not (Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / name).is_dir():
        raise InputError(f"This Blender has no {name}.", "Use another format.")
    was_on = addon_utils.check(name)[1]
    if not was_on:
        addon_utils.enable(name, default_set=False)
    try:
        yield
    finally:
        if not was_on:
            addon_utils.disable(name, default_set=False)


def _write_fbx(stage: bpy.types.Scene, things: Sequence[bpy.types.Object], path: Path) -> None:
    with _addon("io_scene_fbx"), _operator(stage, things):
        bpy.ops.export_scene.fbx(
            filepath=str(path),
            use_selection=True,
            add_leaf_bones=False,
            mesh_smooth_type="FACE",
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,
        )
    hold_scales(path)


def _write_gltf(stage: bpy.types.Scene, things: Sequence[bpy.types.Object], path: Path) -> None:
    with _addon("io_scene_gltf2"), _operator(stage, things):
        bpy.ops.export_scene.gltf(
            filepath=str(path),
            export_format="GLB" if path.suffix.lower() == ".glb" else "GLTF_SEPARATE",
            use_active_scene=True,
            export_all_influences=True,
            export_animation_mode="SCENE",
            export_frame_range=True,
            export_force_sampling=True,
            export_optimize_animation_size=False,
            export_anim_scene_split_object=False,
            export_morph_normal=False,
        )
    _hold_scales(path)


def _hold_scales(path: Path) -> None:
    """Make the scales of a glTF file change in steps.

    The exporter interpolates what it samples, so that a hand would shrink between two frames instead of vanishing.
    """
    content = path.read_bytes()
    start, end = 0, len(content)
    if path.suffix.lower() == ".glb":
        start = _GLB_HEAD
        end = start + struct.unpack_from("<I", content, start - 8)[0]
    tree = json.loads(content[start:end])
    changed = False
    for motion in tree.get("animations", ()):
        for channel in motion["channels"]:
            if channel["target"]["path"] == "scale":
                motion["samplers"][channel["sampler"]]["interpolation"] = "STEP"
                changed = True
    if not changed:
        return
    # ASCII, so that the spaces that fill a glb's chunk to a multiple of four bytes can be counted.
    text = json.dumps(tree, indent=None if start else "\t", separators=(",", ":")).encode("ascii")
    if start:
        text += b" " * (-len(text) % 4)
        total = start + len(text) + len(content) - end
        content = content[:8] + struct.pack("<II", total, len(text)) + content[16:start] + text + content[end:]
        path.write_bytes(content)
    else:
        path.write_bytes(text)


def _write_alembic(stage: bpy.types.Scene, things: Sequence[bpy.types.Object], path: Path) -> None:
    _require("alembic", "Alembic")
    with _operator(stage, things):
        bpy.ops.wm.alembic_export(
            filepath=str(path),
            start=stage.frame_start,
            end=stage.frame_end,
            selected=True,
            as_background_job=False,
            export_hair=False,
            export_particles=False,
        )


def _write_usd(stage: bpy.types.Scene, things: Sequence[bpy.types.Object], path: Path) -> None:
    _require("usd", "USD")
    with _operator(stage, things):
        bpy.ops.wm.usd_export(
            filepath=str(path),
            selected_objects_only=True,
            export_animation=True,
            convert_world_material=False,
        )


def write_bvh(stage: bpy.types.Scene, rig: bpy.types.Object, path: Path) -> None:
    """Write a rig as BVH.

    Parameters
    ----------
    stage : bpy.types.Scene
        A scene that contains the rig; its frame range is exported.
    rig : bpy.types.Object
        The armature object.
    path : Path
        The file.

    Raises
    ------
    InputError
        This Blender has no BVH exporter, or it failed.
    """
    with _addon("io_anim_bvh"), _operator(stage, [rig]), contextlib.redirect_stdout(None):
        bpy.ops.export_anim.bvh(
            filepath=str(path),
            frame_start=stage.frame_start,
            frame_end=stage.frame_end,
            rotate_mode="ZXY",
            root_transform_only=True,
        )


WRITERS: dict[str, Callable[[bpy.types.Scene, Sequence[bpy.types.Object], Path], None]] = {
    "FBX": _write_fbx,
    "glTF": _write_gltf,
    "Alembic": _write_alembic,
    "USD": _write_usd,
}
"""Name of a format -> function that writes the objects of a scene to a file. BVH is written by :func:`write_bvh`."""


def _require(option: str, name: str) -> None:
    """Refuse a format that this build of Blender lacks."""
    if not getattr(bpy.app.build_options, option):
        raise InputError(f"This Blender was built without {name}.", "Use another format, or Blender from blender.org.")
