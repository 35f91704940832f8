"""Places the detected hands of a picture in the camera frame, in metres: one optimisation for both hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection

from .chain import Hands
from .confidence import Calibration, bundled_calibration
from .kinematics import ANGLE_LIMITS, canonical_rotation
from .levenberg import minimise
from .observation import Observation, depth_between, evidence, observe
from .outline import moved_onto_edges
from .rigid import MINIMUM_DEPTH_M
from .terms import USUAL_SHAPE, of_each_hand, of_pairs
from .thickness import common_thickness, with_thickness

DEFAULT_PALM_M = 0.088
"""Distance from wrist to middle MCP of an average hand, metres."""

# Steps of each hand from its starting poses, and of both hands together.
_STEPS, _STEPS_OF_BOTH = 24, 24
_CLOSED = (55.0, 70.0, 40.0)  # degrees; flexions of a half closed hand
_PALM_POINTS = (0, 1, 5, 9, 13, 17)
_DOUBTFUL = 0.5
"""Factor on the confidence of hands for which the optimisation did not converge."""


def place_hands(
    detections: Sequence[HandDetection],
    camera: Camera,
    palm_m: float = DEFAULT_PALM_M,
    calibration: Calibration | None = None,
) -> TwoHands:
    """Place the hands of one picture in the camera frame.

    Each hand is an anatomically possible one of about the size ``palm_m``. First each is moved onto its edge in the
    picture, which tells how far its pixels as a whole are off. Then both are found together: they project to these
    pixels, resemble the detected shapes, lie at the distances that their sizes and the networks tell, are alike, and do
    not lie in each other.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        The detected hands. Of several with one side the one with the highest score is used.
    camera : Camera
        Camera of the picture that the detections' pixels refer to.
    palm_m : float
        Distance from wrist to middle MCP, metres; usual for both hands and the whole take.
    calibration : Calibration or None
        Tables from raw certainty to confidence. None for those that ship.

    Returns
    -------
    TwoHands
        Positions (21, 3) in metres, camera frame. A detection is left out if its shape or pixels have no extent or are
        not finite.
    """
    chosen = chosen_hands(detections, camera, palm_m, calibration or bundled_calibration())
    if not chosen:
        return TwoHands()
    hands, observations, converged = _solve(list(chosen.values()))
    made = {
        seen.detection.side: placed_hand(seen, places * seen.mirror, converged)
        for seen, places in zip(observations, hands.keypoints(), strict=True)
    }
    return TwoHands(**{side: made.get(side) for side in SIDES})


def chosen_hands(
    detections: Sequence[HandDetection], camera: Camera, palm_m: float, calibration: Calibration
) -> dict[Side, Observation]:
    """Prepare the detections of a picture.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        The detected hands.
    camera : Camera
        Camera of the picture.
    palm_m : float
        Distance from wrist to middle MCP, metres.
    calibration : Calibration
        Tables from raw certainty to confidence.

    Returns
    -------
    dict[Side, Observation]
        At most one hand of each side, left first; of several the one with the highest score.
    """
    chosen: dict[Side, Observation] = {}
    for detection in sorted(detections, key=lambda d: d.score):
        seen = observe(detection, camera, palm_m, calibration)
        if seen is not None:
            chosen[detection.side] = seen
    return {side: chosen[side] for side in SIDES if side in chosen}


def placed_hand(seen: Observation, positions: np.ndarray, converged: bool) -> HandKeypoints:
    """Return a placed hand as a take has it.

    Parameters
    ----------
    seen : Observation
        The observed hand.
    positions : (21, 3) float64
        Its keypoints, metres, camera frame.
    converged : bool
        Whether the optimisation converged; if not, the hand is doubtful.

    Returns
    -------
    HandKeypoints
        The hand. If the positions are not finite or behind the camera, it is doubtful and has the rigidly placed shape.
    """
    sure = 1.0 if converged else _DOUBTFUL
    if not np.isfinite(positions).all() or positions[:, 2].min() < MINIMUM_DEPTH_M:
        positions, sure = seen.rigid, _DOUBTFUL
    one = seen.detection
    thickness = float(np.exp(seen.thickness))
    return HandKeypoints(one.side, positions, seen.pixels, sure * seen.confidence, one.score, one.source, thickness)


def _solve(observations: Sequence[Observation]) -> tuple[Hands, list[Observation], bool]:
    """Return the hands of a picture, left hands mirrored, as observed, and whether the optimisation converged."""
    others = np.array([1, 0]) if len(observations) == 2 else np.full(len(observations), -1)
    alone, observations, converged = place_on_edges(observations, others)
    found = [np.array([seen.edge_thickness]) for seen in observations]
    observations = with_thickness(observations, common_thickness(found))
    if len(observations) == 1:
        return alone, observations, bool(converged.all())
    seen, between = evidence(observations), depth_between([(observations[0], observations[1])])
    both, _, converged = minimise(alone, 1, lambda hands, _: of_pairs(hands, seen, between), _STEPS_OF_BOTH)
    return both, observations, bool(converged.all())


def place_each(observations: Sequence[Observation]) -> tuple[Hands, np.ndarray]:
    """Place N hands, each by itself: the better result of two starting poses.

    Parameters
    ----------
    observations : Sequence[Observation]
        The hands.

    Returns
    -------
    hands : Hands
        The hands; left hands are mirrored.
    converged : (N,) bool
        Whether the optimisation of each converged.
    """
    count = len(observations)
    seen = evidence(observations).rows(np.tile(np.arange(count), 2))
    found, cost, converged = minimise(
        _starts(observations), 2 * count, lambda hands, rows: of_each_hand(hands, seen.rows(rows)), _STEPS
    )
    best = np.where(cost[:count] <= cost[count:], np.arange(count), count + np.arange(count))
    return found.rows(best), converged[best]


def place_on_edges(
    observations: Sequence[Observation], others: np.ndarray
) -> tuple[Hands, list[Observation], np.ndarray]:
    """Place N hands, each by itself, and move them onto their edges in the picture.

    Parameters
    ----------
    observations : Sequence[Observation]
        The hands.
    others : (N,) int64
        Number of the other hand in the same picture; -1 without one.

    Returns
    -------
    hands : Hands
        The hands; left hands are mirrored.
    observations : list of Observation
        The hands as observed, with the shifts that their edges demand and the thickness that they show.
    converged : (N,) bool
        Whether the optimisation of each, before it was moved, converged.
    """
    alone, converged = place_each(observations)
    hands, shifts, thickness = moved_onto_edges(alone, observations, others)
    shown = [
        replace(seen, shift=shift, edge_thickness=float(thick))
        for seen, shift, thick in zip(observations, shifts, thickness, strict=True)
    ]
    return hands, shown, converged


def _starts(observations: Sequence[Observation]) -> Hands:
    """Return two starting poses of N hands, first all open, then all half closed, placed like the shapes' palms."""
    shapes = np.stack([seen.rigid * seen.mirror for seen in observations])
    count = len(shapes)
    turns = np.stack([canonical_rotation(shape) for shape in shapes])
    usual = ANGLE_LIMITS[..., 2]
    closed = usual.copy()
    closed[1:, :3] = np.radians(_CLOSED)
    hands = Hands(
        np.concatenate([turns, turns]),
        np.zeros((2 * count, 3)),
        np.repeat(np.stack([usual, closed]), count, axis=0),
        np.tile([seen.palm_m for seen in observations], 2),
        np.tile(USUAL_SHAPE, (2 * count, 1)),
    )
    palms = list(_PALM_POINTS)
    hands.translation[:] = (np.concatenate([shapes, shapes])[:, palms] - hands.keypoints()[:, palms]).mean(axis=1)
    return hands
