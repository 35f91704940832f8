"""Joining of takes that hold parts of one source, as machines of a render farm make them, into one take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError
from im2hands.core.files import link_atomically

from .begin import lock_take
from .edits import Edits
from .footage import FOOTAGE_ENTRY, find_copies, size_of_copies
from .frame_file import KEY, read_every_array
from .record import FOOTAGE_FOLDER, FrameRecord
from .take import TAKE_FILE, Take

_OF_PART = ("frames",)  # settings in which parts differ
_OF_CLEANING = "template_vertices"  # array that the clean phase adds to frames


def join_takes(parts: Sequence[Path], folder: Path) -> Take:
    """Join takes of the same source into a new one. It has raw hands only: clean it afterwards.

    Parameters
    ----------
    parts : sequence of Path
        Folders of the parts. Of a frame that several have, the first with a result counts.
    folder : Path
        Folder of the new take.

    Returns
    -------
    Take
        The new take, closed for writing.

    Raises
    ------
    InputError
        There is a take in the folder, or the parts are of different sources, cameras, settings, corrections or
        weights.
    TakeError
        A part cannot be read, or the new take cannot be written.
    """
    lock = lock_take(folder)
    try:
        if (folder / TAKE_FILE).exists():
            raise InputError(f"There is a take in {folder} already.", "Name another folder.")
        takes = [Take.open(part) for part in parts]
        for take in takes[1:]:
            _require_same(takes[0], take)
        chosen = _chosen(takes)
        joined = Take.create(folder, _header(takes, [record for _, record in chosen.values()]))
        joined.hold(lock)
        for index, (take, record) in sorted(chosen.items()):
            arrays = None
            if record.file:
                every = read_every_array(take.folder / record.file)
                arrays = {name: a for name, a in every.items() if name != KEY and not name.endswith(_OF_CLEANING)}
            hands = {side: {k: v for k, v in facts.items() if k != "status"} for side, facts in record.hands.items()}
            copy = FrameRecord(index, record.status, "", hands, record.message, record.key, dict(record.extra))
            joined.write_frame(copy, arrays)
        _take_copies(takes, joined)
        if takes:
            Edits.of_take(takes[0].folder).write(folder)
        joined.save()
        joined.close()
        return joined
    finally:
        lock.release()


def _chosen(takes: Sequence[Take]) -> dict[int, tuple[Take, FrameRecord]]:
    """For each frame, the part that it is taken from."""
    chosen: dict[int, tuple[Take, FrameRecord]] = {}
    for take in takes:
        for record in take.frames():
            if record.index not in chosen or chosen[record.index][1].status == "failed":
                chosen[record.index] = take, record
    return chosen


def _require_same(first: Take, other: Take) -> None:
    """Require that two takes were made from one source in one way."""
    for what, one, two in (
        ("pictures", _source(first), _source(other)),
        ("camera", first.header.get("camera"), other.header.get("camera")),
        ("settings", _settings(first), _settings(other)),
        ("weights", _provenance(first, "weights"), _provenance(other, "weights")),
        ("corrections", Edits.of_take(first.folder).to_dict(), Edits.of_take(other.folder).to_dict()),
        ("version of Im2Hands", _provenance(first, "im2hands"), _provenance(other, "im2hands")),
    ):
        if one != two:
            raise InputError(
                f"The takes {first.folder} and {other.folder} differ in their {what}.",
                "Join parts that were made with the same options but --frames, on machines with the same version.",
            )


def _source(take: Take) -> list[Any]:
    source = take.header.get("source") or {}
    return [source.get("kind"), source.get("inputs"), source.get("step"), take.header.get("fps")]


def _settings(take: Take) -> dict[str, Any]:
    return {name: value for name, value in (take.header.get("settings") or {}).items() if name not in _OF_PART}


def _provenance(take: Take, name: str) -> Any:
    return (take.header.get("provenance") or {}).get(name)


def _header(takes: Sequence[Take], records: Sequence[FrameRecord]) -> dict[str, Any]:
    """The header of the joined take: that of the first part, with the frames of all."""
    takes = sorted(takes, key=lambda take: min(take.records, default=0))
    first = takes[0].header
    source: Mapping[str, Any] = first.get("source") or {}
    files = [file for take in takes for file in (take.header.get("source") or {}).get("files", [])]
    known = ("source", "fps", "image_size", "camera", "settings", "provenance")
    header = {name: first[name] for name in known if name in first}
    header["source"] = {
        **source, "files": list(dict.fromkeys(files)), "first": min((record.index for record in records), default=1)
    }  # fmt: skip
    ranges = [str((take.header.get("settings") or {}).get("frames") or "") for take in takes]
    header["settings"] = {**(first.get("settings") or {}), "frames": ",".join(ranges) if all(ranges) else None}
    return header


def _take_copies(takes: Sequence[Take], joined: Take) -> None:
    """Take over the copies of pictures, and their entry in the header."""
    entries = [take.header[FOOTAGE_ENTRY] for take in takes if FOOTAGE_ENTRY in take.header]
    if not entries:
        return
    (joined.folder / FOOTAGE_FOLDER).mkdir(exist_ok=True)
    for take in takes:
        for path in find_copies(take.folder).values():
            there = joined.folder / FOOTAGE_FOLDER / path.name
            if FOOTAGE_ENTRY in take.header and not there.exists():
                link_atomically(path, there)
    joined.header[FOOTAGE_ENTRY] = {**entries[0], "bytes": size_of_copies(joined.folder)}
