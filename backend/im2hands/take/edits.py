"""A person's corrections of a take: ``edits.json``, one entry per correction, in order (``docs/take.md``).

An edit says what a person saw, never what was computed from it, so that it holds for any later run, and each can be
taken back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError, TakeError
from im2hands.core.files import delete_shared, json_bytes, read_regular, read_shared, sha256_of, write_atomically
from im2hands.core.hands import OTHER_SIDE, SIDES, Side
from im2hands.core.unpacking import JSON_BYTES, parse_json

from .edit import FORM, Edit, read_edit

EDITS_FILE = "edits.json"
SET_ASIDE_FILE = "edits.other.json"
"""Edits of pictures that the take had before."""

EDITS_FORMAT, EDITS_VERSION = "im2hands-edits", 1

_MOST_EDITS = 20_000


@dataclass
class Marks:
    """What the edits of a frame say of its hands, for the clean motion.

    Parameters
    ----------
    absent : set of Side
        Hands that are not there.
    trusted : set of Side
        Hands that a person looked at: they are not doubtful, whatever the numbers say.
    pinned : set of Side
        Hands that the clean motion goes through.
    """

    absent: set[Side] = field(default_factory=set)
    trusted: set[Side] = field(default_factory=set)
    pinned: set[Side] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.absent or self.trusted or self.pinned)


class Edits:
    """The corrections of a take, in their order.

    Parameters
    ----------
    edits : iterable of Edit
        The edits.
    """

    def __init__(self, edits: Iterable[Edit] = ()) -> None:
        self.all: tuple[Edit, ...] = tuple(edits)
        self._singles: dict[int, list[int]] = {}
        self._ranges: list[int] = []
        for number, edit in enumerate(self.all):
            if edit.first == edit.last:
                self._singles.setdefault(edit.first, []).append(number)
            else:
                self._ranges.append(number)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.all)

    def of_frame(self, index: int) -> list[Edit]:
        """Return the edits that hold for a frame, in their order."""
        reaching = [k for k in self._ranges if self.all[k].first <= index <= self.all[k].last]
        return [self.all[k] for k in sorted([*self._singles.get(index, ()), *reaching])]

    def changes_hands(self, index: int) -> bool:
        """Return whether a frame's hands depend on edits; a pin alone changes only the clean motion."""
        return any(edit.kind != "pin" for edit in self.of_frame(index))

    def marks(self, index: int) -> Marks:
        """Return what the edits of a frame say of its hands."""
        marks = Marks()
        for edit in self.of_frame(index):
            if edit.kind == "swap":
                for sides in (marks.absent, marks.pinned):
                    exchanged = {OTHER_SIDE[side] for side in sides}
                    sides.clear()
                    sides.update(exchanged)
                marks.trusted = set(SIDES) - marks.absent
            elif edit.side is None:  # of both hands as they are
                continue
            elif edit.kind == "absent":
                marks.absent.add(edit.side)
                marks.trusted.discard(edit.side)
                marks.pinned.discard(edit.side)
            else:
                if edit.kind == "box":
                    marks.absent.discard(edit.side)
                marks.trusted.add(edit.side)
                if edit.kind == "pin":
                    marks.pinned.add(edit.side)
        return marks

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain JSON types."""
        edits = [edit.to_dict() for edit in self.all]
        return {"format": EDITS_FORMAT, "version": EDITS_VERSION, "edits": edits}

    @classmethod
    def from_dict(cls, content: Any, name: str = EDITS_FILE) -> Edits:
        """Read and check a document.

        Parameters
        ----------
        content : Any
            The parsed JSON.
        name : str
            Name of the file, for messages.

        Returns
        -------
        Edits
            The edits.

        Raises
        ------
        InputError
            The document is of another format or a later version, or an edit cannot be meant: a kind, side or keypoint
            that does not exist, numbers that are none, a name given twice, a hand that an earlier edit took away.
        """
        if not isinstance(content, dict) or content.get("format") != EDITS_FORMAT:
            raise InputError(f"{name} has no edits of Im2Hands.", FORM)
        version = content.get("version")
        if type(version) is not int or version > EDITS_VERSION or version < 1:
            raise InputError(
                f"{name} has version {str(version)[:20]}; this program reads version {EDITS_VERSION}.",
                "Update Im2Hands for Blender.",
            )
        entries = content.get("edits")
        if not isinstance(entries, list):
            raise InputError(f"{name} has no list of edits.", FORM)
        if len(entries) > _MOST_EDITS:
            raise InputError(f"{name} has {len(entries)} edits; at most {_MOST_EDITS} are read.", "Leave some out.")
        edits = cls(read_edit(entry, number, name) for number, entry in enumerate(entries, 1))
        known: set[str] = set()
        for edit in edits:
            if edit.id in known:
                raise InputError(f'{name} has two edits named "{edit.id}".', "Give each an id of its own.")
            known.add(edit.id)
        edits._check_absent(name)
        return edits

    @classmethod
    def read(cls, path: Path) -> Edits:
        """Read a person's file.

        Parameters
        ----------
        path : Path
            The file.

        Returns
        -------
        Edits
            The edits.

        Raises
        ------
        InputError
            The file cannot be read, is not JSON, or :meth:`from_dict` refuses it.
        """
        try:
            content = parse_json(read_regular(path, JSON_BYTES))
        except OSError as error:
            raise InputError(
                f"The edits {path} cannot be read: {error.strerror or error}.", "Check the path."
            ) from error
        except ValueError as error:
            raise InputError(f"The edits {path} are not JSON: {error}.", FORM) from error
        return cls.from_dict(content, path.name)

    @classmethod
    def of_take(cls, folder: Path) -> Edits:
        """Read the edits of a take; none if it has no such file.

        Parameters
        ----------
        folder : Path
            Folder of the take.

        Returns
        -------
        Edits
            The edits.

        Raises
        ------
        TakeError
            The file is there and cannot be used.
        """
        path = folder / EDITS_FILE
        try:
            return cls.from_dict(parse_json(read_shared(path, expected=False, most_bytes=JSON_BYTES)), str(path))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, InputError) as error:
            message = error.message if isinstance(error, InputError) else f"Cannot read {path}: {error}."
            raise TakeError(message, "Mend or delete that file; without it the take has no corrections.") from error

    def write(self, folder: Path) -> None:
        """Write the edits into a take; without any the file is deleted.

        Parameters
        ----------
        folder : Path
            Folder of the take.

        Raises
        ------
        TakeError
            The file cannot be written.
        """
        if self.all:
            write_atomically(folder / EDITS_FILE, json_bytes(self.to_dict(), indent=1) + b"\n")
        else:
            delete_shared(folder / EDITS_FILE)

    def _check_absent(self, name: str) -> None:
        """Require that no edit is of a hand that an earlier one took away. The same edits hold between two bounds."""
        bounds = {edit.first for edit in self.all} | {edit.last + 1 for edit in self.all}
        for index in sorted(bounds):
            absent: dict[Side, Edit] = {}
            for edit in self.of_frame(index):
                if edit.kind == "swap":
                    absent = {OTHER_SIDE[side]: by for side, by in absent.items()}
                elif edit.side is None:
                    continue
                elif edit.kind == "absent":
                    absent[edit.side] = edit
                elif edit.kind == "box":
                    absent.pop(edit.side, None)
                elif edit.side in absent:
                    raise InputError(
                        f'{name}: edit "{edit.id}" is of the {edit.side} hand of frame {index}, which edit '
                        f'"{absent[edit.side].id}" before it takes away.',
                        "Take one of the two back.",
                    )


def edits_sha256(folder: Path) -> str:
    """Return the sha256 of the edits of a take, hexadecimal; "" if it has no such file.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    """
    try:
        return sha256_of(folder / EDITS_FILE)
    except FileNotFoundError:
        return ""


def set_edits_aside(folder: Path) -> None:
    """Rename the edits of a take whose pictures are no longer its own; an older file set aside is replaced.

    Parameters
    ----------
    folder : Path
        Folder of the take.

    Raises
    ------
    TakeError
        The file cannot be renamed.
    """
    path = folder / EDITS_FILE
    try:
        if path.exists():
            path.replace(folder / SET_ASIDE_FILE)
    except OSError as error:
        raise TakeError(f"Cannot rename {path}: {error.strerror or error}.", "Move that file away.") from error
