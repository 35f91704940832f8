"""Finds the bones of a rig by the names of a bone map, however the rig's program spells them (no bpy).

A name is read as words: "mixamorig12_LeftHandThumb1" is mixamorig, 12, left, hand, thumb, 1, and "f_index.01.L" is f,
index, 1, l. Dots, underscores, hyphens, spaces, capitals and leading zeros therefore make no difference. Before the
words of the map any namespace ("Armature|mixamorig:") and any words may stand, as long as they are the same for all
bones; after them the number that Blender gives to copies (".001"). The side may be spelled "L", "l" or "Left", and may
stand where the map has it, first or last. "Mid" is the middle finger and "little" the pinky. In names that are all
capitals or all small ("LEFTHANDTHUMB1") the words are found although nothing stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

Words = tuple[str, ...]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_NAMESPACE = re.compile(r"^(?P<namespace>.*[:|/])?(?P<name>[^:|/]*)$", re.DOTALL)
_COPY = re.compile(r"\.\d{3}$")
_SPELLINGS = {"left": ("L", "Left"), "right": ("R", "Right")}
# Other words of rigs for the same finger: Character Creator and Daz have "mid", VRM has "little".
_SAME = {"mid": "middle", "little": "pinky"}
# Rigify's helpers, which constraints move. Its deform bones may be keyed only in a rig that lost the helpers.
_HELPERS = ("org", "mch")
_DEFORM = "def"


class Group(NamedTuple):
    """What the names of one set of bones have in common.

    Parameters
    ----------
    copy : str
        Number that Blender gave to a copy, such as ".001"; "" for none.
    prefix : tuple of str
        Words before the words of the map.
    namespace : str
        Text up to the last ":", "|" or "/".
    """

    copy: str
    prefix: Words
    namespace: str

    @property
    def oddness(self) -> tuple[int, int, int]:
        """Order of preference between groups that hold equally many bones; the lowest comes first."""
        return len(self.copy), len(self.prefix), len(self.namespace)


def words(name: str) -> Words:
    """Split a name into words, in lower case, without leading zeros, and with one word for each finger.

    Parameters
    ----------
    name : str
        A name without a namespace.

    Returns
    -------
    tuple of str
        The words.
    """
    found = _WORD.findall(name)
    plain = (str(int(one)) if one.isdecimal() else one.lower() for one in found)
    return tuple(_SAME.get(one, one) for one in plain)


def spellings(pattern: str, side: str, own: str) -> Iterator[Words]:
    """List the ways to spell a name of a map.

    Parameters
    ----------
    pattern : str
        The name, with "{side}" where the side stands.
    side : str
        "left" or "right".
    own : str
        The map's spelling of the side.

    Yields
    ------
    tuple of str
        The words of one way, the map's own first.
    """
    yield words(pattern.replace("{side}", own))
    if "{side}" not in pattern:
        return
    usual = _SPELLINGS[side]
    core = words(pattern.replace("{side}", " "))
    for one in (own, *usual) if own.lower() in {text.lower() for text in usual} else (own,):
        yield words(pattern.replace("{side}", one))
        yield (*core, *words(one))
        yield (*words(one), *core)


class RigNames:
    """The names of a rig's bones, by the words at their end.

    Parameters
    ----------
    names : collection of str
        The names of all bones of the rig.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._by_words: dict[Words, list[tuple[Group, str]]] = {}
        firsts = set()
        for name in names:
            for group, own in _readings(name):
                firsts.update(own[:1])
                for start in range(len(own)):
                    found = group._replace(prefix=own[:start])
                    self._by_words.setdefault(own[start:], []).append((found, name))
                    if name.upper() == name or name.lower() == name:  # no capitals that part the words
                        self._by_words.setdefault(_glued(own[start:]), []).append((found, name))
        self._closed = set(_HELPERS) | ({_DEFORM} if firsts & set(_HELPERS) else set())

    def groups(self, patterns: Mapping[str, str], sides: Mapping[str, str]) -> dict[Group, dict[str, dict[str, str]]]:
        """Find the bones of a map, separately for each group of names.

        Parameters
        ----------
        patterns : mapping of str to str
            Our name -> name in the map, with "{side}" where the side stands.
        sides : mapping of str to str
            "left" and "right" -> the map's spelling of the side.

        Returns
        -------
        dict
            Group -> side -> our name -> name of the rig's bone.
        """
        found: dict[Group, dict[str, dict[str, str]]] = {}
        for side, own in sides.items():
            for ours, pattern in patterns.items():
                literal = pattern.replace("{side}", own)
                ways = list(spellings(_NAMESPACE.sub(r"\g<name>", pattern), side, own))
                for spelled in (*ways, *map(_glued, ways)):
                    # The map's exact spelling first, because some rigs have "hand.L" beside "Hand_L".
                    there = sorted(self._by_words.get(spelled, ()), key=lambda one: not one[1].endswith(literal))
                    for group, name in there:
                        if not set(group.prefix[:1]) & self._closed:
                            bones = found.setdefault(group, {one: {} for one in sides})
                            bones[side].setdefault(ours, name)
        return found


def _glued(own: Words) -> Words:
    """The words as one, as they stand in a name without capitals and signs between them."""
    return ("".join(own),)


def _readings(name: str) -> Iterator[tuple[Group, Words]]:
    """The namespace, the copy's number and the words of a name; a number at the end may also belong to the name."""
    parts = _NAMESPACE.match(name)
    if parts is None:
        return
    namespace, own = parts["namespace"] or "", parts["name"]
    yield Group("", (), namespace), words(own)
    copy = _COPY.search(own)
    if copy is not None:
        yield Group(copy[0], (), namespace), words(own[: copy.start()])
