"""Which bone of another rig is which bone of ours; the maps lie beside this file as json (no bpy).

A map: "name", "note", "sides" (what stands for "{side}"), "prefixes" (tried in turn), and "bones": from our bone's name
without side to the other rig's. Bones that the other rig lacks are left out.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..take.reader import SIDES

HAND = "hand"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class BoneMap:
    """A map as it lies on disk; see the module."""

    identifier: str
    name: str
    note: str
    sides: dict[str, str]
    prefixes: tuple[str, ...]
    bones: dict[str, str]

    def resolve(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """By side, our bones' names to those of the other rig that are among ``names``; {} where nothing fits."""
        best: dict[str, dict[str, str]] = {}
        for prefix in self.prefixes:
            found = {
                side: {
                    ours: full
                    for ours, pattern in self.bones.items()
                    if (full := prefix + pattern.replace("{side}", self.sides[side])) in names
                }
                for side in SIDES
            }
            if _score(found) > _score(best):
                best = found
        return best


def _score(found: dict[str, dict[str, str]]) -> int:
    """Many bones are good, a hand among them is better."""
    return sum(len(bones) + 20 * (HAND in bones) for bones in found.values())


@cache
def bundled_maps() -> tuple[BoneMap, ...]:
    """The maps that came with the add-on."""
    return tuple(read_map(path) for path in sorted(_FOLDER.glob("*.json")))


def read_map(path: Path) -> BoneMap:
    """A map from a file.

    Raises:
        InputError: it cannot be read, or is no map.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        sides = {side: str(data["sides"][side]) for side in SIDES}
        bones = {str(ours): str(other) for ours, other in data["bones"].items()}
        prefixes = tuple(str(one) for one in data.get("prefixes") or [""])
        return BoneMap(
            path.stem, str(data.get("name") or path.stem), str(data.get("note") or ""), sides, prefixes, bones
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no bone map ({error!r}).", "See the maps in the add-on's folder bone_maps."
        ) from error


def find_map(wanted: str | Path, names: Collection[str]) -> tuple[BoneMap, dict[str, dict[str, str]]]:
    """A map and what it finds among the bones ``names`` of a rig.

    Args:
        wanted: "AUTO" for the one that fits best, a bundled map's identifier, or a file.

    Raises:
        InputError: there is no such map, or it fits nothing.
    """
    if wanted == "AUTO":
        candidates = list(bundled_maps())
    else:
        candidates = [one for one in bundled_maps() if one.identifier == str(wanted)] or [read_map(Path(wanted))]
    fitting = [(one, one.resolve(names)) for one in candidates]
    chosen, found = max(fitting, key=lambda pair: _score(pair[1]))
    if not any(found.values()):
        known = ", ".join(one.name for one in candidates)
        raise InputError(f"The rig has no bones named as in {known}.", "Choose another map, or give one of your own.")
    return chosen, found
