"""Bone maps: the names of our hand bones in other rigs, as JSON files beside this module (no bpy).

A map has these keys:

* "name" and "note": shown to the person.
* "sides": the text that replaces "{side}" in a bone name, for "left" and for "right".
* "bones": our bone name without side -> bone name in the other rig. Bones that the other rig lacks are left out.
* "prefixes": optional texts before every bone name. They are needed only where a text cannot be told from the name that
  follows it ("xhand_l"); other texts are found without being listed.
* "ik": optional, for rigs whose arms have inverse kinematics (IK): "control", the bone that the hand follows then;
  "switches", pairs of a bone and its property that is 0 for IK and 1 for forward kinematics. The first pair that the
  rig has is used.
* "names": instead of "sides" and "bones": side -> our bone name -> exact bone name in the other rig. The table in the
  sidebar is saved like this.

:mod:`.names` finds the bones in all spellings of these names.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..errors import InputError
from ..take.reader import SIDES
from .names import RigNames

HAND = "hand"
_CONTROL = "ik"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Arm:
    """What tells whether an arm of a rig is in IK, and what its hand follows then.

    Parameters
    ----------
    control : str
        Name of the bone that the hand follows in IK.
    switches : tuple of (str, str)
        Names of bones, and of their properties that are 0 for IK and 1 for forward kinematics. The bones exist; the
        properties may not.
    """

    control: str
    switches: tuple[tuple[str, str], ...]


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
        Alternative texts before every bone name; ("",) for none.
    bones : dict
        Our bone name without side -> bone name in the other rig.
    control : str
        Name of the bone that the hand follows in IK; "" for a rig without.
    switches : tuple of (str, str)
        Bones and properties that switch between IK and forward kinematics.
    exact : dict
        Side -> our bone name -> exact bone name, in place of ``bones``; {} for a map of names with {side}.
    """

    identifier: str
    name: str
    note: str
    sides: dict[str, str]
    prefixes: tuple[str, ...]
    bones: dict[str, str]
    control: str = ""
    switches: tuple[tuple[str, str], ...] = ()
    exact: dict[str, dict[str, str]] = field(default_factory=dict)

    def resolve(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Find the bones of a rig.

        Parameters
        ----------
        names : collection of str
            The names of all bones of the rig.

        Returns
        -------
        dict
            Side -> our bone name -> bone name in the rig, in the spelling that fits best; {} when no bone is found.
        """
        if self.exact:
            return {
                side: {ours: one for ours, one in bones.items() if one in names} for side, bones in self.exact.items()
            }
        found = self._found(names)
        return {side: {one: bones[one] for one in self.bones if one in bones} for side, bones in found.items()}

    def arms(self, names: Collection[str]) -> dict[str, Arm]:
        """Find the IK controls of a rig.

        Parameters
        ----------
        names : collection of str
            The names of all bones of the rig.

        Returns
        -------
        dict
            Side -> its arm; only sides with an IK control and a bone that may have the switch.
        """
        arms: dict[str, Arm] = {}
        for side, bones in ({} if self.exact else self._found(names)).items():
            switches = tuple((bones[bone], name) for bone, name in self.switches if bone in bones)
            if _CONTROL in bones and switches:
                arms[side] = Arm(bones[_CONTROL], switches)
        return arms

    def _found(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Side -> our name, "ik" or a pattern of :attr:`switches` -> bone name, in the spelling that fits best."""
        others = {_CONTROL: self.control} if self.control else {}
        others |= {bone: bone for bone, _ in self.switches}
        rig = RigNames(names)
        best: dict[str, dict[str, str]] = {}
        for prefix in self.prefixes:
            patterns = {ours: prefix + pattern for ours, pattern in {**others, **self.bones}.items()}
            groups = rig.groups(patterns, self.sides)
            for _, found in sorted(groups.items(), key=lambda one: one[0].oddness):
                if self._score(found) > self._score(best):
                    best = found
        return best

    def _score(self, found: dict[str, dict[str, str]]) -> int:
        return _score({side: {one: bones[one] for one in self.bones if one in bones} for side, bones in found.items()})


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
        if "names" in data:
            return exact_map(
                str(data.get("name") or path.stem),
                {side: {str(a): str(b) for a, b in data["names"][side].items()} for side in SIDES},
                path.stem,
            )
        sides = {side: str(data["sides"][side]) for side in SIDES}
        bones = {str(ours): str(other) for ours, other in data["bones"].items()}
        prefixes = tuple(str(one) for one in data.get("prefixes") or [""])
        arm = data.get("ik") or {}
        return BoneMap(
            path.stem,
            str(data.get("name") or path.stem),
            str(data.get("note") or ""),
            sides,
            prefixes,
            bones,
            str(arm.get("control") or ""),
            tuple((str(bone), str(name)) for bone, name in arm.get("switches") or ()),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a bone map ({error!r}).", "See the maps in the add-on's folder bone_maps."
        ) from error


def exact_map(name: str, names: dict[str, dict[str, str]], identifier: str = "table") -> BoneMap:
    """Make a map of exact bone names.

    Parameters
    ----------
    name : str
        Name for the person.
    names : dict
        Side -> our bone name -> bone name in the other rig.
    identifier : str
        Identifier of the map.

    Returns
    -------
    BoneMap
        The map.
    """
    bones = list(dict.fromkeys(ours for found in names.values() for ours in found))
    return BoneMap(identifier, name, "", {}, (), dict.fromkeys(bones, ""), exact=names)


def write_map(path: Path, chosen: BoneMap) -> None:
    """Write a map of exact names to a JSON file, which :func:`read_map` reads.

    Parameters
    ----------
    path : Path
        The file; its folder is made.
    chosen : BoneMap
        The map.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"name": chosen.name, "names": chosen.exact}, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.", "Choose another name.") from error


def find_map(wanted: str | Path | BoneMap, names: Collection[str]) -> tuple[BoneMap, dict[str, dict[str, str]]]:
    """Choose a map for a rig and find the rig's bones.

    Parameters
    ----------
    wanted : str, Path or BoneMap
        "AUTO" for the map that fits best, the identifier of a bundled map, a JSON file, or a map.
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
    if isinstance(wanted, BoneMap):
        candidates = [wanted]
    elif wanted == "AUTO":
        candidates = list(bundled_maps())
    else:
        candidates = [one for one in bundled_maps() if one.identifier == str(wanted)] or [read_map(Path(wanted))]
    fitting = [(one, one.resolve(names)) for one in candidates]
    chosen, found = max(fitting, key=lambda pair: _score(pair[1]))
    if not any(found.values()):
        known = ", ".join(one.name for one in candidates)
        raise InputError(f"The rig has no bones named as in {known}.", "Choose another map or your own map file.")
    return chosen, found


def find_arms(chosen: BoneMap, found: dict[str, dict[str, str]], names: Collection[str]) -> dict[str, Arm]:
    """Find the IK controls of a rig, also for a person's own map that names the hands of a known rig.

    Parameters
    ----------
    chosen : BoneMap
        The map of the rig.
    found : dict
        Its result, from :func:`find_map`.
    names : collection of str
        The names of all bones of the rig.

    Returns
    -------
    dict
        Side -> its arm, for the sides that have one.
    """
    hands = {side: bones.get(HAND) for side, bones in found.items()}
    arms: dict[str, Arm] = {}
    for one in (chosen, *bundled_maps()):
        known = one.resolve(names)
        for side, arm in one.arms(names).items():
            if hands.get(side) and known.get(side, {}).get(HAND) == hands[side]:
                arms.setdefault(side, arm)
    return arms
