"""How the hands of a frame met, as ``take.json`` has it (no bpy)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .arrays import SIDES

CONTACT = "contact"
"""Name of the entry of a record."""
DEEP_MM = 5.0
"""Hands that were found deeper in each other are marked for a check, millimetres; skin gives way by less."""


@dataclass(frozen=True)
class Contact:
    """How two hands met before their surfaces were parted.

    Parameters
    ----------
    penetration_ml : float
        Volume that both hands claimed, millilitres.
    deepest_mm : float
        Largest depth of one hand in the other, millimetres.
    deepest : tuple of float or None
        Place of it, camera frame, metres; None where no hand was in the other.
    parts : dict
        Side of each hand -> names of its parts that touched the other hand.
    """

    penetration_ml: float
    deepest_mm: float
    deepest: tuple[float, ...] | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def doubt(self) -> str:
        """That the hands were found deep in each other, in a few words; "" when they were not."""
        return "hands in each other" if self.deepest_mm > DEEP_MM else ""


def parse_contact(data: Mapping[str, Any]) -> Contact:
    """Read the entry of a record.

    Parameters
    ----------
    data : mapping
        The entry, plain JSON types.

    Returns
    -------
    Contact
        How the hands met.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is no such entry.
    """
    place = tuple(float(value) for value in data["deepest"]) if data.get("deepest") is not None else None
    volume, depth = float(data["penetration_ml"]), float(data["deepest_mm"])
    if not all(map(math.isfinite, (volume, depth, *(place or ())))) or min(volume, depth) < 0:
        raise ValueError(f"the contact {dict(data)}")
    if place is not None and len(place) != 3:
        raise ValueError(f"the contact {dict(data)}")
    return Contact(volume, depth, place, {side: tuple(map(str, data.get(side) or ())) for side in SIDES})
