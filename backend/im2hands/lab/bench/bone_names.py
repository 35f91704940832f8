"""Names of the bones of hand rigs: which joint of which finger of which hand a bone starts at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_NAMES, SIDES, Side

TIPS = (4, 8, 12, 16, 20)
"""Keypoints of the fingertips. A rig may have no bones there."""

_FINGERS = {"thumb": 0, "index": 1, "middle": 2, "ring": 3, "little": 4, "pinky": 4, "pinkie": 4, "small": 4}
_SIDES: dict[str, Side] = {"left": "left", "l": "left", "right": "right", "r": "right"}
_METACARPAL, _TIP = 0, 99  # ranks of bones along a finger
_RANKS = {"metacarpal": _METACARPAL, "proximal": 1, "intermediate": 2, "middle": 2, "distal": 3, "tip": _TIP,
          "end": _TIP}  # fmt: skip
_TOKENS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_JOINTS_OF_A_FINGER = 3


def keypoint_bones(names: Sequence[str], side: Side) -> dict[int, int]:
    """Find the bones of a hand by their names.

    Names of WebXR ("index-finger-phalanx-proximal"), OpenXR, VRM, Mixamo, Rigify, MakeHuman and many game rigs are
    understood: a finger's name, a rank along it in words or numbers, and a side where the rig has both hands.

    Parameters
    ----------
    names : sequence of J str
        Names of the bones of a rig.
    side : Side
        Which hand is wanted. Bones without a side belong to either hand.

    Returns
    -------
    dict of int to int
        Bone by keypoint (file order). Keypoints without a bone are missing.
    """
    found: dict[int, int] = {}
    chains: list[list[tuple[int, int]]] = [[] for _ in range(5)]
    for bone, name in enumerate(names):
        words, sides = _words(name)
        if sides and side not in sides:
            continue
        finger, rank = _finger(words)
        if finger is None:
            if "wrist" in words or words == ["hand"]:
                found.setdefault(0, bone)
        elif rank is not None and (finger == 0 or rank != _METACARPAL):
            chains[finger].append((rank, bone))
    for finger, chain in enumerate(chains):
        bones = [bone for rank, bone in sorted(chain) if rank != _TIP]
        tips = [bone for rank, bone in chain if rank == _TIP]
        if len(bones) > _JOINTS_OF_A_FINGER:
            # With a tip of its own the first bone is the metacarpal, without one the last bone is the tip.
            tips, bones = (tips, bones[-_JOINTS_OF_A_FINGER:]) if tips else ([bones[3]], bones[:_JOINTS_OF_A_FINGER])
        for level, bone in enumerate([*bones, *tips[:1]] if len(bones) == _JOINTS_OF_A_FINGER else bones):
            found[1 + 4 * finger + level] = bone
    return found


def told_bones(names: Sequence[str], told: dict[str, str]) -> dict[int, int]:
    """Find the bones of a hand whose names a person gives.

    Parameters
    ----------
    names : sequence of J str
        Names of the bones of a rig.
    told : dict of str to str
        Name of the bone by name of the keypoint, see ``core.hands.KEYPOINT_NAMES``.

    Returns
    -------
    dict of int to int
        Bone by keypoint (file order).

    Raises
    ------
    InputError
        A keypoint or a bone is unknown.
    """
    place = {name: k for k, name in enumerate(names)}
    for keypoint, bone in told.items():
        if keypoint not in KEYPOINT_NAMES:
            raise InputError(f'There is no keypoint "{keypoint}".', f"Keypoints: {', '.join(KEYPOINT_NAMES)}.")
        if bone not in place:
            raise InputError(f'The model has no bone "{bone}".', f"Its bones: {', '.join(names)}.")
    return {KEYPOINT_NAMES.index(keypoint): place[bone] for keypoint, bone in told.items()}


def require_bones(found: dict[int, int], names: Sequence[str]) -> None:
    """Check that every keypoint but the fingertips has a bone of its own.

    Parameters
    ----------
    found : dict of int to int
        Bone by keypoint.
    names : sequence of J str
        Names of the bones of the rig, for the message.

    Raises
    ------
    InputError
        Bones are missing, or one stands for two keypoints.
    """
    missing = [name for k, name in enumerate(KEYPOINT_NAMES) if k not in found and k not in TIPS]
    if missing or len(set(found.values())) < len(found):
        what = f"no bones for {', '.join(missing)}" if missing else "one bone for two keypoints"
        raise InputError(
            f"The names of the model's bones give {what}. Its bones: {', '.join(names)}.",
            'Name them in a JSON file beside the model, with its name and the suffix .json: {"wrist": "BONE", ...}.',
        )


def sides_of(names: Sequence[str]) -> set[Side]:
    """The sides that the names of the wrist and finger bones tell; empty if they tell none."""
    found: set[Side] = set()
    for name in names:
        words, sides = _words(name)
        if _finger(words)[0] is not None or "wrist" in words or "hand" in words:
            found |= sides
    return found


def side_in(text: str) -> Side | None:
    """The side that a text such as a file's name tells, or None."""
    sides = _words(text)[1]
    return next(side for side in SIDES if side in sides) if len(sides) == 1 else None


def _words(name: str) -> tuple[list[str], set[Side]]:
    """The words of a name without a prefix that ends in a colon, in lower case, and the sides among them."""
    words = [word.lower() for word in _TOKENS.findall(name.rsplit(":", 1)[-1])]
    return [word for word in words if word not in _SIDES], {_SIDES[word] for word in words if word in _SIDES}


def _finger(words: list[str]) -> tuple[int | None, int | None]:
    """Finger (0 to 4) and rank along it that words tell; None for what they do not tell."""
    numbers = [int(word) for word in words if word.isdecimal()]
    finger = next((_FINGERS[word] for word in words if word in _FINGERS), None)
    if finger is None and "finger" in words and len(numbers) == 2 and 1 <= numbers[0] <= 5:
        finger, numbers = numbers[0] - 1, numbers[1:]
    ranks = [_RANKS[word] for word in words if word in _RANKS and not (word == "middle" and finger == 2)]
    return finger, next(iter(ranks or numbers), None)
