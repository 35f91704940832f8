"""Places the hands of a clip: one shape for the take, then the poses of all frames together, in windows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection

from .chain import Hands
from .confidence import Calibration, bundled_calibration
from .kinematics import PARAMETERS, POSE, THICKNESS
from .levenberg import minimise
from .motion import LIVELY, FramesSums
from .observation import Observation, depth_between, evidence
from .solve import DEFAULT_PALM_M, chosen_hands, place_on_edges, placed_hand
from .sums import Sums
from .terms import ALIKE_SPREAD, SHAPE_SPREAD, USUAL_SHAPE, Evidence, of_being_two, of_each_hand
from .thickness import common_thickness, with_thickness

# Frames that are placed at once, and those before and after a window that take part without being kept.
_WINDOW, _OVERLAP = 64, 8
_STEPS = 40
_NEIGHBOURS = 3  # frames before and after over which the shift by the edge is averaged: readings are off alike there
_LONGEST_GAP = 4  # frames without a hand over which its motion goes on
_LONGEST_STEP = 0.2  # seconds between two frames over which motion goes on
_SAMPLE = 24  # the surest hands of each side that tell the shape, spread over the clip
_ROUNDS = 3  # of poses by the shape and shape by the poses
# Neighbouring frames show the same errors: so many frames of a side count as independent for its shape.
_INDEPENDENT = 1.0


@dataclass(frozen=True)
class _Track:
    """The hands of a clip: hand 2 k is the left, hand 2 k + 1 the right one of frame k.

    Parameters
    ----------
    observations : list of F dicts
        The observed hands of each frame.
    hands : Hands
        2 F hands; where none was observed that of the nearest frame.
    seen : Evidence
        What is seen of the observed hands, in order.
    row : (2 F,) int64
        Row of each hand in ``seen``; -1 where none was observed.
    """

    observations: list[dict[Side, Observation]]
    hands: Hands
    seen: Evidence
    row: np.ndarray


def place_clip(
    frames: Sequence[Sequence[HandDetection]],
    cameras: Sequence[Camera],
    times: Sequence[float],
    palm_m: float = DEFAULT_PALM_M,
    calibration: Calibration | None = None,
) -> list[TwoHands]:
    """Place the hands of all frames of a clip in the camera frame.

    As ``solve.place_hands``, and each hand has one shape over the clip and moves without needless acceleration.

    Parameters
    ----------
    frames : Sequence[Sequence[HandDetection]]
        The detected hands of each frame.
    cameras : Sequence[Camera]
        The camera of each frame.
    times : Sequence[float]
        Time of each frame, seconds, ascending.
    palm_m : float
        Distance from wrist to middle MCP, metres.
    calibration : Calibration or None
        Tables from raw certainty to confidence. None for those that ship.

    Returns
    -------
    list of TwoHands
        The hands of each frame, as ``solve.place_hands`` returns them.
    """
    tables = calibration or bundled_calibration()
    observations = [
        chosen_hands(detections, camera, palm_m, tables) for detections, camera in zip(frames, cameras, strict=True)
    ]
    if not any(observations):
        return [TwoHands() for _ in frames]
    track = _with_shape(_track(observations))
    stamps = np.asarray(times, dtype=np.float64)
    made: list[TwoHands] = []
    for start in range(0, len(frames), _WINDOW):
        first, last = max(start - _OVERLAP, 0), min(start + _WINDOW + _OVERLAP, len(frames))
        hands, converged = _place_window(track, first, last, stamps[first:last])
        points = hands.keypoints()
        for frame in range(start, min(start + _WINDOW, len(frames))):
            two: dict[Side, Observation] = track.observations[frame]
            rows = {side: 2 * (frame - first) + k for k, side in enumerate(SIDES)}
            made.append(
                TwoHands(
                    **{
                        side: placed_hand(seen, points[rows[side]] * seen.mirror, converged)
                        for side, seen in two.items()
                    }
                )
            )
    return made


def _track(observations: list[dict[Side, Observation]]) -> _Track:
    """Place each observed hand by itself."""
    row = np.full((len(observations), 2), -1)
    listed: list[Observation] = []
    for frame, two in enumerate(observations):
        for k, side in enumerate(SIDES):
            if side in two:
                row[frame, k] = len(listed)
                listed.append(two[side])
    others = np.full(len(listed), -1)
    both = row[(row >= 0).all(axis=1)]
    others[both[:, 0]], others[both[:, 1]] = both[:, 1], both[:, 0]
    parts: list[Hands] = []
    for k in range(0, len(listed), _WINDOW):
        own = others[k : k + _WINDOW] - k
        hands, listed[k : k + _WINDOW], _ = place_on_edges(
            listed[k : k + _WINDOW], np.where((own >= 0) & (own < _WINDOW), own, -1)
        )
        parts.append(hands)
    alone = Hands.joined(parts)
    found = np.array([seen.edge_thickness for seen in listed])
    thickness = common_thickness([found[own[own >= 0]] for own in row.T])
    listed = with_thickness(_steady(listed, row), thickness)
    observations = [
        {side: listed[row[frame, k]] for k, side in enumerate(SIDES) if side in two}
        for frame, two in enumerate(observations)
    ]
    nearest = np.zeros_like(row)
    for k in range(2):
        own = np.flatnonzero(row[:, k] >= 0)
        if len(own):
            middles = (own[1:] + own[:-1]) / 2
            nearest[:, k] = row[own[np.searchsorted(middles, np.arange(len(row)))], k]
    return _Track(observations, alone.rows(nearest.ravel()), evidence(listed), row.ravel())


def _steady(listed: list[Observation], row: np.ndarray) -> list[Observation]:
    """Return the observations with their shifts averaged over neighbouring frames, whose numbers ``row`` (F, 2) has."""
    made = list(listed)
    for k in range(2):
        for frame, one in enumerate(row[:, k]):
            if one < 0:
                continue
            near = row[max(frame - _NEIGHBOURS, 0) : frame + _NEIGHBOURS + 1, k]
            shifts = [listed[other].shift for other in near if other >= 0]
            made[one] = replace(listed[one], shift=np.mean([shift for shift in shifts if shift is not None], axis=0))
    return made


def _with_shape(track: _Track) -> _Track:
    """Find the shape of the take from the surest hands, and give it to all of them.

    Poses are eliminated from each hand's normal equations; what remains of them are equations of the shape.
    """
    samples = [_sample(track, k) for k in range(2)]
    index = np.concatenate(samples)
    side = index % 2
    seen, hands = track.seen.rows(track.row[index]), track.hands.rows(index)
    share = np.array([min(1.0, _INDEPENDENT / max(len(rows), 1)) for rows in samples])[side]
    usual = USUAL_SHAPE.copy()
    usual[THICKNESS] = seen.thickness.mean()  # all hands of a take have one
    count = len(usual)
    prior = np.diag(1 / SHAPE_SPREAD**2)
    shapes = np.tile(usual, (2, 1))
    for _ in range(_ROUNDS):
        sums = of_each_hand(hands, seen)
        reduced, slope = _without_poses(sums)
        slope -= (hands.shape - usual) @ prior
        reduced -= prior
        alike = np.diag(1 / ALIKE_SPREAD**2)
        normal = np.block([[prior + alike, -alike], [-alike, prior + alike]])
        right = np.tile(prior @ usual, 2)
        for k in range(2):
            part = slice(k * count, (k + 1) * count)
            own = side == k
            normal[part, part] += (share[own, None, None] * reduced[own]).sum(axis=0)
            pulls = (reduced[own] @ hands.shape[own][..., None])[..., 0] - slope[own]
            right[part] += (share[own, None] * pulls).sum(axis=0)
        shapes = np.linalg.solve(normal, right).reshape(2, count)
        hands.shape[:] = shapes[side]
        hands = minimise(
            hands, len(hands), lambda hands, rows: of_each_hand(hands, seen.rows(rows)).without_shapes(), _STEPS
        )[0]
    everyone = track.hands
    everyone.shape[:] = np.tile(shapes, (len(everyone) // 2, 1))
    return track


def _without_poses(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrices (N, 18, 18) and gradients (N, 18) of the shapes when the poses follow them."""
    poses, mixed = sums.normal[:, :POSE, :POSE], sums.normal[:, :POSE, POSE:]
    followed = np.linalg.solve(poses, np.concatenate([mixed, sums.gradient[:, :POSE, None]], axis=2))
    turned = mixed.swapaxes(1, 2) @ followed
    return sums.normal[:, POSE:, POSE:] - turned[..., :-1], sums.gradient[:, POSE:] - turned[..., -1]


def _sample(track: _Track, hand: int) -> np.ndarray:
    """Return the indices of the surest observed hands of one side, one from each of equal parts of the clip."""
    own = np.flatnonzero(track.row[hand::2] >= 0)
    sure = np.array([track.observations[frame][SIDES[hand]].confidence.mean() for frame in own])
    parts = np.array_split(np.arange(len(own)), min(_SAMPLE, len(own))) if len(own) else []
    return np.array([2 * own[part[np.argmax(sure[part])]] + hand for part in parts], dtype=np.int64)


def _place_window(track: _Track, first: int, last: int, times: np.ndarray) -> tuple[Hands, bool]:
    """Return the hands of frames ``first`` to ``last`` with their motion, and whether the optimisation converged."""
    start = track.hands.rows(np.arange(2 * first, 2 * last))
    row = track.row[2 * first : 2 * last]
    present = np.flatnonzero(row >= 0)
    if not len(present):
        return start, True
    seen = track.seen.rows(row[present])
    frame, hand = np.divmod(present, 2)
    both = np.flatnonzero((row.reshape(-1, 2) >= 0).all(axis=1))
    pairs = (2 * both[:, None] + np.arange(2)).ravel()
    mirror = track.seen.mirror[row[pairs]]
    two = [track.observations[first + k] for k in both]
    between = depth_between([(one["left"], one["right"]) for one in two])
    tied = _tied(row.reshape(-1, 2) >= 0, times)

    def evaluate(lively: float, hands: Hands, _: np.ndarray) -> FramesSums:
        sums = Sums.empty(last - first, 2 * PARAMETERS)
        single = of_each_hand(hands.rows(present), seen, shifted=True)
        for k in range(2):
            sums.add_hands(frame[hand == k], k, single.rows(hand == k))
        if len(both):
            sums.add(both, of_being_two(hands.rows(pairs), mirror, between))
        made = FramesSums.of_frames(sums)
        if len(tied):
            made.add_motion(hands, times, tied, lively)
        return made

    hands, converged = start, np.zeros(1, dtype=bool)
    for lively in LIVELY if len(tied) else LIVELY[-1:]:
        hands, _, converged = minimise(hands, 1, partial(evaluate, lively), _STEPS)
    return hands, bool(converged[0])


def _tied(present: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return where the motion of each hand goes on over three frames, (F - 2, 2) bool."""
    alive = present.copy()
    for k in range(2):
        own = np.flatnonzero(present[:, k])
        for before, after in itertools.pairwise(own):
            if after - before <= _LONGEST_GAP + 1:
                alive[before:after, k] = True
    steps = np.diff(times)
    near = (steps > 0) & (steps <= _LONGEST_STEP)
    tied: np.ndarray = alive[:-2] & alive[1:-1] & alive[2:] & (near[:-1] & near[1:])[:, None]
    return tied
