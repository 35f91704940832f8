"""Random surroundings: cloth, things that hide fingers or resemble hands, and people, drawn from one generator."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from .body_mesh import BodyMesh, body_mesh
from .look_surroundings import Cloth, Clothes, Person, Thing, Vector
from .solids import SKIN_GLOSS

# Things that hide fingers: name, share, and full lengths in metres for a random number from 0 to 1.
_HELD = {
    "stick": 0.10, "box": 0.07, "ball": 0.08, "card": 0.07, "phone": 0.12, "cup": 0.13, "bottle": 0.08, "pen": 0.11,
    "tool": 0.12, "sheet": 0.07, "crumpled": 0.05,
}  # fmt: skip
_IN_FRONT = {
    "stick": 0.12, "box": 0.10, "ball": 0.08, "card": 0.08, "phone": 0.05, "cup": 0.10, "bottle": 0.08, "pen": 0.06,
    "tool": 0.06, "sheet": 0.10, "hair": 0.12, "pipe": 0.05,
}  # fmt: skip
_BESIDE = {
    "glove": 0.08, "crumpled": 0.16, "bundle": 0.20, "pipe": 0.12, "sleeve_end": 0.20, "sheet": 0.08, "ball": 0.04,
    "hair": 0.06,
}  # fmt: skip
_PINCHED = ("pen", "card", "sheet", "stick", "tool")
_BETWEEN = ("box", "ball", "sheet", "phone", "cup", "crumpled")
_PLACES = {"held": 0.36, "pinched": 0.15, "between": 0.10, "front": 0.29, "behind": 0.10}
THINGS = (0.48, 0.18)
"""Probability of a first and a second thing that may hide hands, in pictures with hands."""
DECOYS = (0.22, 0.12)
"""Probability of a first and a second thing beside the hands that may resemble a hand, in pictures with hands."""
EMPTY = 0.5
"""The same probabilities in pictures without hands."""
OWNER_SHARE = 0.55
"""Share of pictures in which the hands' own body is looked for."""
OTHER_SHARE = 0.22
"""Share of pictures with hands that have another person."""
EMPTY_PEOPLE = 0.75
"""Share of pictures without hands that have a person."""
# Part of another person that is near the hands, and its share: heads, feet, knees, shoulders, arms and trunks.
_PARTS = {"head": 0.34, "toes.L": 0.10, "foot.R": 0.10, "lowerleg.L": 0.08, "upperarm.R": 0.10, "wrist.L": 0.13,
          "lowerarm.R": 0.05, "chest": 0.10}  # fmt: skip
_HAIRS = ((0.012, 0.009, 0.008), (0.05, 0.028, 0.016), (0.16, 0.09, 0.045), (0.42, 0.29, 0.14), (0.35, 0.33, 0.31),
          (0.22, 0.06, 0.02))  # fmt: skip


def random_cloth(rng: np.random.Generator) -> Cloth:
    """Draw the colour and pattern of cloth."""
    value = float(np.exp(rng.uniform(np.log(0.015), np.log(0.75))))
    colour = np.clip(value * np.exp(rng.normal(0, 0.35, 3) * rng.random()), 0.01, 0.85)
    pattern = int(rng.choice([-1, 0, 1, 2, 3]))
    strength = float(rng.uniform(0.1, 0.5))
    return Cloth(vector(colour), pattern, strength, float(np.exp(rng.uniform(np.log(4), np.log(30)))))


def vector(values: np.ndarray) -> Vector:
    """Return an array (3,) as a tuple."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def random_seed(rng: np.random.Generator) -> int:
    """Draw a seed."""
    return int(rng.integers(2**31))


def random_things(rng: np.random.Generator, hands: int, skin: Vector) -> tuple[Thing, ...]:
    """Draw the things of a picture.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    hands : int
        Number of hands in the picture.
    skin : (3,) float
        Skin tone of the hands; some things that resemble hands have it.

    Returns
    -------
    tuple of Thing
        The things.
    """
    count = max(hands, 1)
    things = [_thing(rng, count) for share in THINGS if rng.random() < (share if hands else EMPTY)]
    decoys = [_decoy(rng, count, skin) for share in DECOYS if rng.random() < (share if hands else EMPTY)]
    return (*things, *decoys)


def _draw(rng: np.random.Generator, shares: dict[str, float]) -> str:
    total = sum(shares.values())
    return str(rng.choice(list(shares), p=[share / total for share in shares.values()]))


def _size(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Draw full lengths (3,) of a thing, metres; most are longest along y."""
    t = rng.random()
    if kind == "stick":
        thick = 0.006 + 0.029 * t
        return np.array([thick, rng.uniform(0.08, 0.25), thick])
    if kind == "box":
        return rng.uniform(0.02, 0.12, 3)
    if kind == "ball":
        return (0.025 + 0.075 * t) * rng.uniform(0.8, 1.2, 3)
    if kind == "card":
        return np.array([rng.uniform(0.05, 0.15), rng.uniform(0.05, 0.21), 0.001])
    low, high = {
        "phone": (0.13, 0.17), "cup": (0.075, 0.13), "bottle": (0.16, 0.28), "pen": (0.12, 0.17), "tool": (0.16, 0.32),
        "sheet": (0.12, 0.35), "crumpled": (0.06, 0.16), "bundle": (0.10, 0.22), "pipe": (0.2, 0.6),
        "sleeve_end": (0.18, 0.40), "hair": (0.2, 0.45), "glove": (0.18, 0.26),
    }[kind]  # fmt: skip
    length = low + t * (high - low)
    return np.array([0.5 * length, length, 0.055 * length]) if kind == "phone" else np.full(3, length)


def _surface(rng: np.random.Generator, kind: str) -> tuple[Cloth, float, bool]:
    """Draw the surface of a thing: colour and pattern, gloss, and whether it is metal."""
    cloth = random_cloth(rng)
    if kind == "hair":
        return Cloth(_HAIRS[rng.integers(len(_HAIRS))], 1, 0.3, 20.0), float(rng.uniform(0.2, 0.5)), False
    if kind in ("sheet", "crumpled", "sleeve_end", "glove"):
        return cloth, float(rng.uniform(0, 0.3)) * (rng.random() < 0.3), False
    return cloth, float(rng.uniform(0.0, 0.9)), bool(rng.random() < (0.35 if kind in ("tool", "pipe", "pen") else 0.1))


def _thing(rng: np.random.Generator, hands: int) -> Thing:
    """Draw a thing that may hide a hand."""
    place = _draw(rng, _PLACES)
    if place in ("pinched", "between"):
        kind = str(rng.choice(_PINCHED if place == "pinched" else _BETWEEN))
    else:
        kind = _draw(rng, _IN_FRONT if place in ("front", "behind") else _HELD)
    size = _size(rng, kind)
    if place == "pinched":
        size = size * (0.7, 1, 0.7)
    turn = rng.normal(0, 1.5 if place in ("front", "behind") and kind != "hair" else 0.3, 3)
    offset = rng.normal(0, 0.03 if place == "front" else 0.05, 3)
    cloth, gloss, metal = _surface(rng, kind)
    return Thing(
        "box" if kind in ("card", "phone") else kind, place, int(rng.integers(hands)), vector(size),  # type: ignore[arg-type]
        vector(turn), vector(offset), float(rng.uniform(0.72, 0.95)), cloth, gloss, metal, int(rng.integers(6)),
        random_seed(rng),
    )  # fmt: skip


def _decoy(rng: np.random.Generator, hands: int, skin: Vector) -> Thing:
    """Draw a thing beside the hands that may resemble a hand."""
    kind = _draw(rng, _BESIDE)
    cloth, gloss, metal = _surface(rng, kind)
    if kind == "glove":
        # Never the colour of skin: an empty glove must differ from a hand.
        grey, loud = np.full(3, cloth.colour[1]), rng.permutation([0.02, 0.08, rng.uniform(0.15, 0.7)])
        colour = (loud if rng.random() < 0.6 else grey) * (0.5, 1, 1)
        cloth = Cloth(vector(colour), max(cloth.pattern, 0), 0.5, cloth.scale)
    elif kind != "hair" and rng.random() < (0.55 if kind == "bundle" else 0.22):
        tone = np.array(skin) * np.exp(rng.normal(0, 0.15, 3))
        cloth, gloss, metal = Cloth(vector(np.clip(tone, 0.01, 0.9)), 0, 0.12, 8.0), SKIN_GLOSS, False
    angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.08, 0.30)
    offset = np.array([away * math.cos(angle), away * math.sin(angle), rng.uniform(-0.02, 0.25)])
    turn = Rotation.random(random_state=random_seed(rng)).as_rotvec()
    return Thing(
        kind, "beside", int(rng.integers(hands)), vector(_size(rng, kind)), vector(turn), vector(offset), 1.0, cloth,
        gloss, metal, 5, random_seed(rng),
    )  # fmt: skip


def random_people(rng: np.random.Generator, hands: int, cloth: Cloth | None, sleeve: float) -> tuple[Person, ...]:
    """Draw the people of a picture.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    hands : int
        Number of hands in the picture.
    cloth : Cloth or None
        Cloth of the sleeves, None for bare arms. The owner's shirt is mostly of the same cloth.
    sleeve : float
        End of the sleeves on the arms; see ``look.Sleeve``.

    Returns
    -------
    tuple of Person
        The people.
    """
    people = []
    if hands and rng.random() < OWNER_SHARE:
        people.append(_owner(rng, cloth if rng.random() < 0.8 else None, sleeve))
    if rng.random() < (OTHER_SHARE if hands else EMPTY_PEOPLE):
        people.append(_other(rng))
    return tuple(people)


def _owner(rng: np.random.Generator, cloth: Cloth | None, sleeve: float) -> Person:
    """Draw the body that the hands belong to."""
    clothes = _clothes(rng)
    shirt = cloth or clothes.shirt
    clothes = Clothes(shirt, 2.2 if sleeve > 0 else clothes.sleeve, clothes.trousers, clothes.hem, clothes.shoes,
                      clothes.thickness, clothes.folds)  # fmt: skip
    return _person(rng, True, "chest", np.zeros(3), rng.normal(0, (0.15, 0.2, 0.12)), clothes, False)


def _other(rng: np.random.Generator) -> Person:
    """Draw another person, or a mannequin."""
    part = _draw(rng, _PARTS)
    plain = bool(rng.random() < 0.08)
    if part == "head" or rng.random() < 0.4:
        spin = Rotation.from_euler("zxy", rng.normal(0, (0.25, 0.35, 0.9)))
    else:
        spin = Rotation.random(random_state=random_seed(rng))
    offset = (
        *rng.normal((0, -0.02), (0.14, 0.12)),
        rng.uniform(0.01, 0.12) if part != "head" else rng.uniform(0.02, 0.6),
    )
    clothes = _clothes(rng)
    if plain or rng.random() < 0.12:
        clothes = Clothes(None, 0, None, 0, None, 0, 0)
    elif part in ("toes.L", "foot.R") and rng.random() < 0.75:
        clothes = Clothes(clothes.shirt, clothes.sleeve, clothes.trousers, min(clothes.hem, 1.9), None,
                          clothes.thickness, clothes.folds)  # fmt: skip
    return _person(rng, False, part, np.array(offset), spin.as_rotvec(), clothes, plain)


def _person(
    rng: np.random.Generator, owner: bool, part: str, offset: np.ndarray, turn: np.ndarray, clothes: Clothes,
    plain: bool,
) -> Person:  # fmt: skip
    skin = np.exp(rng.normal(0, 0.05, 3)) if owner or rng.random() < 0.5 else rng.uniform(0.4, 1.4) * np.ones(3)
    if plain:
        skin = rng.uniform(0.5, 1.6, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.5, 1.8))
    hair = _HAIRS[rng.integers(len(_HAIRS))]
    return Person(
        owner=owner,
        part=part,
        offset=vector(offset),
        turn=vector(turn),
        scale=float(rng.uniform(0.92, 1.12)),
        girth=float(rng.uniform(0.9, 1.3)),
        pose=_pose(rng, body_mesh()),
        clothes=clothes,
        skin=vector(skin),
        hair=hair,
        hair_line=float(rng.uniform(0.035, 0.07)) if rng.random() < 0.88 else 1.0,
        beard=bool(rng.random() < 0.2),
        plain=plain,
        seed=random_seed(rng),
    )


def _clothes(rng: np.random.Generator) -> Clothes:
    thickness = float(np.exp(rng.uniform(np.log(0.004), np.log(0.03))))
    return Clothes(
        shirt=random_cloth(rng) if rng.random() < 0.92 else None,
        sleeve=float(rng.choice([0.1, 0.6, 2.2], p=[0.12, 0.33, 0.55]) + rng.uniform(0, 0.2)),
        trousers=random_cloth(rng) if rng.random() < 0.93 else None,
        hem=float(rng.choice([0.5, 1.9], p=[0.3, 0.7]) + rng.uniform(0, 0.25)),
        shoes=random_cloth(rng) if rng.random() < 0.5 else None,
        thickness=thickness,
        folds=float(rng.uniform(0.2, 0.7)) * thickness,
    )


def _pose(rng: np.random.Generator, body: BodyMesh) -> tuple[Vector, ...]:
    """Draw the rotation vectors of all bones of a person who stands or sits, the arms anywhere below the shoulders."""
    turns = {name: np.zeros(3) for name in body.bones}
    for bone, spread in (("waist", 0.10), ("chest", 0.10), ("neck", 0.15), ("head", 0.15)):
        turns[bone] = rng.normal(0, spread, 3)
    sits = rng.random() < 0.4
    for side, sign in ((".L", 1.0), (".R", -1.0)):
        # Rotations about z lower and raise an arm, about x they swing a limb forward (negative).
        raised = np.radians(rng.uniform(-35, 15) if rng.random() < 0.7 else rng.uniform(15, 110))
        swing = Rotation.from_euler("zx", [sign * raised, np.radians(rng.uniform(-60, 20))])
        turns["upperarm" + side] = swing.as_rotvec()
        upper = body.joints[body.number("lowerarm" + side)] - body.joints[body.number("upperarm" + side)]
        lower = body.joints[body.number("wrist" + side)] - body.joints[body.number("lowerarm" + side)]
        hinge = np.cross(upper, lower)
        turns["lowerarm" + side] = hinge / np.linalg.norm(hinge) * np.radians(rng.uniform(-30, 80))
        spread = sign * np.radians(rng.uniform(-5, 20))
        lift = np.radians(-rng.uniform(60, 100) if sits else rng.uniform(-30, 10))
        turns["upperleg" + side] = Rotation.from_euler("xz", [lift, spread]).as_rotvec()
        turns["lowerleg" + side] = np.array([np.radians(rng.uniform(40, 110) if sits else rng.uniform(0, 30)), 0, 0])
        turns["foot" + side] = rng.normal(0, (0.3, 0.15, 0.15))
        turns["toes" + side] = np.array([rng.uniform(-0.5, 0.3), 0, 0])
    return tuple(vector(turns[name]) for name in body.bones)
