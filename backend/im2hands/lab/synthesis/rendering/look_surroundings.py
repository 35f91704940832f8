"""Look of what surrounds the hands, as plain data: cloth, things and people. Colours are linear RGB albedo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]

ThingPlace = Literal["held", "pinched", "between", "front", "behind", "beside"]
"""Place of a thing: in a closed hand, between finger tips, between two palms, before a part of a hand, behind the
palm, or beside the hands."""


@dataclass(frozen=True)
class Cloth:
    """Colour and pattern of cloth.

    Parameters
    ----------
    colour : (3,) float
        Albedo.
    pattern : int
        0 soft noise, 1 knit, 2 stripes and checks, 3 folds, -1 none.
    strength : float
        Contrast of the pattern.
    scale : float
        Repetitions of the pattern per metre.
    """

    colour: Vector
    pattern: int
    strength: float
    scale: float


@dataclass(frozen=True)
class Thing:
    """An object.

    Parameters
    ----------
    shape : str
        A name in ``shapes.SHAPES``.
    place : str
        Where it is; see ``ThingPlace``.
    hand : int
        Number of the hand that it belongs to.
    size : (3,) float
        Full lengths, metres.
    turn : (3,) float
        Rotation vector, radians.
    offset : (3,) float
        Displacement, camera frame, metres.
    along : float
        Share of the way from the camera to the part that it hides, for objects in front.
    cloth : Cloth
        Colour and pattern.
    gloss : float
        Glossiness, 0 to 1, or ``solids.SKIN_GLOSS``.
    metal : bool
        Whether it is metal.
    target : int
        Part of the hand that an object in front hides: 0 thumb to 4 little finger, 5 palm.
    seed : int
        Seed of the shape's details.
    """

    shape: str
    place: ThingPlace
    hand: int
    size: Vector
    turn: Vector
    offset: Vector
    along: float
    cloth: Cloth
    gloss: float
    metal: bool
    target: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Clothes:
    """Clothes of a person; None means bare.

    Parameters
    ----------
    shirt : Cloth or None
        Shirt or coat.
    sleeve : float
        End of its sleeves: 0 shoulder, 1 elbow, 2 wrist.
    trousers : Cloth or None
        Trousers.
    hem : float
        End of the trousers: 0 hip, 1 knee, 2 ankle.
    shoes : Cloth or None
        Shoes or socks.
    thickness : float
        Distance from the skin, metres.
    folds : float
        Height of the folds, metres.
    """

    shirt: Cloth | None
    sleeve: float
    trousers: Cloth | None
    hem: float
    shoes: Cloth | None
    thickness: float
    folds: float


@dataclass(frozen=True)
class Person:
    """A person without hands of its own, or the body that the hands belong to.

    Parameters
    ----------
    owner : bool
        Whether the arms of the hands lead to this person's shoulders. If no position of the body leaves the hands
        in view, the body is left out.
    part : str
        Bone that is placed near the hands, for other people.
    offset : (3,) float
        Displacement of that bone's head from the middle of the hands in x and y, and least distance of the body's
        near side behind the hands, metres.
    turn : (3,) float
        Rotation vector from upright and facing the camera, radians, camera frame. For an owner: pitch, yaw and roll
        of the trunk.
    scale : float
        Factor on the size.
    girth : float
        Factor on the thickness of the trunk.
    pose : tuple of (3,) float
        Rotation vector of each bone; see ``body_mesh.BodyMesh.transforms``.
    clothes : Clothes
        Clothes.
    skin : (3,) float
        Factor on the look's skin tone.
    hair : (3,) float
        Colour of the hair.
    hair_line : float
        Height of the hair line above the eyes, metres; a large one is a bald head.
    beard : bool
        Whether there is a beard.
    plain : bool
        Whether it is a mannequin: one colour, no face.
    seed : int
        Seed of the details.
    """

    owner: bool
    part: str
    offset: Vector
    turn: Vector
    scale: float
    girth: float
    pose: tuple[Vector, ...]
    clothes: Clothes
    skin: Vector
    hair: Vector
    hair_line: float
    beard: bool
    plain: bool
    seed: int
