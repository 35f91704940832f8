"""How the hands of a frame meet, as ``take.json`` and the frame's file have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from im2hands.core.hands import SIDES, Side

if TYPE_CHECKING:
    from im2hands.geometry.contact import Contact

CONTACT = "contact"
"""Name of the entry of a record, and of the array of each hand."""


def contact_entry(
    contact: Contact, vertices: Mapping[Side, np.ndarray], keypoints: Mapping[Side, np.ndarray]
) -> dict[str, Any]:
    """Return how two hands meet as an entry of a frame's record.

    Parameters
    ----------
    contact : Contact
        How they meet.
    vertices : mapping of Side to (V, 3) float
        Vertices of their surfaces, metres.
    keypoints : mapping of Side to (21, 3) float
        Their keypoints, same frame, metres.

    Returns
    -------
    dict
        Plain JSON types.
    """
    from im2hands.geometry.contact import touched_parts

    found: dict[str, Any] = {
        "penetration_ml": round(contact.penetration_ml, 3), "deepest_mm": round(contact.deepest_mm, 2)
    }  # fmt: skip
    if contact.deepest is not None:
        found["deepest"] = [round(float(value), 5) for value in contact.deepest]
    for side, rows in contact.touching.items():
        if len(rows):
            found[side] = touched_parts(vertices[side][rows], keypoints[side])
    return found


def contact_arrays(contact: Contact) -> dict[str, np.ndarray]:
    """Return the vertices that touch the other hand as arrays of a frame's file; none where nothing touches."""
    return {f"{side}_{CONTACT}": rows for side, rows in contact.touching.items() if len(rows)}


def check_contact(entry: Any) -> None:
    """Check the entry of a record.

    Parameters
    ----------
    entry : Any
        The entry, plain JSON types.

    Raises
    ------
    TypeError, ValueError
        It is no such entry.
    """
    if not isinstance(entry, Mapping):
        raise TypeError("contact is no object")
    place = entry.get("deepest", [0.0, 0.0, 0.0])
    numbers = [entry["penetration_ml"], entry["deepest_mm"], *(place if isinstance(place, list) else [])]
    if len(numbers) != 5 or not all(type(one) in (int, float) and math.isfinite(one) for one in numbers):
        raise ValueError(f"contact has numbers that are none: {numbers}")
    if min(numbers[:2]) < 0:
        raise ValueError("contact has a volume or depth below 0")
    for side in SIDES:
        parts = entry.get(side, [])
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise TypeError(f"contact has no parts of the {side} hand")
