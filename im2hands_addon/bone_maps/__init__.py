"""Bone maps: the names of our hand bones in other rigs, as JSON files beside this module (no bpy).

A map has these keys:

* "name" and "note": shown to the person.
* "sides": the text that replaces "{side}" in a bone name, for "left" and for "right".
* "prefixes": texts before every bone name; the prefix that finds most bones is used.
* "bones": our bone name without side -> bone name in the other rig. Bones that the other rig lacks are left out.
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
    """A bone map; the file format is described in the module.

    Parameters
    ----------
    identifier : str
        Name of the file without its ending.
    name : str
        Name for the person.
    note : str
        Which rigs the map is for.
    sides : dict
        "left" or "right" -> text that replaces "{side}".
    prefixes : tuple of str
        Alternative texts before every bone name.
    bones : dict
        Our bone name without side -> bone name in the other rig.
    """

    identifier: str
    name: str
    note: str
    sides: dict[str, str]
    prefixes: tuple[str, ...]
    bones: dict[str, str]

    def resolve(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Find the bones of a rig.

        Parameters
        ----------
        names : collection of str
            The names of all bones of the rig.

        Returns
        -------
        dict
            Side -> our bone name -> bone name in the rig, for the prefix that fits best; {} when no bone is found.
        """
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
    """Score of a result: one point a bone, and 20 more for the hand bone, without which the wrist cannot turn."""
    return sum(len(bones) + 20 * (HAND in bones) for bones in found.values())


@cache
def bundled_maps() -> tuple[BoneMap, ...]:
    """The maps of the add-on, sorted by identifier."""
    return tuple(read_map(path) for path in sorted(_FOLDER.glob("*.json")))


def read_map(path: Path) -> BoneMap:
    """Read a map from a JSON file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    BoneMap
        The map.

    Raises
    ------
    InputError
        The file cannot be read, or it is not a bone map.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise OSError("it is not a regular file")
        data = json.loads(path.read_text(encoding="utf-8"))
        sides = {side: str(data["sides"][side]) for side in SIDES}
        bones = {str(ours): str(other) for ours, other in data["bones"].items()}
        prefixes = tuple(str(one) for one in data.get("prefixes") or [""])
        return BoneMap(
            path.stem, str(data.get("name") or path.stem), str(data.get("note") or ""), sides, prefixes, bones
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a bone map ({error!r}).", "See the maps in the add-on's folder bone_maps."
        ) from error


def find_map(wanted: str | Path, names: Collection[str]) -> tuple[BoneMap, dict[str, dict[str, str]]]:
    """Choose a map for a rig and find the rig's bones.

    Parameters
    ----------
    wanted : str or Path
        "AUTO" for the map that fits best, the identifier of a bundled map, or a JSON file.
    names : collection of str
        The names of all bones of the rig.

    Returns
    -------
    tuple of BoneMap and dict
        The map, and its result as from :meth:`BoneMap.resolve`.

    Raises
    ------
    InputError
        There is no such map, or it finds no bone.
    """
    if wanted == "AUTO":
        candidates = list(bundled_maps())
    else:
        candidates = [one for one in bundled_maps() if one.identifier == str(wanted)] or [read_map(Path(wanted))]
    fitting = [(one, one.resolve(names)) for one in candidates]
    chosen, found = max(fitting, key=lambda pair: _score(pair[1]))
    if not any(found.values()):
        known = ", ".join(one.name for one in candidates)
        raise InputError(f"The rig has no bones named as in {known}.", "Choose another map or your own map file.")
    return chosen, found
