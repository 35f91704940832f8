"""Starting placement of the hands of a scene, and the helpers that the modes build it with.

Everything is in the *body frame*: x to the person's right, y up, z towards the person, in metres, with the hands around
the origin. A hand is placed by the direction of its fingers, the direction that its palm faces and its palm's centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from im2hands.lab.synthesis.joint_angles import BEND, COUNT, CUP, LIMITS, SIDE_BEND, TWIST, finger_angle

LEFT, RIGHT = 0, 1
UP, FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
INWARD = (np.array([1.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0]))
"""Direction towards the other hand, for the left and the right hand."""
TIPS = ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "little_tip")
"""Names of the finger tips among the parts of a hand."""

Pull = tuple[int, str, str, float]
"""A wanted contact: the hand that is pulled, its part, the part it is pulled to, and the weight.

The parts are the names that ``sphere_forces.sphere_groups`` knows.
"""

_LOW, _HIGH = LIMITS.numpy().T


@dataclass
class Start:
    """Starting placement of a scene's hands, and the contacts that pull them together. Row 0 is the left hand.

    Parameters
    ----------
    mode : str
        Name of the interaction mode.
    along : (2, 3) float64
        Unit directions of the fingers, body frame.
    palm : (2, 3) float64
        Unit directions that the palms face, body frame, perpendicular to ``along``.
    place : (2, 3) float64
        Centres of the palms, metres, body frame.
    angles : (2, 24) float64
        Joint angles in radians, in the order of ``joint_angles``.
    freedom : (2, 24) float64
        Scale in radians of the prior on each angle: a larger value lets the angle move further from its start.
    pulls : list of Pull
        Wanted contacts between the hands: a part of the pulled hand and a part of the other hand.
    within : list of Pull
        Wanted contacts within one hand: both parts belong to the pulled hand.
    gap : (float, float) or None
        Lowest and highest distance between the hands in metres. None means that the hands touch.
    elbows : (2, 3) float64
        Unit directions from the wrist towards the elbow that the forearms should keep, body frame. Zero means any.
    loose : float
        Scale in radians of the prior on the rotation of each hand from its start.
    view : (3,) float64
        Direction that the camera should look in, body frame. Zero means any.
    present : (bool, bool)
        Which hands are in the scene.
    """

    mode: str
    along: np.ndarray
    palm: np.ndarray
    place: np.ndarray
    angles: np.ndarray
    freedom: np.ndarray = field(default_factory=lambda: np.full((2, COUNT), 0.35))
    pulls: list[Pull] = field(default_factory=list)
    within: list[Pull] = field(default_factory=list)
    gap: tuple[float, float] | None = None
    elbows: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    loose: float = 0.25
    view: np.ndarray = field(default_factory=lambda: np.zeros(3))
    present: tuple[bool, bool] = (True, True)


def random_angles(rng: np.random.Generator, curl: float | None = None, spread: float | None = None) -> np.ndarray:
    """Draw the joint angles of one hand: open, closed or between, with each finger a little different from the rest.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    curl : float or None
        How far the hand is closed: 0 is open, 1 is a fist. None draws it, for the whole hand or for each finger alone
        (pointing, counting, ...).
    spread : float or None
        How far the fingers are spread, degrees. None draws it.

    Returns
    -------
    (24,) float64
        Angles in radians, within ``joint_angles.LIMITS``.
    """
    angles = np.zeros(COUNT)
    whole = rng.uniform() ** 1.5 if curl is None else curl
    fingers = np.full(5, whole)
    if curl is None and rng.uniform() < 0.45:
        fingers = np.where(rng.uniform(size=5) < 0.5, rng.uniform(0, 0.25, 5), rng.uniform(0.6, 1.0, 5))
    fingers = np.clip(fingers + 0.07 * rng.standard_normal(5), 0, 1)
    claw = 0.15 * rng.standard_normal()
    fan = np.radians(8 * rng.standard_normal() if spread is None else spread)
    for finger in range(1, 5):
        c = fingers[finger]
        middle = np.clip(c + claw + 0.06 * rng.standard_normal(), 0, 1)
        angles[finger_angle(finger, 0)] = np.radians(-8 + 92 * np.clip(c - claw, 0, 1) + 6 * rng.standard_normal())
        angles[finger_angle(finger, 1)] = np.radians(2 + 98 * middle)
        angles[finger_angle(finger, 2)] = np.radians(68 * middle * rng.uniform(0.6, 1.0) + 4 * rng.standard_normal())
        angles[finger_angle(finger, 3)] = (fan * (2.5 - finger) / 1.5 + np.radians(2 * rng.standard_normal())) * (
            1 - 0.75 * c
        )
    angles[finger_angle(0, 0)] = np.radians(-5 + 35 * fingers[0] + 10 * rng.standard_normal())
    angles[finger_angle(0, 1)] = np.radians(-5 + 40 * fingers[0] + 10 * rng.standard_normal())
    angles[finger_angle(0, 2)] = np.radians(5 + 40 * rng.uniform() * fingers[0] + 8 * rng.standard_normal())
    angles[finger_angle(0, 3)] = np.radians(10 * rng.standard_normal())
    angles[CUP] = np.radians(8 * fingers[4] * rng.uniform())
    angles[BEND] = np.radians(np.clip(18 * rng.standard_normal(), -45, 45))
    angles[SIDE_BEND] = np.radians(np.clip(8 * rng.standard_normal(), -18, 18))
    angles[TWIST] = np.radians(np.clip(10 * rng.standard_normal(), -25, 25))
    return within_limits(angles)


def within_limits(angles: np.ndarray) -> np.ndarray:
    """Return angles (..., 24) in radians, clipped to ``joint_angles.LIMITS``."""
    clipped: np.ndarray = np.clip(angles, _LOW, _HIGH)
    return clipped


def both_angles(rng: np.random.Generator, curl: float | None = None, spread: float | None = None) -> np.ndarray:
    """Draw the angles (2, 24) of both hands; arguments as for ``random_angles``."""
    return np.stack([random_angles(rng, curl, spread), random_angles(rng, curl, spread)])


def set_flexion(angles: np.ndarray, hand: int, flexion: tuple[float, float, float], which: tuple[int, ...]) -> None:
    """Set the flexions of some fingers of one hand, in place.

    Parameters
    ----------
    angles : (2, 24) float64
        Joint angles of both hands, radians.
    hand : int
        ``LEFT`` or ``RIGHT``.
    flexion : (float, float, float)
        Flexions of the first, second and third joint, degrees.
    which : tuple of int
        Fingers, 0 thumb to 4 little finger.
    """
    for finger in which:
        for joint, degrees in enumerate(flexion):
            angles[hand, finger_angle(finger, joint)] = np.radians(degrees)


def unit(vector: np.ndarray) -> np.ndarray:
    """Return the vector (3,) with length 1."""
    result: np.ndarray = vector / np.linalg.norm(vector)
    return result


def perpendicular(along: np.ndarray, palm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit ``along`` (3,), and unit ``palm`` (3,) made perpendicular to it."""
    along = unit(along)
    return along, unit(palm - (palm @ along) * along)


def rotated(axis: np.ndarray, angle: float, vector: np.ndarray) -> np.ndarray:
    """Rotate a vector (Rodrigues).

    Parameters
    ----------
    axis : (3,) float64
        Axis, of any length.
    angle : float
        Angle, radians.
    vector : (3,) float64
        The vector.

    Returns
    -------
    (3,) float64
        The rotated vector.
    """
    axis = unit(axis)
    result: np.ndarray = (
        vector * np.cos(angle) + np.cross(axis, vector) * np.sin(angle) + axis * (axis @ vector) * (1 - np.cos(angle))
    )
    return result


def jittered(
    rng: np.random.Generator, along: np.ndarray, palm: np.ndarray, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate a hand's two directions together by a random rotation.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    along : (3,) float64
        Direction of the fingers.
    palm : (3,) float64
        Direction that the palm faces.
    spread : float
        Standard deviation of each component of the rotation vector, radians.

    Returns
    -------
    along : (3,) float64
        Rotated direction of the fingers, unit.
    palm : (3,) float64
        Rotated direction that the palm faces, unit and perpendicular to ``along``.
    """
    turn = spread * rng.standard_normal(3)
    angle = float(np.linalg.norm(turn))
    return perpendicular(rotated(turn, angle, along), rotated(turn, angle, palm))


def random_direction(rng: np.random.Generator) -> np.ndarray:
    """Draw a unit vector (3,), uniform on the sphere."""
    return unit(rng.standard_normal(3))


def placed(along: list[np.ndarray], palm: list[np.ndarray], place: list[np.ndarray], angles: np.ndarray) -> Start:
    """Build a placement from directions that need not be unit or perpendicular. Each list has the left hand first.

    Parameters
    ----------
    along : list of (3,) float64
        Directions of the fingers, body frame.
    palm : list of (3,) float64
        Directions that the palms face, body frame.
    place : list of (3,) float64
        Palm centres, metres, body frame.
    angles : (2, 24) float64
        Joint angles, radians.

    Returns
    -------
    Start
        The placement, without a mode or contacts.
    """
    squared = [perpendicular(np.asarray(a, float), np.asarray(p, float)) for a, p in zip(along, palm, strict=True)]
    return Start("", np.stack([s[0] for s in squared]), np.stack([s[1] for s in squared]), np.stack(place), angles)


def reaching(rng: np.random.Generator, hand: int, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Draw the directions of a hand that is held out in front; its palm faces anywhere.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    hand : int
        ``LEFT`` or ``RIGHT``.
    noise : float
        Standard deviation of each component that is added to the direction of the fingers.

    Returns
    -------
    along : (3,) float64
        Unit direction of the fingers, body frame.
    palm : (3,) float64
        Unit direction that the palm faces, body frame, perpendicular to ``along``.
    """
    along = unit(np.array([INWARD[hand][0] * 0.35, 0.35, -0.8]) + noise * rng.standard_normal(3))
    return perpendicular(along, random_direction(rng))


def free(rng: np.random.Generator, low: float, high: float, width: tuple[float, float]) -> Start:
    """Draw two hands in front of the body that do not touch.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the random numbers.
    low : float
        Least gap between the hands, metres.
    high : float
        Largest gap between the hands, metres.
    width : (float, float)
        Least and largest starting distance of the palm centres in x, metres.

    Returns
    -------
    Start
        The placement.
    """
    (d0, n0), (d1, n1) = reaching(rng, LEFT), reaching(rng, RIGHT)
    half = rng.uniform(*width) / 2
    offset = np.array([half, *(0.05 * rng.standard_normal(2))])
    made = placed([d0, d1], [n0, n1], [-offset, offset], both_angles(rng))
    made.gap, made.loose = (low, high), 0.5
    return made


def thumb_direction(made: Start, hand: int) -> np.ndarray:
    """Return the direction (3,) across the palm towards the thumb."""
    sign = 1.0 if hand == RIGHT else -1.0
    result: np.ndarray = sign * np.cross(made.along[hand], made.palm[hand])
    return result


def fist_pulls(hand: int) -> list[Pull]:
    """Return the contacts that close a fist: finger tips to the palm, the thumb's tip to the middle phalanges."""
    return [(hand, TIPS[f], "palm", 0.6) for f in (1, 2, 3, 4)] + [(hand, "thumb_tip", "middle_phalanges", 0.8)]
