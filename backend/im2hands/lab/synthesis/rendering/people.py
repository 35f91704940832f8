"""People: the body that the hands belong to, other people, and mannequins, on the small body mesh.

Bodies have no hands. Their arms end in sleeves or out of sight, and their pixels are background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from .accessories import PosedHand, stand_in
from .body_mesh import BodyMesh, body_mesh
from .hand_mesh import HandMesh
from .look import Cloth, Look, Person
from .solids import SKIN_GLOSS, Material, SolidBatch

BEHIND_LABEL = 0
FACING = np.diag([1.0, -1.0, -1.0])
"""Rotation from the person's frame to the camera frame of a person who is upright and faces the camera."""
_BEYOND_ELBOW = 0.16
"""Length of the straight part at which an owner's upper arm starts, metres."""
_UPPER_ARM = (0.10, 0.46)
"""Least and largest distance from the end of the forearm to the shoulder, metres."""
_ELBOWS_APART = 0.10
"""Least distance of two elbows of one person, metres."""
_NEAR = 0.14
"""Least depth of a body in view, metres."""
_GAP = 0.01
"""Least distance in depth of a body behind the hands, metres."""
_PART = 0.25
"""Radius of the part of another person that is near the hands, metres."""
_TURNS_TRIED = 5
"""Number of directions of another person that are tried."""
_PITCHES = np.radians([0, 25, 50, 75, 100, -30])
"""Angles from a lying forearm to a raised one that are tried, radians."""


@dataclass(frozen=True)
class PosedBody:
    """A body in the camera frame.

    Parameters
    ----------
    person : Person
        Its look.
    vertices : (V, 3) float64
        Vertices, camera frame, metres.
    bare : tuple of str
        Sides (".L", ".R") whose arm is drawn with the hand, so the body's own arm is left out.
    """

    person: Person
    vertices: np.ndarray
    bare: tuple[str, ...]


def pose_people(
    mesh: HandMesh, hands: Sequence[PosedHand], look: Look
) -> tuple[list[PosedHand], list[PosedBody]]:  # fmt: skip
    """Place the people of a look, and lead the arms of the hands to their owner's shoulders.

    Parameters
    ----------
    mesh : HandMesh
        The hand's surface.
    hands : sequence of PosedHand
        The hands.
    look : Look
        Look of the picture.

    Returns
    -------
    list of PosedHand
        The hands; their arms may end at shoulders.
    list of PosedBody
        The people that do not hide the hands.
    """
    body = body_mesh()
    posed, people = list(hands), []
    for person in look.people:
        if not person.owner:
            placed = _beside(body, mesh, hands or stand_in(), person)
            if placed is not None:
                people.append(PosedBody(person, placed, ()))
        elif hands:
            found = _owner(body, mesh, hands, person)
            if found is not None:
                posed, owner = found
                people.append(owner)
    return posed, people


def add_people(batch: SolidBatch, people: Sequence[PosedBody], look: Look) -> None:
    """Add bodies in their clothes to the solids of the picture."""
    body = body_mesh()
    for posed in people:
        _add(batch, body, posed, look)


def _shape(body: BodyMesh, person: Person) -> np.ndarray:
    """Vertices (V, 3) at rest with the person's girth."""
    trunk = body.share("root", "waist", "chest", "upperleg")[:, None]
    return body.vertices * (1 + trunk * (person.girth - 1) * (1, 0, 1))


def _middle(mesh: HandMesh, hands: Sequence[PosedHand]) -> tuple[np.ndarray, float]:
    """Middle (3,) of all hands and the depth of their farthest vertex."""
    every = np.concatenate([hand.vertices[mesh.hand_vertices] for hand in hands])
    return every.mean(axis=0), float(every[:, 2].max())


def _beside(body: BodyMesh, mesh: HandMesh, hands: Sequence[PosedHand], person: Person) -> np.ndarray | None:
    """Vertices of a person with a part near the hands, None if it would hide them or the camera is too near."""
    rng = np.random.default_rng([person.seed, 0x0B0D])
    moved = body.transforms(np.array(person.pose))
    bone = body.number(person.part)
    focus = moved[bone, :, :3] @ body.joints[bone] + moved[bone, :, 3]
    points = (body.posed(moved, _shape(body, person)) - focus) * person.scale
    around = np.linalg.norm(points, axis=1) < _PART * person.scale
    middle, far = _middle(mesh, hands)
    turn = Rotation.from_rotvec(person.turn)
    for _ in range(_TURNS_TRIED):
        placed = points @ (turn.as_matrix() @ FACING).T
        near = placed[around if around.any() else slice(None), 2].min()
        placed += (middle[0] + person.offset[0], middle[1] + person.offset[1], far + person.offset[2] - near)
        if _clear(placed, mesh, hands):
            return placed
        turn = Rotation.from_rotvec(rng.normal(0, 1.2, 3)) * turn
    return None


def _clear(points: np.ndarray, mesh: HandMesh, hands: Sequence[PosedHand]) -> bool:
    """Whether a body neither touches the camera nor lies before the hands."""
    if ((points[:, 2] < _NEAR) & (points[:, 2] > -_NEAR) & (np.abs(points[:, :2]).max(axis=1) < 0.3)).any():
        return False
    for hand in hands:
        vertices = hand.vertices[mesh.hand_vertices]
        if vertices[:, 2].min() <= 0:
            return False
        tangents = vertices[:, :2] / vertices[:, 2:]
        low, high = tangents.min(axis=0), tangents.max(axis=0)
        before = points[(points[:, 2] > 0.02) & (points[:, 2] < vertices[:, 2].max() + _GAP)]
        seen = before[:, :2] / before[:, 2:]
        margin = 0.1 * (high - low)
        if ((seen > low - margin) & (seen < high + margin)).all(axis=1).any():
            return False
    return True


def _owner(
    body: BodyMesh, mesh: HandMesh, hands: Sequence[PosedHand], person: Person
) -> tuple[list[PosedHand], PosedBody] | None:
    """Body whose shoulders the arms of the hands reach, and the hands with these arms; None if there is no such body.

    The elbows give the direction from the right to the left shoulder. How far the trunk is tilted against the forearms
    is open: the tilts are tried, upright in the picture first.
    """
    rng = np.random.default_rng([person.seed, 0x0B0D])
    ends, back = {}, np.zeros(3)
    for hand in hands:
        rings = mesh.forearm.points(hand.vertices)[:2].mean(axis=1)
        axis = (rings[0] - rings[1]) / np.linalg.norm(rings[0] - rings[1])
        ends[".L" if hand.side == "left" else ".R"] = (rings[0], axis)
        back += axis
    rest = body.transforms(np.array(person.pose))
    points = body.posed(rest, _shape(body, person)) * person.scale
    shoulders = {side: person.scale * (rest[(k := body.number("upperarm" + side)), :, :3] @ body.joints[k]
                                       + rest[k, :, 3]) for side in (".L", ".R")}  # fmt: skip
    if len(ends) == 2:
        across = ends[".L"][0] - ends[".R"][0]
        if np.linalg.norm(across) < _ELBOWS_APART:
            return None
        lefts = [across]
    else:
        lefts = [sign * (np.eye(3)[0] + 0.3 * rng.standard_normal(3)) for sign in (1.0, -1.0)]
    bare = tuple(ends)
    arms = np.isin(np.arange(len(body.vertices)), np.flatnonzero(body.share(*("upperarm" + s for s in bare),
                   *("lowerarm" + s for s in bare)) > 0.5))  # fmt: skip
    found: list[tuple[float, np.ndarray, np.ndarray]] = []
    for left in lefts:
        left = left - 0.9 * back * (left @ back) / max(float(back @ back), 1e-9)
        left = left / np.linalg.norm(left)
        front = -(back - left * (left @ back))
        if np.linalg.norm(front) < 1e-3:
            continue
        front /= np.linalg.norm(front)
        up = np.cross(front, left)
        for pitch in _PITCHES + 0.2 * rng.standard_normal():
            y = np.cos(pitch) * up + np.sin(pitch) * front
            turn = np.stack([left, y, np.cross(left, y)], axis=1) @ Rotation.from_rotvec(person.turn).as_matrix()
            hang = np.radians(rng.uniform(5, 55))
            way = 0.27 * person.scale * (np.cos(hang) * turn[:, 1] - np.sin(hang) * turn[:, 2])
            elbows = np.mean([end for end, _ in ends.values()], axis=0)
            shift = elbows + way - turn @ np.mean([shoulders[side] for side in ends], axis=0)
            found.append((float(-turn[1, 1]) + 0.3 * rng.standard_normal(), turn, shift))
    for _, turn, shift in sorted(found, key=lambda each: -each[0]):
        at = {side: turn @ shoulders[side] + shift for side in ends}
        lengths = [float(np.linalg.norm(at[side] - ends[side][0])) for side in ends]
        if min(lengths) < _UPPER_ARM[0] or max(lengths) > _UPPER_ARM[1]:
            continue
        placed = points @ turn.T + shift
        if _clear(placed[~arms], mesh, hands):
            made = []
            for hand in hands:
                side = ".L" if hand.side == "left" else ".R"
                end, axis = ends[side]
                made.append(replace(hand, bend=at[side] - end - _BEYOND_ELBOW * axis, reach=_BEYOND_ELBOW))
            return made, PosedBody(person, placed, bare)
    return None


def _add(batch: SolidBatch, body: BodyMesh, posed: PosedBody, look: Look) -> None:
    """Colour and dress a body, and add it."""
    person, clothes = posed.person, posed.person.clothes
    rng = np.random.default_rng([person.seed, 0xFACE])
    count = len(body.vertices)
    tone = np.array(look.skin.tone) * person.skin
    colours = np.tile(tone, (count, 1))
    looks = np.tile([SKIN_GLOSS, 0, 0, 0.12], (count, 1)).astype(float)
    scale = np.full(count, 2.0)
    normals = body.normals(posed.vertices)
    off = np.zeros(count)
    if person.plain:
        looks[:] = (rng.uniform(0, 0.9), 0, 0, 0.03)
    else:
        _paint_head(body, person, tone, colours, looks, off, rng)
    folds = _folds(body, rng)

    def wear(mask: np.ndarray, cloth: Cloth, thickness: float) -> None:
        colours[mask] = cloth.colour
        looks[mask] = (0.0, 0, max(cloth.pattern, 0), cloth.strength if cloth.pattern >= 0 else 0.0)
        scale[mask] = cloth.scale
        off[mask] = thickness + clothes.folds * folds[mask]

    trunk = (body.arm < 0) & (body.head < 0.5)
    if clothes.trousers:
        hips = trunk & (body.leg < 0) & (body.share("root", "upperleg") > 0.4)
        wear(((body.leg >= 0) & (body.leg < clothes.hem)) | hips, clothes.trousers, 0.6 * clothes.thickness)
    if clothes.shirt:
        shirt = trunk & (body.leg < 0) & (body.share("waist", "chest", "clavicle", "neck") > 0.3)
        wear(shirt | ((body.arm >= 0) & (body.arm < clothes.sleeve)), clothes.shirt, clothes.thickness)
    if clothes.shoes:
        wear(body.share("foot", "toes") > 0.5, clothes.shoes, 0.008)
    drawn = body.faces
    if posed.bare:
        own = body.share(*(bone + side for side in posed.bare for bone in ("upperarm", "lowerarm", "wrist"))) > 0.5
        drawn = drawn[~own[drawn].all(axis=1)]
    points = posed.vertices + normals * (off * person.scale)[:, None]
    uv = np.stack([body.vertices[:, 0] + 0.5 * body.vertices[:, 2], body.vertices[:, 1]], axis=1) * scale[:, None]
    skin = Material((0.5, 0.5, 0.5), SKIN_GLOSS, False, 0, 0.0, 1.0, BEHIND_LABEL)
    batch.add(points, normals, uv, drawn, skin, colours, looks)


def _folds(body: BodyMesh, rng: np.random.Generator) -> np.ndarray:
    """Height (V,) of the folds of clothes, about -1 to 1."""
    total = np.zeros(len(body.vertices))
    for _ in range(5):
        wave = body.vertices @ rng.normal(0, (18, 30, 18)) + rng.uniform(0, 6.3)
        total += 0.5 * np.sin(wave) if rng.random() < 0.5 else 0.5 - np.abs(np.sin(wave))
    return total / 1.5


def _paint_head(
    body: BodyMesh, person: Person, tone: np.ndarray, colours: np.ndarray, looks: np.ndarray, off: np.ndarray,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Paint eyes, lips, brows, cheeks, beard and hair on the vertices of the head, in place."""
    p, head = body.vertices, body.head
    eyeball = body.eyes > 0.5
    eyes = [p[eyeball & (sign * p[:, 0] > 0)].mean(axis=0) for sign in (1, -1)]
    level, forward = eyes[0][1], p[:, 2]
    hair = np.array(person.hair)

    def mix(mask: np.ndarray, colour: np.ndarray) -> None:
        colours[:] += np.clip(mask, 0, 1)[:, None] * (colour - colours)

    mix(0.8 * body.lips, tone * (0.85, 0.5, 0.5))
    for eye in eyes:
        away = np.linalg.norm((p - eye) * (1, 1.3, 0), axis=1)
        mix(0.4 * np.exp(-((away / 0.025) ** 2)) * (forward > eye[2] - 0.02) * ~eyeball, 0.55 * tone)
        brow = np.exp(-(((p[:, 0] - eye[0]) / 0.024) ** 2) - ((p[:, 1] - level - 0.026) / 0.007) ** 2)
        mix(0.9 * brow * head * (forward > eye[2] - 0.02) * ~eyeball, 0.6 * hair)
        own = eyeball & (np.abs(p[:, 0] - eye[0]) < 0.03)
        iris = own & (np.hypot(p[:, 0] - eye[0], p[:, 1] - eye[1]) < 0.007)
        colours[own], colours[iris] = 0.2 + 0.35 * tone, rng.uniform(0.01, 0.12, 3)
        looks[own] = (0.8, 0, 0, 0)
    front = np.clip((forward - eyes[0][2] + 0.03) / 0.02, 0, 1)
    if person.beard:
        beard = head * front * np.clip((level - 0.055 - p[:, 1]) / 0.01, 0, 1) * (p[:, 1] > level - 0.14)
        mix(0.85 * beard * (1 - body.lips), hair)
    # The hair starts above the hair line in front, and above the ears and the neck behind.
    line = level + np.where(forward > 0.06, person.hair_line, np.where(forward > 0.0, 0.03, -0.06))
    covered = head * np.clip((p[:, 1] - line) / 0.012, 0, 1) * ~eyeball
    mix(covered, hair)
    off += 0.022 * covered * (1 + 0.3 * np.sin(p @ rng.normal(0, 60, 3)))
    looks[covered > 0.5] = (0.25, 0, 1, 0.3)
