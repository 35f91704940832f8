"""Frame ranges as people write them: ``1-100,120``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from im2hands.core.errors import InputError

_PART = re.compile(r"^(\d+)?\s*(-)?\s*(\d+)?$")


@dataclass(frozen=True)
class FrameRange:
    """A choice of frame indices.

    Args:
        text: as written, for messages. parts: inclusive (first, last) pairs; last None: to the end. Empty: all frames.
    """

    text: str
    parts: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str | None) -> FrameRange:
        """Read ``"1-100,120"``, ``"50-"``, ``"-20"``; None or empty text is every frame.

        Raises:
            InputError: it is no such list, or a range runs backwards.
        """
        parts: list[tuple[int, int | None]] = []
        for part in (text or "").replace(";", ",").split(","):
            stripped = part.strip()
            match = _PART.match(stripped)
            if match is None or (not any(match.groups()) and (text or "").strip()) or stripped == "-":
                raise InputError(f'Frames "{text}" cannot be understood.', 'Write them like "1-100,120".')
            first, dash, last = match.groups()
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
        """Those of ``indices`` (ascending) that are in the range, every ``step``-th of them.

        Raises:
            InputError: none is left; ``what`` names the source in the message.
        """
        chosen = [index for index in indices if index in self][::step]
        if not chosen:
            span = f"{indices[0]} to {indices[-1]}" if indices else "none"
            raise InputError(f'No frame of {what} is in "{self.text}".', f"There are frames {span}.")
        return chosen
