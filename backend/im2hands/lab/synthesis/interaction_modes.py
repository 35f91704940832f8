"""How two hands of a picture stand to each other: the starting placement and the wanted contacts of each mode.

Everything here is in the *body frame*: x to the person's right, y up, z towards the person, metres, hands around the
origin. A hand is placed by the direction of its fingers, by the direction its palm faces and by its palm's centre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .joint_angles import BEND, COUNT, CUP, LIMITS, SIDE_BEND, TWIST, finger_angle

TWO_HAND_MODES = (
    "apart", "near", "touching", "facing", "clasped", "interlaced", "grasping", "crossed", "behind",
)  # fmt: skip
SINGLE_MODES = ("single", "pinch", "fist")
TOUCHING_MODES = ("touching", "facing", "clasped", "interlaced", "grasping", "crossed")
"""Modes whose hands touch."""

SHARES = {
    "apart": 0.12, "near": 0.10, "touching": 0.16, "facing": 0.12, "clasped": 0.12, "interlaced": 0.14,
    "grasping": 0.12, "crossed": 0.06, "behind": 0.06,
}  # fmt: skip
"""How often each two-hand mode is drawn."""

LEFT, RIGHT = 0, 1
_LOW, _HIGH = LIMITS.numpy().T
_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
_IN = (np.array([1.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0]))
"""Towards the other hand: from the left, from the right."""

# Parts of a hand that can be pulled to parts of the other: names of sphere groups.
TIPS = ("thumb_tip", "index_tip", "middle_tip", "ring_tip", "little_tip")


@dataclass
class Start:
    """Where a scene's hands start and what draws them together.

    Args:
        mode: its name. along: (2, 3) directions of the fingers, palm: (2, 3) where the palms face, unit, body frame.
        place: (2, 3) metres, centres of the palms. angles: (2, 24) radians. freedom: (2, 24) radians, how far angles
            may be pulled from there. pulls: (hand that is pulled, its part, part of the other hand or, if ``within``,
            of the same one, weight). gap: (lowest, highest) metres between the hands, None where they touch.
        elbows: (2, 3) unit directions that the forearms should leave in, zero for any. loose: radians, how far hands
            may turn from where they start. view: (3,) direction the camera should look along, zero for any.
    """

    mode: str
    along: np.ndarray
    palm: np.ndarray
    place: np.ndarray
    angles: np.ndarray
    freedom: np.ndarray = field(default_factory=lambda: np.full((2, COUNT), 0.35))
    pulls: list[tuple[int, str, str, float]] = field(default_factory=list)
    within: list[tuple[int, str, str, float]] = field(default_factory=list)
    gap: tuple[float, float] | None = None
    elbows: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    loose: float = 0.25
    view: np.ndarray = field(default_factory=lambda: np.zeros(3))
    present: tuple[bool, bool] = (True, True)


def draw_mode(rng: np.random.Generator) -> str:
    """One of the two-hand modes."""
    names = list(SHARES)
    return str(rng.choice(names, p=np.array([SHARES[n] for n in names])))


def start(mode: str, rng: np.random.Generator, one_person: bool = True) -> Start:
    """A random starting placement of ``mode``; hands of two persons may come from anywhere."""
    made = _STARTS[mode](rng)
    made.mode = mode
    for hand in (LEFT, RIGHT):
        made.along[hand], made.palm[hand] = _jitter(rng, made.along[hand], made.palm[hand], 0.10)
    made.angles = np.clip(made.angles, _LOW, _HIGH)
    if one_person and mode not in SINGLE_MODES:
        sideways = np.array([-1.0, 1.0])
        reach = np.stack([sideways * rng.uniform(0.4, 1.1), np.full(2, rng.uniform(-1.0, -0.1)), np.full(2, 0.6)], -1)
        made.elbows = reach / np.linalg.norm(reach, axis=1, keepdims=True)
    return made


def any_angles(rng: np.random.Generator, curl: float | None = None, spread: float | None = None) -> np.ndarray:
    """(24,) radians: a hand open (0), closed (1) or between, each finger deviating from the whole.

    A hand without ``curl`` is drawn as a whole, or finger by finger (pointing, counting, horns, ...).
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
    return np.clip(angles, _LOW, _HIGH)


def _both(rng: np.random.Generator, curl: float | None = None, spread: float | None = None) -> np.ndarray:
    return np.stack([any_angles(rng, curl, spread), any_angles(rng, curl, spread)])


def _fingers(angles: np.ndarray, hand: int, flexion: tuple[float, float, float], which: tuple[int, ...]) -> None:
    """Set the three flexions of some fingers of a hand, degrees."""
    for finger in which:
        for joint, degrees in enumerate(flexion):
            angles[hand, finger_angle(finger, joint)] = np.radians(degrees)


def _unit(vector: np.ndarray) -> np.ndarray:
    result: np.ndarray = vector / np.linalg.norm(vector)
    return result


def _square(along: np.ndarray, palm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The palm's direction made perpendicular to the fingers'."""
    along = _unit(along)
    return along, _unit(palm - (palm @ along) * along)


def _turned(axis: np.ndarray, angle: float, vector: np.ndarray) -> np.ndarray:
    axis = _unit(axis)
    result: np.ndarray = (
        vector * np.cos(angle) + np.cross(axis, vector) * np.sin(angle) + axis * (axis @ vector) * (1 - np.cos(angle))
    )
    return result


def _jitter(
    rng: np.random.Generator, along: np.ndarray, palm: np.ndarray, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    turn = spread * rng.standard_normal(3)
    angle = float(np.linalg.norm(turn))
    return _square(_turned(turn, angle, along), _turned(turn, angle, palm))


def _any_direction(rng: np.random.Generator) -> np.ndarray:
    return _unit(rng.standard_normal(3))


def _pose(along: list[np.ndarray], palm: list[np.ndarray], place: list[np.ndarray], angles: np.ndarray) -> Start:
    squared = [_square(np.asarray(a, float), np.asarray(p, float)) for a, p in zip(along, palm, strict=True)]
    return Start("", np.stack([s[0] for s in squared]), np.stack([s[1] for s in squared]), np.stack(place), angles)


def _reaching(rng: np.random.Generator, hand: int, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """A hand held out in front, palm anywhere."""
    along = _unit(np.array([_IN[hand][0] * 0.35, 0.35, -0.8]) + noise * rng.standard_normal(3))
    return _square(along, _any_direction(rng))


def _free(rng: np.random.Generator, low: float, high: float, width: tuple[float, float]) -> Start:
    (d0, n0), (d1, n1) = _reaching(rng, LEFT), _reaching(rng, RIGHT)
    half = rng.uniform(*width) / 2
    offset = np.array([half, *(0.05 * rng.standard_normal(2))])
    made = _pose([d0, d1], [n0, n1], [-offset, offset], _both(rng))
    made.gap, made.loose = (low, high), 0.5
    return made


def _apart(rng: np.random.Generator) -> Start:
    return _free(rng, 0.034, 0.30, (0.20, 0.38))


def _near(rng: np.random.Generator) -> Start:
    low = rng.uniform(0.004, 0.018)
    if rng.uniform() < 0.5:
        made = _free(rng, low, low + 0.006, (0.10, 0.16))
    else:
        made = (_facing if rng.uniform() < 0.5 else _steeple)(rng)
        made.pulls = []
        made.place = made.place * (1.0 + 8 * low)
    made.gap = (low, low + 0.006)
    return made


def _behind(rng: np.random.Generator) -> Start:
    """One hand behind the other as the camera sees them."""
    (d0, n0), (d1, n1) = _reaching(rng, LEFT, 0.9), _reaching(rng, RIGHT, 0.9)
    view = _unit(_FORWARD + 0.5 * rng.standard_normal(3)) * rng.choice([-1.0, 1.0])
    half = view * rng.uniform(0.04, 0.09) + 0.012 * rng.standard_normal(3)
    made = _pose([d0, d1], [n0, n1], [-half, half], _both(rng))
    made.view, made.gap, made.loose = view, (0.005, 0.12), 0.4
    return made


def _upright(rng: np.random.Generator, angle: float, apart: float) -> Start:
    """Palms facing each other, fingers up and away, turned against each other by ``angle``."""
    lean = _unit(np.array([0.0, 1.0, rng.uniform(-1.2, 0.2)]))
    along = [_turned(_IN[hand], sign * angle / 2, lean) for hand, sign in ((LEFT, 1.0), (RIGHT, 1.0))]
    return _pose(along, [_IN[LEFT], _IN[RIGHT]], [-apart / 2 * _IN[LEFT], -apart / 2 * _IN[RIGHT]], _both(rng, 0.08))


def _facing(rng: np.random.Generator) -> Start:
    made = _upright(rng, rng.choice([0.0, 1.0]) * rng.normal(0, 0.5), 0.055)
    curl, spread = rng.choice([0.0, 0.12, 0.3], p=[0.5, 0.3, 0.2]), 6 * rng.standard_normal()
    for hand in (LEFT, RIGHT):
        made.angles[hand] = any_angles(rng, curl, spread)
        made.angles[hand, BEND] = np.radians(rng.normal(-25, 12))
        made.pulls += [(hand, name, "fingers", 0.25) for name in TIPS[1:]]
        made.pulls += [(hand, "palm", "palm", 0.12)] if curl < 0.2 else [(hand, "palm_edges", "hand", 0.3)]
        _fingers(made.angles, hand, (0, 5, 8), (0,))
    made.freedom[:] = 0.25
    return made


def _steeple(rng: np.random.Generator) -> Start:
    """Finger tips against finger tips."""
    made = _upright(rng, 0.2 * rng.standard_normal(), rng.uniform(0.07, 0.11))
    for hand in (LEFT, RIGHT):
        _fingers(made.angles, hand, (rng.uniform(15, 45), rng.uniform(10, 40), rng.uniform(5, 20)), (1, 2, 3, 4))
        made.along[hand] = _unit(made.along[hand] + 0.25 * _IN[hand])
    number = int(rng.integers(1, 6))
    which = rng.permutation(5)[:number] if number < 4 else np.arange(5)
    made.pulls = [(LEFT, TIPS[f], TIPS[f], 2.0) for f in which]
    return made


def _heart(rng: np.random.Generator) -> Start:
    """Bent fingers and thumbs of both hands meet: a heart, a diamond, a ball."""
    made = _upright(rng, 0.0, rng.uniform(0.07, 0.10))
    for hand in (LEFT, RIGHT):
        made.palm[hand] = _unit(np.asarray(_IN[hand]) + np.array([0, -0.7, 0.0]))
        made.along[hand], made.palm[hand] = _square(
            np.array([0.25 * _IN[hand][0], 0.75, -0.4]), np.asarray(made.palm[hand])
        )
        _fingers(made.angles, hand, (rng.uniform(30, 55), rng.uniform(40, 65), rng.uniform(15, 35)), (1, 2, 3, 4))
    made.pulls = [(LEFT, TIPS[f], TIPS[f], 2.0) for f in (0, 1, 2)]
    return made


def _poke(rng: np.random.Generator) -> Start:
    """Some finger tips of one hand on any part of the other."""
    hand = int(rng.integers(2))
    other = 1 - hand
    made = _free(rng, 0, 0, (0.12, 0.16))
    made.gap = None
    made.angles[other] = any_angles(rng, rng.choice([0.05, 0.3, 0.8]))
    finger = int(rng.choice([0, 1, 1, 1, 2]))
    made.angles[hand] = any_angles(rng, rng.uniform(0.4, 0.9))
    _fingers(made.angles, hand, (rng.uniform(10, 40), rng.uniform(5, 30), 8), (finger,))
    target = str(rng.choice(["palm", "palm", "phalanges", "index_tip", "wrist", "thumb_tip"]))
    # The pointing hand starts at a finger's length from the other, its fingers towards it.
    towards = _unit(np.array([_IN[hand][0], 0.2, -0.2]) + 0.5 * rng.standard_normal(3))
    made.along[hand], made.palm[hand] = _square(towards, _unit(_FORWARD * rng.uniform(-1, 1) - _UP))
    made.place[other] = 0
    made.place[hand] = -0.13 * towards
    made.pulls = [(hand, TIPS[finger], target, 4.0)]
    if rng.uniform() < 0.3:
        made.pulls.append((hand, TIPS[0], target, 2.0))
    return made


def _knuckles(rng: np.random.Generator) -> Start:
    """Fist against fist."""
    angles = _both(rng, 0.92, 0.0)
    along = [_unit(np.asarray(_IN[h]) + np.array([0, 0.3, -0.2])) for h in (LEFT, RIGHT)]
    palm = [-_UP if rng.uniform() < 0.7 else np.array([0, 0, 1.0])] * 2
    made = _pose(along, palm, [np.array([-0.085, 0, 0]), np.array([0.085, 0, 0])], angles)
    made.pulls = [(LEFT, "first_phalanges", "first_phalanges", 2.0), (RIGHT, "first_phalanges", "first_phalanges", 2.0)]
    made.within = _fist_pulls(LEFT) + _fist_pulls(RIGHT)
    return made


def _stacked(rng: np.random.Generator) -> Start:
    """A hand flat on the back or in the palm of the other, crosswise or not."""
    upper = int(rng.integers(2))
    lower = 1 - upper
    normal = -_UP if rng.uniform() < 0.5 else np.array([0.0, 0.0, 1.0])
    along = [_unit(np.array([0.8 * _IN[h][0], 0.0, -0.6 * rng.uniform(0.3, 1.5)])) for h in (LEFT, RIGHT)]
    if abs(normal[2]) > 0.5:
        along = [_unit(np.array([0.8 * _IN[h][0], 0.6, 0.0])) for h in (LEFT, RIGHT)]
    palm = [normal, normal]
    palm[lower] = normal * rng.choice([1.0, 1.0, -1.0])
    place = [np.zeros(3), np.zeros(3)]
    place[upper] = -0.036 * normal
    made = _pose(along, palm, place, _both(rng, rng.uniform(0.0, 0.12), 0.0))
    made.pulls = [(upper, "palm", "hand", 0.25), *[(upper, name, "hand", 0.5) for name in TIPS[1:]]]
    return made


def _touching(rng: np.random.Generator) -> Start:
    kinds = (_steeple, _heart, _poke, _knuckles, _stacked)
    return kinds[int(rng.choice(len(kinds), p=[0.25, 0.15, 0.3, 0.1, 0.2]))](rng)


def _clasped(rng: np.random.Generator) -> Start:
    """Palm in palm with the fingers around the other hand's edge, or a fist in a hand."""
    hand = int(rng.integers(2))
    other = 1 - hand
    if rng.uniform() < 0.4:  # a fist in a hand
        made = _upright(rng, 0.0, 0.09)
        made.angles[other] = any_angles(rng, 0.92, 0.0)
        made.along[other], made.palm[other] = _square(
            np.asarray(_IN[other]) + np.array([0, 0.2, -0.3]), _UP * -1.0 if rng.uniform() < 0.5 else -_FORWARD
        )
        made.place[other] = -0.060 * np.asarray(_IN[other])
        made.place[hand] = -0.030 * np.asarray(_IN[hand])
        _fingers(made.angles, hand, (35, 40, 20), (1, 2, 3, 4))
        made.within = _fist_pulls(other)
        made.pulls = [(hand, name, "hand", 1.0) for name in TIPS] + [(hand, "palm", "first_phalanges", 0.3)]
        return made
    made = _upright(rng, rng.uniform(1.0, 1.7), 0.05)
    for h in (LEFT, RIGHT):
        _fingers(made.angles, h, (rng.uniform(40, 60), rng.uniform(30, 55), rng.uniform(10, 30)), (1, 2, 3, 4))
        _fingers(made.angles, h, (5, 5, 10), (0,))
        made.pulls += [(h, name, "hand", 1.0) for name in TIPS] + [(h, "palm", "palm", 0.2)]
    return made


def _interlaced(rng: np.random.Generator) -> Start:
    """Fingers between fingers: folded onto the other hand's back, straight, or only the ends."""
    side = rng.choice([-1.0, 1.0])  # whose index finger lies on top
    kind = int(rng.choice(3, p=[0.45, 0.35, 0.2]))
    half_pitch = side * 0.0115
    pairs = [(f, g) for f in (1, 2, 3, 4) for g in (f, f - int(side)) if 1 <= g <= 4]
    if kind == 0:
        made = _upright(rng, 0.25 * rng.standard_normal(), rng.uniform(0.055, 0.068))
        bend = (rng.uniform(48, 62), rng.uniform(25, 45), rng.uniform(8, 20))
    elif kind == 1:
        made = _upright(rng, 0.2 * rng.standard_normal(), rng.uniform(0.075, 0.09))
        bend = (rng.uniform(35, 45), rng.uniform(5, 15), 5.0)
    else:  # fingers towards each other, palms to the person, away or down
        palm = _unit(np.array([0, rng.uniform(-1, 0.3), rng.choice([-1.0, 1.0])]))
        along = [_unit(np.asarray(_IN[h]) + np.array([0, 0.15, -0.1])) for h in (LEFT, RIGHT)]
        reach = rng.uniform(0.105, 0.125)
        place = [-reach * np.asarray(_IN[h]) for h in (LEFT, RIGHT)]
        made = _pose(along, [palm, palm], place, _both(rng, 0.1))
        bend = (rng.uniform(10, 25), rng.uniform(5, 20), 8.0)
    thumb_side = _thumb_side(made, RIGHT) + _thumb_side(made, LEFT)
    if np.linalg.norm(thumb_side) > 1e-6:
        shift = half_pitch * _unit(thumb_side) / 2
        made.place[LEFT] -= shift
        made.place[RIGHT] += shift
    fan = (13.0, 4.5, -4.5, -13.0)
    for hand in (LEFT, RIGHT):
        _fingers(made.angles, hand, bend, (1, 2, 3, 4))
        _fingers(made.angles, hand, (5, 10, 15), (0,))
        for finger in range(1, 5):
            made.angles[hand, finger_angle(finger, 3)] = np.radians(fan[finger - 1])
        if kind == 0:
            made.pulls += [(hand, name, "palm", 0.8) for name in TIPS[1:]]
        if kind != 2:
            made.pulls += [(hand, "webs", "first_phalanges", 0.15)]
    for f, g in pairs:
        made.pulls.append((RIGHT, f"finger{f}_{'end' if kind == 2 else 'middle'}", f"finger{g}", 0.6))
    made.freedom[:] = 0.3
    return made


def _thumb_side(made: Start, hand: int) -> np.ndarray:
    sign = 1.0 if hand == RIGHT else -1.0
    result: np.ndarray = sign * np.cross(made.along[hand], made.palm[hand])
    return result


def _grasping(rng: np.random.Generator) -> Start:
    """One hand closes around the other's wrist, fingers, one finger, thumb or edge."""
    hand = int(rng.integers(2))
    other = 1 - hand
    sign = np.asarray(_IN[other])[0]
    along = _unit(np.array([sign * rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.8), rng.uniform(-0.9, 0.1)]))
    along, palm = _square(along, _any_direction(rng))
    target = str(rng.choice(["wrist", "four_fingers", "finger", "thumb", "edge"], p=[0.35, 0.2, 0.2, 0.1, 0.15]))
    made = _pose([along, along], [palm, palm], [np.zeros(3), np.zeros(3)], _both(rng, 0.1))
    made.angles[other] = any_angles(rng, None if target == "wrist" else 0.12, 0.0)
    made.angles[other, BEND] *= 0.4
    made.angles[other, SIDE_BEND] *= 0.4
    finger = int(rng.integers(1, 4))
    thumb_side = _thumb_side(made, other)
    if target == "wrist":
        centre, axis, thick, part = -rng.uniform(0.055, 0.10) * along, along, 0.030, "wrist"
        bend = (38.0, 48.0, 25.0)
    elif target == "four_fingers":
        centre, axis, thick, part = 0.085 * along, along, 0.022, "phalanges"
        bend = (50.0, 55.0, 30.0)
    elif target == "finger":
        _fingers(made.angles, other, (60, 70, 45), tuple(f for f in range(1, 5) if f != finger))
        centre = 0.085 * along + (2 - finger) * 0.02 * thumb_side
        axis, thick, part, bend = along, 0.010, f"finger{finger}", (65.0, 75.0, 40.0)
    elif target == "thumb":
        axis = _unit(along + 0.8 * thumb_side)
        _fingers(made.angles, other, (60, 70, 45), (1, 2, 3, 4))
        centre, thick, part, bend = 0.005 * along + 0.065 * thumb_side, 0.011, "thumb", (65.0, 75.0, 40.0)
    else:
        centre, axis, thick, part, bend = -0.02 * thumb_side, along, 0.022, "palm", (50.0, 50.0, 25.0)
    # The grasping palm faces the target from a side that its own forearm can come from.
    away_from = np.array([-np.asarray(_IN[hand])[0] * 0.8, -0.4, 0.4])
    candidates = []
    for angle in rng.uniform(0, 2 * np.pi, 12):
        side = _turned(axis, angle, _unit(np.cross(axis, _any_direction(rng))))
        if target == "edge":
            side = _unit(-thumb_side + 0.2 * rng.standard_normal(3))
        for turn in (-1.0, 1.0):
            fingers = _unit(turn * np.cross(axis, side) + 0.25 * rng.standard_normal() * axis)
            candidates.append((float(fingers @ -_unit(away_from)), fingers, -side, centre + (thick + 0.017) * side))
    best = max(candidates, key=lambda c: c[0] + 0.35 * rng.uniform())
    made.along[hand], made.palm[hand] = _square(best[1], best[2])
    made.place[hand] = best[3] - 0.028 * made.along[hand]
    _fingers(made.angles, hand, bend, (1, 2, 3, 4))
    _fingers(made.angles, hand, (25, 20, 25), (0,))
    made.pulls = [(hand, name, part, 1.0) for name in TIPS]
    made.pulls += [(hand, "phalanges", part, 0.10), (hand, "palm", part, 0.25)]
    made.freedom[hand] = 0.45
    made.freedom[other] = 0.2
    return made


def _crossed(rng: np.random.Generator) -> Start:
    """Wrists or forearms across each other."""
    along = [_unit(np.array([0.9 * _IN[h][0], rng.uniform(0.2, 1.0), rng.uniform(-0.6, 0.0)])) for h in (LEFT, RIGHT)]
    facing = rng.choice([-1.0, 1.0]) * np.array([0, 0, 1.0])
    palm = [_unit(facing + 0.5 * rng.standard_normal(3)) for _ in range(2)]
    depth = rng.choice([-1.0, 1.0]) * 0.026
    arm = rng.uniform(0.055, 0.10)
    place = [along[LEFT] * arm + (0, 0, depth), along[RIGHT] * arm - (0, 0, depth)]
    made = _pose(along, palm, place, _both(rng))
    for hand in (LEFT, RIGHT):
        made.angles[hand, BEND] *= 0.5
        made.angles[hand, SIDE_BEND] *= 0.5
    made.pulls = [(LEFT, "wrist", "wrist", 2.0), (RIGHT, "wrist", "wrist", 2.0)]
    return made


def _fist_pulls(hand: int) -> list[tuple[int, str, str, float]]:
    return [(hand, TIPS[f], "palm", 0.6) for f in (1, 2, 3, 4)] + [(hand, "thumb_tip", "middle_phalanges", 0.8)]


def _alone(rng: np.random.Generator) -> Start:
    hand = int(rng.integers(2))
    d, n = _square(_any_direction(rng), _any_direction(rng))
    made = _pose([d, d], [n, n], [np.zeros(3), np.zeros(3)], _both(rng))
    made.present = (hand == LEFT, hand == RIGHT)
    return made


def _pinch(rng: np.random.Generator) -> Start:
    made = _alone(rng)
    hand = LEFT if made.present[LEFT] else RIGHT
    made.angles[hand] = any_angles(rng, rng.choice([0.1, 0.35, 0.7]))
    number = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    first = int(rng.integers(1, 6 - number))
    for finger in range(first, first + number):
        _fingers(made.angles, hand, (45, 45, 25), (finger,))
        made.within.append((hand, TIPS[finger], "thumb_tip", 6.0))
    _fingers(made.angles, hand, (20, 20, 20), (0,))
    made.freedom[hand] = 0.5
    return made


def _fist(rng: np.random.Generator) -> Start:
    made = _alone(rng)
    hand = LEFT if made.present[LEFT] else RIGHT
    made.angles[hand] = any_angles(rng, 0.92, 0.0)
    _fingers(made.angles, hand, (30, 35, 40), (0,))
    made.within = _fist_pulls(hand)
    return made


_STARTS: dict[str, Callable[[np.random.Generator], Start]] = {
    "apart": _apart,
    "near": _near,
    "touching": _touching,
    "facing": _facing,
    "clasped": _clasped,
    "interlaced": _interlaced,
    "grasping": _grasping,
    "crossed": _crossed,
    "behind": _behind,
    "single": _alone,
    "pinch": _pinch,
    "fist": _fist,
}
