"""Modes of two hands that touch."""

from __future__ import annotations

import numpy as np

from im2hands.lab.synthesis.joint_angles import BEND, SIDE_BEND, finger_angle

from .placement import (
    FORWARD,
    INWARD,
    LEFT,
    RIGHT,
    TIPS,
    UP,
    Start,
    both_angles,
    fist_pulls,
    free,
    perpendicular,
    placed,
    random_angles,
    random_direction,
    rotated,
    set_flexion,
    thumb_direction,
    unit,
)


def touching(rng: np.random.Generator) -> Start:
    """Draw one of the light contacts: steeple, heart, poke, fist against fist, or flat hands on each other."""
    kinds = (steeple, _heart, _poke, _knuckles, _stacked)
    return kinds[int(rng.choice(len(kinds), p=[0.25, 0.15, 0.3, 0.1, 0.2]))](rng)


def steeple(rng: np.random.Generator) -> Start:
    """Draw hands whose finger tips touch, finger by finger."""
    made = _upright(rng, 0.2 * rng.standard_normal(), rng.uniform(0.07, 0.11))
    for hand in (LEFT, RIGHT):
        set_flexion(made.angles, hand, (rng.uniform(15, 45), rng.uniform(10, 40), rng.uniform(5, 20)), (1, 2, 3, 4))
        made.along[hand] = unit(made.along[hand] + 0.25 * INWARD[hand])
    number = int(rng.integers(1, 6))
    which = rng.permutation(5)[:number] if number < 4 else np.arange(5)
    made.pulls = [(LEFT, TIPS[f], TIPS[f], 2.0) for f in which]
    return made


def _heart(rng: np.random.Generator) -> Start:
    """Draw hands whose bent fingers and thumbs meet: a heart, a diamond, a ball."""
    made = _upright(rng, 0.0, rng.uniform(0.07, 0.10))
    for hand in (LEFT, RIGHT):
        made.palm[hand] = unit(np.asarray(INWARD[hand]) + np.array([0, -0.7, 0.0]))
        made.along[hand], made.palm[hand] = perpendicular(
            np.array([0.25 * INWARD[hand][0], 0.75, -0.4]), np.asarray(made.palm[hand])
        )
        set_flexion(made.angles, hand, (rng.uniform(30, 55), rng.uniform(40, 65), rng.uniform(15, 35)), (1, 2, 3, 4))
    made.pulls = [(LEFT, TIPS[f], TIPS[f], 2.0) for f in (0, 1, 2)]
    return made


def _poke(rng: np.random.Generator) -> Start:
    """Draw one or two finger tips of one hand on a part of the other."""
    hand = int(rng.integers(2))
    other = 1 - hand
    made = free(rng, 0, 0, (0.12, 0.16))
    made.gap = None
    made.angles[other] = random_angles(rng, rng.choice([0.05, 0.3, 0.8]))
    finger = int(rng.choice([0, 1, 1, 1, 2]))
    made.angles[hand] = random_angles(rng, rng.uniform(0.4, 0.9))
    set_flexion(made.angles, hand, (rng.uniform(10, 40), rng.uniform(5, 30), 8), (finger,))
    target = str(rng.choice(["palm", "palm", "phalanges", "index_tip", "wrist", "thumb_tip"]))
    # The pointing hand starts at a finger's length from the other, its fingers towards it.
    towards = unit(np.array([INWARD[hand][0], 0.2, -0.2]) + 0.5 * rng.standard_normal(3))
    made.along[hand], made.palm[hand] = perpendicular(towards, unit(FORWARD * rng.uniform(-1, 1) - UP))
    made.place[other] = 0
    made.place[hand] = -0.13 * towards
    made.pulls = [(hand, TIPS[finger], target, 4.0)]
    if rng.uniform() < 0.3:
        made.pulls.append((hand, TIPS[0], target, 2.0))
    return made


def _knuckles(rng: np.random.Generator) -> Start:
    """Draw a fist against a fist."""
    angles = both_angles(rng, 0.92, 0.0)
    along = [unit(np.asarray(INWARD[h]) + np.array([0, 0.3, -0.2])) for h in (LEFT, RIGHT)]
    palm = [-UP if rng.uniform() < 0.7 else np.array([0, 0, 1.0])] * 2
    made = placed(along, palm, [np.array([-0.085, 0, 0]), np.array([0.085, 0, 0])], angles)
    made.pulls = [(LEFT, "first_phalanges", "first_phalanges", 2.0), (RIGHT, "first_phalanges", "first_phalanges", 2.0)]
    made.within = fist_pulls(LEFT) + fist_pulls(RIGHT)
    return made


def _stacked(rng: np.random.Generator) -> Start:
    """Draw a hand flat on the back or in the palm of the other, at any angle."""
    upper = int(rng.integers(2))
    lower = 1 - upper
    normal = -UP if rng.uniform() < 0.5 else np.array([0.0, 0.0, 1.0])
    along = [unit(np.array([0.8 * INWARD[h][0], 0.0, -0.6 * rng.uniform(0.3, 1.5)])) for h in (LEFT, RIGHT)]
    if abs(normal[2]) > 0.5:
        along = [unit(np.array([0.8 * INWARD[h][0], 0.6, 0.0])) for h in (LEFT, RIGHT)]
    palm = [normal, normal]
    palm[lower] = normal * rng.choice([1.0, 1.0, -1.0])
    place = [np.zeros(3), np.zeros(3)]
    place[upper] = -0.036 * normal
    made = placed(along, palm, place, both_angles(rng, rng.uniform(0.0, 0.12), 0.0))
    made.pulls = [(upper, "palm", "hand", 0.25), *[(upper, name, "hand", 0.5) for name in TIPS[1:]]]
    return made


def facing(rng: np.random.Generator) -> Start:
    """Draw palms that face each other, flat or slightly curled."""
    made = _upright(rng, rng.choice([0.0, 1.0]) * rng.normal(0, 0.5), 0.055)
    curl, spread = rng.choice([0.0, 0.12, 0.3], p=[0.5, 0.3, 0.2]), 6 * rng.standard_normal()
    for hand in (LEFT, RIGHT):
        made.angles[hand] = random_angles(rng, curl, spread)
        made.angles[hand, BEND] = np.radians(rng.normal(-25, 12))
        made.pulls += [(hand, name, "fingers", 0.25) for name in TIPS[1:]]
        made.pulls += [(hand, "palm", "palm", 0.12)] if curl < 0.2 else [(hand, "palm_edges", "hand", 0.3)]
        set_flexion(made.angles, hand, (0, 5, 8), (0,))
    made.freedom[:] = 0.25
    return made


def clasped(rng: np.random.Generator) -> Start:
    """Draw palm against palm with the fingers around the other hand's edge, or a fist in a hand."""
    hand = int(rng.integers(2))
    other = 1 - hand
    if rng.uniform() < 0.4:  # a fist in a hand
        made = _upright(rng, 0.0, 0.09)
        made.angles[other] = random_angles(rng, 0.92, 0.0)
        made.along[other], made.palm[other] = perpendicular(
            np.asarray(INWARD[other]) + np.array([0, 0.2, -0.3]), UP * -1.0 if rng.uniform() < 0.5 else -FORWARD
        )
        made.place[other] = -0.060 * np.asarray(INWARD[other])
        made.place[hand] = -0.030 * np.asarray(INWARD[hand])
        set_flexion(made.angles, hand, (35, 40, 20), (1, 2, 3, 4))
        made.within = fist_pulls(other)
        made.pulls = [(hand, name, "hand", 1.0) for name in TIPS] + [(hand, "palm", "first_phalanges", 0.3)]
        return made
    made = _upright(rng, rng.uniform(1.0, 1.7), 0.05)
    for h in (LEFT, RIGHT):
        set_flexion(made.angles, h, (rng.uniform(40, 60), rng.uniform(30, 55), rng.uniform(10, 30)), (1, 2, 3, 4))
        set_flexion(made.angles, h, (5, 5, 10), (0,))
        made.pulls += [(h, name, "hand", 1.0) for name in TIPS] + [(h, "palm", "palm", 0.2)]
    return made


def interlaced(rng: np.random.Generator) -> Start:
    """Draw fingers between fingers: folded onto the other hand's back, straight, or with the ends only."""
    side = rng.choice([-1.0, 1.0])  # which hand's index finger is the outermost
    kind = int(rng.choice(3, p=[0.45, 0.35, 0.2]))
    half_pitch = side * 0.0115
    pairs = [(f, g) for f in (1, 2, 3, 4) for g in (f, f - int(side)) if 1 <= g <= 4]
    if kind == 0:
        made = _upright(rng, 0.25 * rng.standard_normal(), rng.uniform(0.055, 0.068))
        bend = (rng.uniform(48, 62), rng.uniform(25, 45), rng.uniform(8, 20))
    elif kind == 1:
        made = _upright(rng, 0.2 * rng.standard_normal(), rng.uniform(0.075, 0.09))
        bend = (rng.uniform(35, 45), rng.uniform(5, 15), 5.0)
    else:  # the hands point at each other; both palms face the person, away from the person, or partly down
        palm = unit(np.array([0, rng.uniform(-1, 0.3), rng.choice([-1.0, 1.0])]))
        along = [unit(np.asarray(INWARD[h]) + np.array([0, 0.15, -0.1])) for h in (LEFT, RIGHT)]
        reach = rng.uniform(0.105, 0.125)
        place = [-reach * np.asarray(INWARD[h]) for h in (LEFT, RIGHT)]
        made = placed(along, [palm, palm], place, both_angles(rng, 0.1))
        bend = (rng.uniform(10, 25), rng.uniform(5, 20), 8.0)
    thumb_side = thumb_direction(made, RIGHT) + thumb_direction(made, LEFT)
    if np.linalg.norm(thumb_side) > 1e-6:
        shift = half_pitch * unit(thumb_side) / 2
        made.place[LEFT] -= shift
        made.place[RIGHT] += shift
    fan = (13.0, 4.5, -4.5, -13.0)
    for hand in (LEFT, RIGHT):
        set_flexion(made.angles, hand, bend, (1, 2, 3, 4))
        set_flexion(made.angles, hand, (5, 10, 15), (0,))
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


def grasping(rng: np.random.Generator) -> Start:
    """Draw one hand that closes around the other's wrist, four fingers, one finger, thumb or edge."""
    hand = int(rng.integers(2))
    other = 1 - hand
    sign = np.asarray(INWARD[other])[0]
    along = unit(np.array([sign * rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.8), rng.uniform(-0.9, 0.1)]))
    along, palm = perpendicular(along, random_direction(rng))
    target = str(rng.choice(["wrist", "four_fingers", "finger", "thumb", "edge"], p=[0.35, 0.2, 0.2, 0.1, 0.15]))
    made = placed([along, along], [palm, palm], [np.zeros(3), np.zeros(3)], both_angles(rng, 0.1))
    made.angles[other] = random_angles(rng, None if target == "wrist" else 0.12, 0.0)
    made.angles[other, BEND] *= 0.4
    made.angles[other, SIDE_BEND] *= 0.4
    finger = int(rng.integers(1, 4))
    thumb_side = thumb_direction(made, other)
    if target == "wrist":
        centre, axis, thick, part = -rng.uniform(0.055, 0.10) * along, along, 0.030, "wrist"
        bend = (38.0, 48.0, 25.0)
    elif target == "four_fingers":
        centre, axis, thick, part = 0.085 * along, along, 0.022, "phalanges"
        bend = (50.0, 55.0, 30.0)
    elif target == "finger":
        set_flexion(made.angles, other, (60, 70, 45), tuple(f for f in range(1, 5) if f != finger))
        centre = 0.085 * along + (2 - finger) * 0.02 * thumb_side
        axis, thick, part, bend = along, 0.010, f"finger{finger}", (65.0, 75.0, 40.0)
    elif target == "thumb":
        axis = unit(along + 0.8 * thumb_side)
        set_flexion(made.angles, other, (60, 70, 45), (1, 2, 3, 4))
        centre, thick, part, bend = 0.005 * along + 0.065 * thumb_side, 0.011, "thumb", (65.0, 75.0, 40.0)
    else:
        centre, axis, thick, part, bend = -0.02 * thumb_side, along, 0.022, "palm", (50.0, 50.0, 25.0)
    # Of random sides of the target, take one from which the grasping hand's forearm can reach it.
    away_from = np.array([-np.asarray(INWARD[hand])[0] * 0.8, -0.4, 0.4])
    candidates = []
    for angle in rng.uniform(0, 2 * np.pi, 12):
        side = rotated(axis, angle, unit(np.cross(axis, random_direction(rng))))
        if target == "edge":
            side = unit(-thumb_side + 0.2 * rng.standard_normal(3))
        for turn in (-1.0, 1.0):
            fingers = unit(turn * np.cross(axis, side) + 0.25 * rng.standard_normal() * axis)
            candidates.append((float(fingers @ -unit(away_from)), fingers, -side, centre + (thick + 0.017) * side))
    best = max(candidates, key=lambda c: c[0] + 0.35 * rng.uniform())
    made.along[hand], made.palm[hand] = perpendicular(best[1], best[2])
    made.place[hand] = best[3] - 0.028 * made.along[hand]
    set_flexion(made.angles, hand, bend, (1, 2, 3, 4))
    set_flexion(made.angles, hand, (25, 20, 25), (0,))
    made.pulls = [(hand, name, part, 1.0) for name in TIPS]
    made.pulls += [(hand, "phalanges", part, 0.10), (hand, "palm", part, 0.25)]
    made.freedom[hand] = 0.45
    made.freedom[other] = 0.2
    return made


def crossed(rng: np.random.Generator) -> Start:
    """Draw wrists or forearms that lie across each other."""
    along = [unit(np.array([0.9 * INWARD[h][0], rng.uniform(0.2, 1.0), rng.uniform(-0.6, 0.0)])) for h in (LEFT, RIGHT)]
    side = rng.choice([-1.0, 1.0]) * np.array([0, 0, 1.0])
    palm = [unit(side + 0.5 * rng.standard_normal(3)) for _ in range(2)]
    depth = rng.choice([-1.0, 1.0]) * 0.026
    arm = rng.uniform(0.055, 0.10)
    place = [along[LEFT] * arm + (0, 0, depth), along[RIGHT] * arm - (0, 0, depth)]
    made = placed(along, palm, place, both_angles(rng))
    for hand in (LEFT, RIGHT):
        made.angles[hand, BEND] *= 0.5
        made.angles[hand, SIDE_BEND] *= 0.5
    made.pulls = [(LEFT, "wrist", "wrist", 2.0), (RIGHT, "wrist", "wrist", 2.0)]
    return made


def _upright(rng: np.random.Generator, angle: float, apart: float) -> Start:
    """Place palms that face each other at the distance ``apart`` in metres, with the fingers up.

    The hands are rotated against each other by ``angle`` radians about the normal of the palms.
    """
    lean = unit(np.array([0.0, 1.0, rng.uniform(-1.2, 0.2)]))
    along = [rotated(INWARD[hand], sign * angle / 2, lean) for hand, sign in ((LEFT, 1.0), (RIGHT, 1.0))]
    return placed(
        along,
        [INWARD[LEFT], INWARD[RIGHT]],
        [-apart / 2 * INWARD[LEFT], -apart / 2 * INWARD[RIGHT]],
        both_angles(rng, 0.08),
    )
