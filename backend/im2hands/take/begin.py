"""Start of a job's take: a new take in a folder, or the existing one to continue."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError, TakeError, UnsafePathError
from im2hands.media.source import Source

from .arrays import LIMITS
from .footage import FOOTAGE_ENTRY, delete_copies
from .lock import TakeLock
from .paths import check_paths, is_plain
from .record import FOOTAGE_FOLDER, FRAMES_FOLDER, FrameRecord
from .take import CACHE_FOLDER, MOTION_FILE, OWN_FILES, TAKE_FILE, TEMPLATE_FILE, UNFINISHED, Take

_LEFTOVER = re.compile(r"^\..+\.(json|npz|jpg|lock)\.\d+(\.[0-9a-f]+)?\.tmp$")


def lock_take(folder: Path) -> TakeLock:
    """Lock the folder that a job will write its take to. A job does this first, before anything that takes long.

    Parameters
    ----------
    folder : Path
        Folder of the take, which need not exist.

    Returns
    -------
    TakeLock
        The lock. Its release deletes a folder that was made for it and is still empty.

    Raises
    ------
    InputError
        Another job uses the take.
    TakeError
        The folder cannot be written.
    UnsafePathError
        A path in the folder leads out of it. Nothing is written.
    """
    check_paths(folder, ((None, name) for name in _written(folder)))
    return TakeLock.acquire(folder)


def begin_take(lock: TakeLock, source: Source, header: dict[str, Any], *, resume: bool, overwrite: bool) -> Take:
    """Create the take that a job writes to, or open the existing one.

    With ``resume``, the frames of an existing take stay, including those that are not chosen this time. Its date stays
    if nothing else in its header changed. With ``overwrite``, its frames are deleted.

    Parameters
    ----------
    lock : TakeLock
        The lock of the take, see :func:`lock_take`.
    source : Source
        The opened source with the chosen frames.
    header : dict
        Header of ``take.json`` for this job.
    resume : bool
        Whether to continue an existing take.
    overwrite : bool
        Whether to delete the frames of an existing take; it has precedence over ``resume``.

    Returns
    -------
    Take
        The take, with its header saved. ``Take.close`` releases its lock.

    Raises
    ------
    InputError
        A frame number is too large. Or a take exists and neither ``resume`` nor ``overwrite`` is set. Or the existing
        take was made from other inputs, or its frames were made with the other choice of ``mirrored`` or have other
        numbers.
    TakeError
        The folder cannot be written, or the existing take cannot be read.
    UnsafePathError
        The existing take lists a path that leads out of it. Nothing is deleted, even with ``overwrite``.
    """
    if source.entries[-1].index > LIMITS["last_frame"]:
        raise InputError(
            f"Frame {source.entries[-1].index} is past {LIMITS['last_frame']}, the last frame that Blender has.",
            "Choose earlier frames (--frames), or cut the clip.",
        )
    lock.require()
    take = _begun(lock.folder, source, header, resume=resume, overwrite=overwrite)
    take.hold(lock)
    return take


def open_to_write(folder: Path) -> Take:
    """Lock an existing take and open it.

    Parameters
    ----------
    folder : Path
        Folder of the take, or the ``take.json`` in it.

    Returns
    -------
    Take
        The take. ``Take.close`` releases its lock.

    Raises
    ------
    InputError
        Another job uses the take.
    TakeError
        There is no take, it cannot be read, or its folder cannot be written.
    """
    folder = Take.open(folder).folder  # nothing is written, not even a lock, where there is no take
    lock = TakeLock.acquire(folder)
    try:
        _delete_leftovers(folder, folder / FRAMES_FOLDER)
        take = Take.open(folder)  # again, because another job may have ended meanwhile
    except BaseException:
        lock.release()
        raise
    take.hold(lock)
    return take


def is_of_other_pictures(folder: Path, source: Source) -> bool:
    """Return whether there is a take in a folder that was made from other inputs.

    Parameters
    ----------
    folder : Path
        The folder.
    source : Source
        The opened source.
    """
    try:
        inputs = Take.open(folder).header.get("source", {}).get("inputs")
    except InputError:
        return False  # there is none, or it is too damaged to tell
    return bool(inputs != [str(path) for path in source.inputs])


def _begun(folder: Path, source: Source, header: dict[str, Any], *, resume: bool, overwrite: bool) -> Take:
    """Create or open a take that is locked, see :func:`begin_take`."""
    cache = folder / CACHE_FOLDER
    _delete_leftovers(folder, folder / FRAMES_FOLDER, folder / FOOTAGE_FOLDER, cache, cache / "hands")
    if not (folder / TAKE_FILE).exists():
        return Take.create(folder, header)
    if overwrite:
        _delete_frames(folder)
        return Take.create(folder, header)
    if not resume:
        raise InputError(
            f"There is a take in {folder} already.",
            "Continue it (--resume), begin it anew (--overwrite) or name another folder.",
        )
    take = Take.open(folder)
    if take.header.get("source", {}).get("inputs") != header["source"]["inputs"]:
        raise InputError(
            f"The take in {folder} was made from other pictures.",
            "Name another folder, or begin the take anew (--overwrite).",
        )
    if take.records and take.mirrored != bool(header["settings"].get("mirrored")):
        first, other = ("with", "without") if take.mirrored else ("without", "with")
        raise InputError(
            f"The take in {folder} was made {first} --mirrored, but this run is {other} it. The hands of the frames "
            "that are there would get the wrong side.",
            "Make the same choice (Mirrored), name another output folder, or begin the take anew (--overwrite).",
        )
    if _is_renumbered(take, source):
        raise InputError(
            f"The pictures of the take in {folder} had other frame numbers when it was made.",
            "Begin the take anew (--overwrite), or name another folder.",
        )
    header = _with_devices(_merged(header, take, source), take)
    if _undated(header) == _undated(take.header):
        header["provenance"]["date"] = take.header["provenance"].get("date", header["provenance"]["date"])
    kept = {name: take.header[name] for name in ("clean", FOOTAGE_ENTRY, UNFINISHED) if name in take.header}
    take.header = {"format": take.header["format"], "version": take.header["version"], **header, **kept}
    take.save()
    return take


def _written(folder: Path) -> Iterator[str]:
    """Yield the take's own paths in ``folder``, and the plain paths in its cache, which a job may read or write."""
    yield from OWN_FILES
    yield CACHE_FOLDER
    for place, folders, files in os.walk(folder / CACHE_FOLDER):
        paths = ((Path(place) / name).relative_to(folder).as_posix() for name in (*folders, *files))
        yield from filter(is_plain, paths)


def _delete_leftovers(*folders: Path) -> None:
    """Delete temporary files of a killed process, known by their names, in folders of a take that is locked."""
    for place in folders:
        for path in place.glob(".*.tmp"):
            if _LEFTOVER.match(path.name):
                path.unlink(missing_ok=True)


def _is_renumbered(take: Take, source: Source) -> bool:
    """Return whether a chosen picture is also the picture of a frame that stays: the take would have it twice."""
    chosen = {entry.index for entry in source.entries}
    kept = {_image(record) for index, record in take.records.items() if index not in chosen}
    return source.kind == "images" and any(str(entry.path) in kept for entry in source.entries)


def _merged(header: dict[str, Any], take: Take, source: Source) -> dict[str, Any]:
    """Return ``header`` with a ``source`` that also covers the kept frames of the take."""
    chosen = {entry.index for entry in source.entries}
    kept = {index: record for index, record in take.records.items() if index not in chosen}
    if not kept:
        return header
    files = {index: _image(record) for index, record in kept.items()}
    files.update({entry.index: str(entry.path) for entry in source.entries})
    listed = [files[index] for index in sorted(files) if files[index]]
    widened = {**header["source"], "files": list(dict.fromkeys(listed)), "first": min(files)}
    return {**header, "source": widened}


def _with_devices(header: dict[str, Any], take: Take) -> dict[str, Any]:
    """Return ``header`` with a list of the kinds of devices on which frames were made, if there are several."""
    before, now = take.header.get("provenance") or {}, header["provenance"]
    names = [*before.get("devices", [before.get("device")]), now.get("device")]
    kinds = list(dict.fromkeys(str(name).partition(":")[0] for name in names if name))
    if not take.records or len(kinds) < 2:
        return header
    return {**header, "provenance": {**now, "devices": kinds}}


def _image(record: FrameRecord) -> str:
    return str(record.extra.get("image", ""))


def _undated(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a header that a job decides, without the date, for a comparison."""
    known = ("source", "fps", "image_size", "camera", "settings", "provenance")
    plain = {name: header.get(name) for name in known}
    plain["provenance"] = {name: value for name, value in (header.get("provenance") or {}).items() if name != "date"}
    return plain


def _delete_frames(folder: Path) -> None:
    """Delete the frames that the take in ``folder`` lists, and its footage copies; other files in the folder stay.

    Raises UnsafePathError, before anything is deleted, if the take lists a path outside the folder. Raises TakeError if
    a file cannot be deleted.
    """
    try:
        take = Take.open(folder)
    except UnsafePathError:
        raise
    except InputError:
        return  # too damaged to list its frames
    if FOOTAGE_ENTRY in take.header:  # otherwise the pictures in that folder are not the take's
        delete_copies(folder)
    files = [record.file for record in take.records.values() if record.file]
    for name in (*files, TEMPLATE_FILE, MOTION_FILE):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise TakeError(
                f"Cannot delete {folder / name}: {error.strerror or error}.", "Delete the take, or name another folder."
            ) from error
