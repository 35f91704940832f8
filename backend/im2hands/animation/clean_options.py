"""How a take is cleaned: the options, with their checks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from im2hands.core.errors import InputError

VERSION = 6
"""Of what the phase computes; a take cleaned by another version is cleaned anew."""

DENSITIES = (0, 1, 2)
LONGEST_GAP = 1000


@dataclass(frozen=True)
class CleanOptions:
    """Options of the clean phase; names and defaults are those of ``docs/protocol.md``.

    Args:
        smoothing: 0 none, 0.5 as told by noise and motion, 1 strong. gap: frames at most that are filled in.
        template_density: 0, 1 or 2: about 1 700, 6 600 or 26 000 vertices a hand.

    Raises:
        InputError: a value that is impossible.
    """

    smoothing: float = 0.5
    gap: int = 12
    template_density: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing <= 1.0:
            raise InputError(f"smoothing is {self.smoothing:g}, it must be 0 to 1.", "0.5 is usual, 0 is none.")
        if not 0 <= self.gap <= LONGEST_GAP:
            raise InputError(f"gap is {self.gap}, it must be 0 to {LONGEST_GAP}.", "It is counted in frames.")
        if self.template_density not in DENSITIES:
            raise InputError(f"template_density is {self.template_density}, it must be 0, 1 or 2.", "1 is usual.")

    def settings(self) -> dict[str, Any]:
        """As they stand in ``take.json``."""
        return asdict(self)
