"""Surroundings of the hands: things held, in front, behind and beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .accessories import PosedHand, stand_in
from .hand_mesh import HandMesh
from .look import Look, Thing
from .people import BEHIND_LABEL, PosedBody, add_people
from .shapes import add_shape
from .solids import OTHER_LABEL, Material, SolidBatch

_NEAREST_THING = 0.12
"""Least depth of a thing, metres."""
_PALM = 5
"""Target of an object in front that hides the palm."""


def add_surroundings(
    batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], people: Sequence[PosedBody], look: Look
) -> None:  # fmt: skip
    """Add the things and people of a look, things positioned relative to the hands.

    Parameters
    ----------
    batch : SolidBatch
        Solids of the picture; the surroundings are added to it.
    mesh : HandMesh
        The hand's surface.
    hands : sequence of PosedHand
        The hands; may be empty.
    people : sequence of PosedBody
        The people, from ``people.pose_people``.
    look : Look
        Look of the picture.
    """
    for thing in look.things:
        _thing(batch, mesh, hands or stand_in(), thing)
    add_people(batch, people, look)


def _thing(batch: SolidBatch, mesh: HandMesh, hands: Sequence[PosedHand], thing: Thing) -> None:
    """Add an object, unless it would be too near to the camera. Objects beside the hands count as background."""
    hand = hands[thing.hand % len(hands)]
    tips = hand.vertices[mesh.tips]
    palm = hand.vertices[mesh.hand_vertices].mean(axis=0)
    turn = Rotation.from_rotvec(thing.turn).as_matrix()
    offset, size = np.array(thing.offset), np.array(thing.size)
    place = "held" if thing.place == "between" and len(hands) < 2 else thing.place
    if place == "held":
        # Between finger tips and palm, parallel to the row of finger tips.
        frame = _frame(tips[1] - tips[4], tips.mean(axis=0) - palm)
        at, turn = 0.35 * palm + 0.65 * tips.mean(axis=0) + 0.3 * offset, frame @ turn
    elif place == "pinched":
        # Through the middle of the tips of thumb and index, along the way from the palm.
        at = 0.5 * (tips[0] + tips[1])
        frame = _frame(at - palm, tips[1] - tips[0])
        at, turn = at + frame[:, 1] * size[1] * 4 * offset[1], frame @ turn
    elif place == "between":
        other = hands[1 - thing.hand % 2].vertices[mesh.hand_vertices].mean(axis=0)
        at, turn = 0.5 * (palm + other) + 0.3 * offset, _frame(np.array([0.0, -1.0, 0.2]), other - palm) @ turn
    elif place == "front":
        at = (palm if thing.target == _PALM else tips[thing.target]) * thing.along + offset
    elif place == "behind":
        at = palm + offset + (0, 0, 0.06 + 0.5 * float(size.max()))
    else:
        at = palm + offset
    if at[2] < _NEAREST_THING:
        return
    label = BEHIND_LABEL if place == "beside" else OTHER_LABEL
    material = Material.of(thing.cloth, thing.gloss, thing.metal, label)
    add_shape(batch, thing.shape, at, turn, size, material, thing.seed, mesh)


def _frame(along: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) whose second column is ``along`` and whose first is across ``along`` and ``towards``."""
    along = along / max(float(np.linalg.norm(along)), 1e-9)
    across = np.cross(along, towards)
    across /= max(float(np.linalg.norm(across)), 1e-9)
    return np.stack([across, along, np.cross(across, along)], axis=1)
