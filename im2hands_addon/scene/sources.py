"""What Blender itself shows of a clip: movie clips and strips of the sequencer as sources of a reconstruction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..errors import InputError
from .blender_versions import sequencer_scene, strip_part

PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".exr", ".heic", ".heif", ".hif",
    ".avif", ".gif",
)  # fmt: skip
CLIPS = (
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".ogv",
)  # fmt: skip
"""Endings of files that can be dropped, as the backend knows them."""

_FIRST_OF_A_CLIP = 1  # the number of the first frame of a clip in a take
_NUMBER = re.compile(r"\d+(?=\D*$)")


@dataclass(frozen=True)
class Source:
    """A source as Blender shows it.

    Parameters
    ----------
    paths : tuple of str
        Absolute paths: a clip, a pattern (``shot_####.png``), or several pictures.
    frames : tuple of int, optional
        First and last frame of the source that Blender shows; None for all.
    start : int, optional
        Scene frame on which Blender shows the first one; None for the number of the frame.
    """

    paths: tuple[str, ...]
    frames: tuple[int, int] | None = None
    start: int | None = None


def of_files(directory: str, files: Iterable[bpy.types.OperatorFileListElement]) -> Source:
    """Return the source that a person picked in a file browser or dropped.

    Parameters
    ----------
    directory : str
        Folder of the files.
    files : iterable of bpy.types.OperatorFileListElement
        The files; without one the folder is the source.

    Returns
    -------
    Source
        The source; several files are sorted by name.
    """
    folder = Path(bpy.path.abspath(directory))
    return Source(tuple(str(folder / name) for name in sorted(one.name for one in files if one.name)) or (str(folder),))


def active_clip(context: bpy.types.Context) -> bpy.types.MovieClip | None:
    """The movie clip of the scene, else the one of a clip editor on the screen, else the only one of the file."""
    if context.scene.active_clip is not None:
        return context.scene.active_clip
    areas = context.screen.areas if context.screen is not None else ()
    shown = [one.spaces.active.clip for one in areas if one.type == "CLIP_EDITOR" and one.spaces.active.clip]
    if shown:
        return shown[0]
    return bpy.data.movieclips[0] if len(bpy.data.movieclips) == 1 else None


def active_strip(context: bpy.types.Context) -> bpy.types.ID | None:
    """The active strip of the sequencer, if it is selected and has pictures; None without one."""
    editor = sequencer_scene(context).sequence_editor
    strip = editor.active_strip if editor is not None else None
    return strip if strip is not None and strip.select and strip.type in ("MOVIE", "IMAGE") else None


def of_clip(clip: bpy.types.MovieClip) -> Source:
    """Return a movie clip as a source.

    Parameters
    ----------
    clip : bpy.types.MovieClip
        The clip.

    Returns
    -------
    Source
        A sequence of pictures becomes a pattern. A start other than frame 1 becomes the start frame.

    Raises
    ------
    InputError
        Its file is not there.
    """
    path = _existing(clip.filepath, clip.library)
    if clip.source == "SEQUENCE":
        found = _NUMBER.search(path.name)
        if found:
            path = path.with_name(f"{path.name[: found.start()]}{'#' * len(found[0])}{path.name[found.end() :]}")
    return Source((str(path),), start=clip.frame_start if clip.frame_start != 1 else None)


def of_strip(strip: bpy.types.ID) -> Source:
    """Return a strip of the sequencer as a source: only the part between its handles.

    Parameters
    ----------
    strip : bpy.types.MovieStrip or bpy.types.ImageStrip
        The strip.

    Returns
    -------
    Source
        The first frame of the part is put on the frame of the left handle.

    Raises
    ------
    InputError
        Its files are not there.
    """
    skipped, start, count = strip_part(strip)
    if strip.type == "MOVIE":
        path = _existing(strip.filepath)
        first = _FIRST_OF_A_CLIP + skipped
        return Source((str(path),), (first, first + count - 1), start)
    names = [one.filename for one in strip.elements][skipped : skipped + count]
    paths = tuple(str(_existing(f"{strip.directory.rstrip('/')}/{name}")) for name in names)
    return Source(paths, start=start)


def selected(context: bpy.types.Context) -> Iterator[tuple[str, str]]:
    """What can be taken over in this context, as (kind, name for the person); kinds are "CLIP" and "STRIP"."""
    for kind, one in (("CLIP", active_clip(context)), ("STRIP", active_strip(context))):
        if one is not None:
            yield kind, one.name


def _existing(path: str, library: bpy.types.Library | None = None) -> Path:
    found = Path(bpy.path.abspath(path, library=library))
    if not found.is_file():
        raise InputError(f"There is no {found}.", "Find the missing file first (File > External Data).")
    return found
