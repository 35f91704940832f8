"""What a person names as a source: files, folders and patterns, sorted into pictures and one clip."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from im2hands.core.errors import FrameError, InputError
from im2hands.core.files import require_regular
from im2hands.core.person_path import person_path

from .images import PICTURE_SUFFIXES, probe_picture
from .patterns import find_matches, is_pattern, natural
from .picture_file import RAW_SUFFIXES, count_pages
from .video import VIDEO_SUFFIXES, is_animation, probe_clip

# A file with one of these endings is meant as a picture: if it cannot be read, its frame fails. What the endings below
# and all others stand for is decided by the content.
_PICTURES = PICTURE_SUFFIXES | {".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".dib"}

# Endings of pictures that may be animations. PNG may be one too, but folders of PNG files are large and seldom such.
_ANIMATIONS = frozenset({".gif", ".webp", ".apng", ".avif"})

# Other endings of pictures and clips. A folder's file with such an ending that is left out is named in a note.
_OTHERS = """
    .3g2 .3gp .ai .apng .asf .avifs .dpx .emf .eps .f4v .hdr .heics .heifs .ico .insp .insv .j2c .j2k .jp2 .jpx .jxl
    .jxr .kra .mj2 .mjpeg .mjpg .mpo .mxf .ogg .ogm .pbm .pcx .pdf .pgm .pic .pnm .ppm .ps .psb .psd .qoi .qt .rm .rwl
    .sgi .svg .tga .vob .wdp .wmf .xcf .y4m
"""
_SHOWING = VIDEO_SUFFIXES | RAW_SUFFIXES | frozenset(_OTHERS.split())

_SILENT = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_HIDDEN = getattr(stat, "FILE_ATTRIBUTE_HIDDEN", 0)


@dataclass(frozen=True)
class Note:
    """What a person should know about a source that is read all the same.

    Parameters
    ----------
    message : str
        What was done.
    hint : str
        What to do about it.
    """

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Inputs:
    """The files that the inputs of a job stand for.

    Parameters
    ----------
    paths : list of Path
        The inputs as given, absolute.
    files : list of Path
        Pictures in the order of their frames, or one clip.
    is_clip : bool
        Whether ``files`` is one clip.
    numbered : bool
        Whether a pattern says where the frame numbers stand.
    notes : list of Note
        What was left out, and why.
    """

    paths: list[Path]
    files: list[Path]
    is_clip: bool = False
    numbered: bool = False
    notes: list[Note] = field(default_factory=list)


def find_inputs(inputs: Sequence[str | Path]) -> Inputs:
    """Find the pictures or the clip that the inputs of a job stand for. Only headers are read.

    Parameters
    ----------
    inputs : sequence of str or Path
        Pictures, folders, patterns, or one clip.

    Returns
    -------
    Inputs
        The files.

    Raises
    ------
    InputError
        An input is missing or is not a regular file, a folder has no pictures, or a clip is mixed with other files.
    """
    paths = [_given(path) for path in inputs]
    named: list[Path] = []
    numbered = False
    for path in paths:
        found = _named(path)
        named += found[0]
        numbered = found[1] and len(paths) == 1
    named = list(dict.fromkeys(named))
    notes: list[Note] = []
    files: list[Path] = []
    clips: list[Path] = []
    for path in named:
        if path.is_dir():
            pictures, clip = _in_folder(path, notes)
            files += pictures
            clips += clip
        else:
            _require_file(path)
            (clips if _is_clip(path, alone=len(named) == 1) else files).append(path)
    if clips and (files or len(clips) > 1):
        raise InputError(
            f"{clips[0].name} is {_kind(clips[0])} and cannot be mixed with other files.",
            "Give one video, or only pictures.",
        )
    _tell_pages(files, notes)
    return Inputs(paths, clips or list(dict.fromkeys(files)), bool(clips), numbered, notes)


def _given(path: str | Path) -> Path:
    literal = Path(path).absolute()
    if str(path).startswith("~") and "\0" not in str(path) and literal.exists():
        return literal  # a file's own name begins with "~"
    return person_path(path).absolute()


def _named(path: Path) -> tuple[list[Path], bool]:
    """Return the existing paths that an input stands for, and whether it is a pattern of numbered files."""
    try:
        if os.path.lexists(path):
            return [path], False
        if is_pattern(str(path)):
            match = find_matches(path)
            if match.paths:
                return match.paths, match.numbered
            raise InputError(f"There is no file or folder that matches {path}.", "Check the path and the pattern.")
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL
        raise InputError(f"There is no file or folder {str(path)[:300]}: {error}.", "Check the path.") from error
    raise _no_such_file(path)


def _require_file(path: Path) -> None:
    try:
        require_regular(path)
    except FileNotFoundError as error:  # a link that leads nowhere
        raise _no_such_file(path) from error
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror or error}.", "Give a picture, a folder or a clip on a disk."
        ) from error


def _is_clip(path: Path, alone: bool) -> bool:
    """Return whether a file is a clip. Its ending says so, or its content where the ending says nothing."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if (alone or suffix in _ANIMATIONS) and is_animation(path):
        return True
    if suffix in _PICTURES | RAW_SUFFIXES or _is_picture(path):
        return False
    try:
        probe_clip(path)
    except InputError:
        return False
    return True


def _is_picture(path: Path) -> bool:
    try:
        probe_picture(path)
    except FrameError:
        return False
    return True


def _in_folder(folder: Path, notes: list[Note]) -> tuple[list[Path], list[Path]]:
    """Return the pictures of a folder, in natural order, or its only clip; note what is left out."""
    left_out: dict[str, list[str]] = {}
    pictures: list[Path] = []
    clips: list[Path] = []
    for path, facts in _files(folder):
        suffix = path.suffix.lower()
        if facts is None:
            _leave_out(left_out, path, "cannot be found")
        elif not stat.S_ISREG(facts.st_mode):
            if not stat.S_ISDIR(facts.st_mode):
                _leave_out(left_out, path, "not a regular file")
        elif suffix in VIDEO_SUFFIXES or (suffix in _ANIMATIONS and is_animation(path)):
            clips.append(path)
        elif suffix in _PICTURES or _is_picture(path):
            pictures.append(path)
        else:
            _leave_out(left_out, path, "no picture that can be read")
    if not pictures and len(clips) == 1:
        _tell(notes, folder, left_out)
        return [], clips
    if not pictures and clips:
        raise InputError(
            f"The folder {folder} has no pictures, but {len(clips)} clips ({_listed(clip.name for clip in clips)}).",
            "Give one clip as a file.",
        )
    for clip in clips:
        left_out.setdefault(_kind(clip), []).append(clip.name)
    if not pictures:
        what = "; ".join(f"{_listed(names)}: {reason}" for reason, names in left_out.items())
        raise InputError(
            f"The folder {folder} has no pictures." + (f" Left out: {what}." if what else ""),
            f"Known are {', '.join(sorted(_PICTURES))}; give a video as a file.",
        )
    _tell(notes, folder, left_out)
    return pictures, []


def _kind(clip: Path) -> str:
    return "an animation" if clip.suffix.lower() in PICTURE_SUFFIXES | _ANIMATIONS else "a video"


def _files(folder: Path) -> list[tuple[Path, os.stat_result | None]]:
    """Return the entries of a folder that are not hidden, in natural order; a link that leads nowhere has no facts."""
    found: list[tuple[Path, os.stat_result | None]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in _SILENT:
                    continue
                try:
                    facts: os.stat_result | None = entry.stat()
                except OSError:
                    facts = None
                if not getattr(facts, "st_file_attributes", 0) & _HIDDEN:
                    found.append((folder / entry.name, facts))
    except OSError as error:
        raise InputError(
            f"Cannot read the folder {folder}: {error.strerror or error}.", "Check the folder's permissions."
        ) from error
    return sorted(found, key=lambda one: natural(one[0]))


def _leave_out(left_out: dict[str, list[str]], path: Path, reason: str) -> None:
    """Note a file that is left out if its ending is that of a picture or clip."""
    if path.suffix.lower() in _PICTURES | _SHOWING:
        left_out.setdefault(reason, []).append(path.name)


def _tell(notes: list[Note], folder: Path, left_out: dict[str, list[str]]) -> None:
    """Add a note for every reason why files of a folder are left out."""
    for reason, names in left_out.items():
        several = "s" if len(names) > 1 else ""
        notes.append(
            Note(
                f"{len(names)} file{several} of the folder {folder} left out ({reason}): {_listed(names)}.",
                "Convert pictures to JPEG or PNG; give a clip by itself.",
            )
        )


def _tell_pages(files: Iterable[Path], notes: list[Note]) -> None:
    """Add a note on the TIFF files that have several pages."""
    pages = {path: count_pages(path) for path in files if path.suffix.lower() in (".tif", ".tiff")}
    several = [f"{path.name} ({count})" for path, count in pages.items() if count > 1]
    if several:
        notes.append(
            Note(
                f"Only the first page of {_listed(several)} is read; the number of pages is in brackets.",
                "Save the pages as files of their own, for example page_1.tif, page_2.tif.",
            )
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _no_such_file(path: Path) -> InputError:
    return InputError(f"There is no file or folder {path}.", "Check the path.")
