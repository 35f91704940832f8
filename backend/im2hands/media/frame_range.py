"""Frame ranges as a person writes them, for example ``1-100,120``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from im2hands.core.errors import InputError

_PART = re.compile(r"^(\d+)?\s*(-)?\s*(\d+)?$")
_MOST_DIGITS = 18  # of a frame number; Python refuses to read numbers of thousands of digits


@dataclass(frozen=True)
class FrameRange:
    """A selection of frame indices.

    Parameters
    ----------
    text : str
        The range as written, for messages.
    parts : tuple of (int, int or None)
        First and last index of each part, both included. A last index of None means to the end. An empty tuple selects
        all frames.
    """

    text: str
    parts: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str | None) -> FrameRange:
        """Parse a range such as ``"1-100,120"``, ``"50-"`` or ``"-20"``.

        Parameters
        ----------
        text : str, optional
            The range. None or an empty text selects every frame.

        Returns
        -------
        FrameRange
            The range.

        Raises
        ------
        InputError
            The text is not a range, or a part runs backwards.
        """
        parts: list[tuple[int, int | None]] = []
        for part in (text or "").replace(";", ",").split(","):
            stripped = part.strip()
            match = _PART.match(stripped)
            if match is None or (not any(match.groups()) and (text or "").strip()) or stripped == "-":
                raise InputError(f'Frames "{text}" cannot be understood.', 'Write them like "1-100,120".')
            first, dash, last = match.groups()
            if any(len(number or "") > _MOST_DIGITS for number in (first, last)):
                raise InputError(f'Frames "{stripped[:40]}" has too large a number.', 'Write them like "1-100,120".')
            if first is None and last is None:
                continue
            start = int(first or 0)
            end = int(last) if last else (None if dash else start)
            if end is not None and end < start:
                raise InputError(f'Frames "{stripped}" run backwards.', f'Write "{end}-{start}".')
            parts.append((start, end))
        return cls(text or "", tuple(parts))

    def __contains__(self, index: int) -> bool:
        return not self.parts or any(first <= index and (last is None or index <= last) for first, last in self.parts)

    def choose(self, indices: Sequence[int], step: int, what: str) -> list[int]:
        """Return every ``step``-th of the indices in the range.

        Parameters
        ----------
        indices : sequence of int
            Indices of the source, ascending.
        step : int
            Take every n-th index, 1 or more.
        what : str
            Name of the source in the error message.

        Returns
        -------
        list of int
            The selected indices, ascending.

        Raises
        ------
        InputError
            No index is selected.
        """
        chosen = [index for index in indices if index in self][::step]
        if not chosen:
            span = f"{indices[0]} to {indices[-1]}" if indices else "none"
            raise InputError(f'No frame of {what} is in "{self.text}".', f"There are frames {span}.")
        return chosen
