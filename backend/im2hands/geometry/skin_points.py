"""Points on the skin of the bundled hand, spread over it by a rule: what the reading network's dense landmarks show.

They are vertices of the right hand; a left hand is its mirror image in x, with the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .hand_model import FINGER_BONES, WRIST_BONE, WRIST_SHIFT, HandModel, HandShape

_FINGERS = ("thumb", "index", "middle", "ring", "little")
_BONES = ("first", "middle", "last")
_AROUND = ("palmar", "dorsal", "inner", "outer")
"""Directions about a bone: towards the palm and the back of the hand, towards the thumb and the little finger."""

# Shares of the way along a bone: the middle of a phalanx, the nail on the last one, the thumb's ball.
_MIDDLE, _NAIL, _BASE = 0.5, 0.8, 0.15
# The same from the wrist to the knuckles: the palm and the back, its rim at the little finger and at the index finger.
_PALM, _KNUCKLE, _OUTER_RIM, _INNER_RIM = (0.4, 0.7), 1.0, (0.3, 0.55, 0.8), (0.75, 0.92)
# Least distance between two points, metres.
_APART = 0.004
# A ray through an edge meets the faces beside it; share of the edges.
_EDGE = 1e-6


@dataclass(frozen=True)
class SkinPoints:
    """P = 128 vertices of the hand model, spread over its skin.

    Parameters
    ----------
    names : tuple of P str
        Part and side of each: "thumb tip", "ring last nail", "middle first outer", "index palm 1", "wrist palmar".
        ``palmar`` is the side to which the part bends, ``dorsal`` its back, ``inner`` the thumb's side, ``outer`` the
        little finger's.
    vertices : (P,) int64
        Rows of the model's vertices, all different.
    """

    names: tuple[str, ...]
    vertices: np.ndarray

    def rows(self, word: str) -> np.ndarray:
        """Return the rows of the points whose name holds a word.

        Parameters
        ----------
        word : str
            A word of the names, such as "thumb", "dorsal", "rim" or "tip".
        """
        return np.array([row for row, name in enumerate(self.names) if word in name.split()], dtype=np.int64)


def skin_points(model: HandModel) -> SkinPoints:
    """Choose the points, which takes 0.1 s: from places on the bones of the mean hand straight out to its skin.

    Around the middle of each of the fingers' three bones four points: towards the palm, the back, the thumb and the
    little finger (the thumb's first bone has none towards the palm but two at its base); two beside each joint between
    them; the tip; the nail. On the palm and the back two between wrist and each knuckle and one at the knuckle; two on
    the palm's rim below the index finger, three below the little finger; the webs between the fingers, met from the
    gap between them; four around the wrist. A point is the nearest vertex that is not
    within 4 mm of one that is taken.

    Parameters
    ----------
    model : HandModel
        The hand model.
    """
    ones = torch.ones(1, 22, dtype=torch.float64)
    rest, heads = model.rest(HandShape(torch.zeros(1, 20, dtype=torch.float64), ones, ones))
    skin = _Skin(rest[0].numpy(), model.faces.numpy())
    names: list[str] = []
    vertices: list[int] = []
    flexion = model.flexion_axes(heads)[0][0].numpy()
    for name, start, direction in _rays(heads[0].numpy(), flexion):
        vertices.append(skin.vertex(start, direction, vertices))
        names.append(name)
    return SkinPoints(tuple(names), np.array(vertices, dtype=np.int64))


def _rays(heads: np.ndarray, flexion: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names, starts and directions of the rays to the skin; heads (27, 3), flexion axes (5, 3, 3)."""
    for finger, bones in enumerate(FINGER_BONES):
        stops = heads[[*bones, 22 + finger]]
        for k, bone in enumerate(_BONES):
            along = stops[k + 1] - stops[k]
            around = _around(along, flexion[finger, k])
            for side in _AROUND[1:] if (finger, k) == (0, 0) else _AROUND:
                yield f"{_FINGERS[finger]} {bone} {side}", stops[k] + _MIDDLE * along, around[side]
            where, share = ("joint", 0.0) if k else ("base", _BASE)
            for side in ("inner", "outer") if k or not finger else ():
                yield f"{_FINGERS[finger]} {bone} {where} {side}", stops[k] + share * along, around[side]
        last = stops[3] - stops[2]
        yield f"{_FINGERS[finger]} nail", stops[2] + _NAIL * last, around["dorsal"]
        yield f"{_FINGERS[finger]} tip", stops[2] + _NAIL * last, last
    wrist = heads[WRIST_BONE] + WRIST_SHIFT * (heads[FINGER_BONES[2][0]] - heads[WRIST_BONE])
    knuckles, joints = (heads[[bones[k] for bones in FINGER_BONES]] for k in (0, 1))
    around = _around(knuckles[2] - wrist, flexion[2, 0])
    for finger in range(1, 5):
        for number, share in enumerate((*_PALM, _KNUCKLE), 1):
            for side, word in (("palmar", "palm"), ("dorsal", "back")):
                yield f"{_FINGERS[finger]} {word} {number}", wrist + share * (knuckles[finger] - wrist), around[side]
    for finger, side, shares in ((1, "inner", _INNER_RIM), (4, "outer", _OUTER_RIM)):
        for number, share in enumerate(shares, 1):
            yield f"{_FINGERS[finger]} rim {number}", wrist + share * (knuckles[finger] - wrist), around[side]
    gap = (heads[FINGER_BONES[0][2]] + knuckles[1]) / 2
    yield "thumb index web", gap, wrist - gap
    for finger in (1, 2, 3):
        gap = (joints[finger] + joints[finger + 1]) / 2
        yield f"{_FINGERS[finger]} {_FINGERS[finger + 1]} web", gap, wrist - gap
    for side in _AROUND:
        yield f"wrist {side}", wrist, around[side]


def _around(bone: np.ndarray, flexion: np.ndarray) -> dict[str, np.ndarray]:
    """The directions about a bone that flexes about an axis; the axis points towards the thumb."""
    inner = flexion - bone * (flexion @ bone) / (bone @ bone)
    palmar = np.cross(inner, bone)
    return {"palmar": palmar, "dorsal": -palmar, "inner": inner, "outer": -inner}


class _Skin:
    """A mesh that rays meet: vertices (V, 3), and faces (F, 3), of which those with further vertices do not count."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self._vertices, self._faces = vertices, faces[(faces < len(vertices)).all(axis=1)]

    def vertex(self, start: np.ndarray, direction: np.ndarray, taken: list[int]) -> int:
        """Return the vertex nearest to where a ray first meets the skin, not close to the taken ones."""
        a, b, c = (self._vertices[self._faces[:, k]] for k in range(3))
        across = np.cross(direction, c - a)
        scale = (across * (b - a)).sum(axis=1)
        scale = np.where(scale == 0, np.inf, scale)
        u = (across * (start - a)).sum(axis=1) / scale
        turned = np.cross(start - a, b - a)
        v = (turned @ direction) / scale
        along = (turned * (c - a)).sum(axis=1) / scale
        meets = (u >= -_EDGE) & (v >= -_EDGE) & (u + v <= 1 + _EDGE) & (along > 0)
        place = start + along[meets].min() * direction
        away = np.linalg.norm(self._vertices - place, axis=1)
        for vertex in taken:
            away[np.linalg.norm(self._vertices - self._vertices[vertex], axis=1) < _APART] = np.inf
        return int(np.argmin(away))
