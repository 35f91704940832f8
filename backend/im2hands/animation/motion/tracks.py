"""Raw tracks of both hands over a take, and detection of doubtful frames.

A frame is doubtful if one of these holds:

* Its keypoints do not project to where they were detected in the picture.
* Its bone lengths differ from those of this hand in the other frames.
* The hand leaps away and back.
* Left and right are swapped.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import TakeError
from im2hands.core.hands import SIDES, Side
from im2hands.take.arrays import LIMITS
from im2hands.take.edits import Marks
from im2hands.take.record import convert_keypoints_2d
from im2hands.take.take import Take

MISSING, OBSERVED, FILLED, DOUBTFUL = range(4)
STATUS_WORDS = ("missing", "observed", "filled", "doubtful")
"""Names of the statuses, as ``take.json`` has them."""

PALM = (0, 5, 9, 13, 17)
"""Keypoints of the palm (file order): the wrist and the knuckles of the four fingers."""
_STARTS = np.array([0, 0, 0, 0, 0, *(4 * f + k for f in range(5) for k in range(1, 4))])
_ENDS = np.array([1, 5, 9, 13, 17, *(4 * f + k + 1 for f in range(5) for k in range(1, 4))])

_LONGEST_GAP = 1000  # frames; of a longer stretch without hands only its ends are held in memory

_REPROJECTION = 0.3  # largest median reprojection distance, share of the hand's size in the picture
_BONE_FACTOR = 1.7  # largest ratio of a bone's length to its median over the take
_BAD_BONES = 4  # bones beyond that ratio that make a frame doubtful; of the five bones at the wrist one is enough
# A leap is farther from the line between its neighbours than this multiple of their distance, plus this many palms.
_LEAP = 3.0
_LEAP_PALMS = 0.25
_LONGEST_LEAP = 2  # frames
_CUT = 0.33  # palms per frame: mean movement of the keypoints relative to the wrist that makes a cut
_SWAP_COST = 1.5  # palms
_SWAP_APART = 1.0  # palms; between closer hands positions cannot reveal a swap, so the detected sides are kept


@dataclass
class Track:
    """One hand over N frames.

    Parameters
    ----------
    keypoints : (N, 21, 3) float
        Camera frame, metres; NaN where missing.
    status : (N,) uint8
        MISSING, OBSERVED or DOUBTFUL.
    segments : list of (int, int)
        Ranges [first, last) of rows without a cut.
    own : (N,) bool
        Whether the surface of this side in the take belongs to this track; False where the sides were swapped.
    pinned : (P,) int
        Rows that a person pinned: the clean motion goes through them.
    """

    keypoints: np.ndarray
    status: np.ndarray
    segments: list[tuple[int, int]] = field(default_factory=list)
    own: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    pinned: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    @property
    def present(self) -> np.ndarray:
        """(N,) bool: frames with a hand."""
        return self.status != MISSING


@dataclass(frozen=True)
class RawTake:
    """The keypoints of a take's hands, frame by frame.

    Parameters
    ----------
    frames : (N,) int
        Frame indices, ascending; see ``rows_of``.
    keypoints : dict of Side to (N, 21, 3) float
        Camera frame, metres; NaN where missing.
    reprojection : dict of Side to (N,) float
        Median distance between projected and detected keypoints, as a share of the hand's size in the picture; NaN
        where unknown.
    templates : dict of int to dict of Side to int
        Number of template vertices in the file of each frame, by index and side; of frames with a template only.
    damaged : dict of int to TakeError
        Why a frame cannot be read, by index. It is missing in the other fields.
    """

    frames: np.ndarray
    keypoints: dict[Side, np.ndarray]
    reprojection: dict[Side, np.ndarray]
    templates: dict[int, dict[Side, int]] = field(default_factory=dict)
    damaged: dict[int, TakeError] = field(default_factory=dict)

    def row(self, index: int) -> int | None:
        """Return the row of a frame; None if it has none."""
        row = int(np.searchsorted(self.frames, index))
        return row if row < len(self.frames) and self.frames[row] == index else None


def rows_of(indices: Sequence[int]) -> np.ndarray:
    """Return the frames that a motion has a row for.

    These are the frames from the first to the last of a take. A stretch without hands that is longer than
    ``_LONGEST_GAP`` is shortened to that, so that memory depends on the number of frames, not on their numbers. No
    gap of that length is filled in (see the option ``gap``), so the motion is the same.

    Parameters
    ----------
    indices : sequence of int
        Indices of the frames with hands, ascending; not empty.

    Returns
    -------
    (N,) int
        Frame indices, ascending.

    Raises
    ------
    TakeError
        There are too many rows for one motion.
    """
    reach = _LONGEST_GAP // 2
    pieces: list[tuple[int, int]] = []
    for before, after in itertools.pairwise(indices):
        if after - before - 1 > _LONGEST_GAP:
            pieces.append((before + reach + 1, after - reach))
    starts = [indices[0], *(start for _, start in pieces)]
    ends = [*(end for end, _ in pieces), indices[-1] + 1]
    count = sum(end - start for start, end in zip(starts, ends, strict=True))
    if count > LIMITS["rows"]:
        raise TakeError(
            f"The motion of the take has {count} frames; at most {LIMITS['rows']} can be cleaned together.",
            "Reconstruct parts of the clip into takes of their own (--frames).",
        )
    return np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])


def read_raw(take: Take, indices: list[int]) -> RawTake:
    """Read the keypoints of a take's frames, and check their files.

    Parameters
    ----------
    take : Take
        The take.
    indices : list of int
        Indices of the frames with hands, ascending; not empty.

    Returns
    -------
    RawTake
        The keypoints, and the frames that are damaged.

    Raises
    ------
    TakeError
        There are too many frames.
    """
    frames = rows_of(indices)
    templates: dict[int, dict[Side, int]] = {}
    damaged: dict[int, TakeError] = {}
    keypoints = {side: np.full((len(frames), 21, 3), np.nan) for side in SIDES}
    reprojection = {side: np.full(len(frames), np.nan) for side in SIDES}
    for index in indices:
        try:
            camera, hands = _camera(take, index), take.read_frame(index)
        except TakeError as error:
            damaged[index] = error
            continue
        fitted = {side: len(one["template_vertices"]) for side, one in hands.items() if "template_vertices" in one}
        templates[index] = fitted
        row = int(np.searchsorted(frames, index))
        for side, arrays in hands.items():
            points = arrays["keypoints"].astype(np.float64)
            keypoints[side][row] = points
            # The camera belongs to the picture in which hands are found, so mirrored takes are converted to it.
            seen = convert_keypoints_2d(arrays["keypoints_2d"].astype(np.float64), camera.width, mirrored=take.mirrored)
            size = max(float(np.ptp(seen, axis=0).max()), 1.0)
            if (points[:, 2] > 0).all():
                reprojection[side][row] = np.median(np.linalg.norm(camera.project(points) - seen, axis=1)) / size
    return RawTake(frames, keypoints, reprojection, templates, damaged)


def _camera(take: Take, index: int) -> Camera:
    data = take.records[index].extra.get("camera") or take.header.get("camera")
    if not data:
        raise TakeError(f"The take {take.folder} has no camera for frame {index}.", "Reconstruct the take again.")
    return Camera(data["fx"], data["fy"], data["cx"], data["cy"], data["width"], data["height"])


def judge(raw: RawTake, *, over_time: bool, marks: Mapping[int, Marks] | None = None) -> dict[Side, Track]:
    """Make tracks from the raw keypoints: swap sides back, mark doubtful frames, find cuts.

    Parameters
    ----------
    raw : RawTake
        The keypoints of a take.
    over_time : bool
        Whether the frames follow each other. False judges each frame by itself, for unrelated pictures.
    marks : mapping of int to Marks, optional
        What a person said of the hands of a row: hands that were looked at are not doubtful, and none is filled in
        where it is absent.

    Returns
    -------
    dict of Side to Track
        The tracks.
    """
    marks = marks or {}
    keypoints = {side: points.copy() for side, points in raw.keypoints.items()}
    swapped = _swapped(keypoints) if over_time else np.zeros(len(raw.frames), dtype=bool)
    swapped[[row for row, one in marks.items() if one]] = False
    if swapped.any():
        left, right = (keypoints[side][swapped].copy() for side in SIDES)
        keypoints["left"][swapped], keypoints["right"][swapped] = right, left
    tracks = {}
    for side in SIDES:
        points = keypoints[side]
        present = np.isfinite(points).all(axis=(1, 2))
        status = np.where(present, OBSERVED, MISSING).astype(np.uint8)
        doubtful = np.zeros(len(status), dtype=bool)
        if present.any():
            doubtful |= np.nan_to_num(raw.reprojection[side]) > _REPROJECTION
            doubtful |= _odd_bones(points, present)
            doubtful |= swapped
            if over_time:
                doubtful |= _leaps(points, present & ~doubtful)
        doubtful[[row for row, one in marks.items() if side in one.trusted]] = False
        status[present & doubtful] = DOUBTFUL
        pinned = np.array([row for row, one in sorted(marks.items()) if side in one.pinned and present[row]], int)
        track = Track(points, status, [], ~swapped, pinned)
        believed = present & ~doubtful
        track.segments = (
            _segments(points, believed if believed.any() else present) if over_time else _singles(len(status))
        )
        gone = [row for row, one in marks.items() if side in one.absent]
        track.segments = _without(track.segments, gone)
        tracks[side] = track
    return tracks


def _palm(points: np.ndarray) -> float:
    """Median length of the palm, metres."""
    return max(float(np.nanmedian(np.linalg.norm(points[:, 9] - points[:, 0], axis=-1))), 1e-3)


def _odd_bones(points: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(N,) bool: frames with bone lengths that differ from those of this hand."""
    lengths = np.full((len(points), len(_STARTS)), np.nan)
    lengths[present] = np.linalg.norm(points[present][:, _ENDS] - points[present][:, _STARTS], axis=-1)
    usual = np.nanmedian(lengths, axis=0)
    ratio = np.abs(np.log(np.maximum(lengths, 1e-6) / np.maximum(usual, 1e-6)))
    odd = np.nan_to_num(ratio) > np.log(_BONE_FACTOR)
    gone = np.nan_to_num(lengths, nan=1.0) < 1e-4
    found: np.ndarray = (odd.sum(axis=1) >= _BAD_BONES) | odd[:, :5].sum(axis=1).astype(bool) | gone.any(axis=1)
    return found


def _leaps(points: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """(N,) bool: runs of one or two frames that leap away and back."""
    found = np.zeros(len(points), dtype=bool)
    where = np.flatnonzero(believed)
    if len(where) < 3:
        return found
    palm = _palm(points[where])
    for length in range(1, _LONGEST_LEAP + 1):
        for k in range(1, len(where) - length):
            run, before, after = where[k : k + length], where[k - 1], where[k + length]
            if found[[before, after, *run]].any() or after - before > length + 2:
                continue
            share = ((run - before) / (after - before))[:, None, None]
            expected = (1 - share) * points[before] + share * points[after]
            away = np.linalg.norm(points[run] - expected, axis=-1).mean(axis=1).min()
            apart = np.linalg.norm(points[after] - points[before], axis=-1).mean()
            if away > _LEAP * apart + _LEAP_PALMS * palm:
                found[run] = True
    return found


def _segments(points: np.ndarray, believed: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of frames between cuts. A cut is a change of pose that is too fast for a hand."""
    where = np.flatnonzero(believed)
    if len(where) == 0:
        return [(0, len(points))]
    palm = _palm(points[where])
    local = points[where] - points[where][:, :1]
    change = np.linalg.norm(np.diff(local, axis=0), axis=-1).mean(axis=1) / palm
    cuts = where[1:][change > _CUT * np.diff(where)]
    edges = [0, *cuts.tolist(), len(points)]
    return list(itertools.pairwise(edges))


def _singles(count: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(count)]


def _without(segments: list[tuple[int, int]], gone: Sequence[int]) -> list[tuple[int, int]]:
    """Cut segments at rows where a person said that the hand is absent, so that no gap is filled there."""
    edges = {edge for row in gone for edge in (row, row + 1)}
    found = []
    for first, last in segments:
        inside = sorted(edge for edge in edges if first < edge < last)
        found += list(itertools.pairwise([first, *inside, last]))
    return found


def _swapped(keypoints: Mapping[Side, np.ndarray]) -> np.ndarray:
    """(N,) bool: frames whose left and right hands are swapped, by dynamic programming over the take.

    Each state of a frame (as labelled, or swapped) costs the distance that the tracks move, plus a cost for each change
    of state.
    """
    centres = np.stack([keypoints[side][:, PALM].mean(axis=1) for side in SIDES], axis=1)  # (N, 2, 3)
    count = len(centres)
    palm = np.nanmedian(
        [_palm(k[np.isfinite(k).all(axis=(1, 2))]) for k in keypoints.values() if np.isfinite(k).any()] or [0.09]
    )
    cost = np.zeros(2)
    came_from = np.zeros((count, 2), dtype=int)
    last = np.full((2, 2, 3), np.nan)  # per state: where each track was last
    for k in range(count):
        steps = np.zeros((2, 2))
        for before in range(2):
            for state in range(2):
                now = centres[k][::-1] if state else centres[k]
                moved = np.linalg.norm(now - last[before], axis=-1) / palm
                steps[before, state] = np.nansum(np.minimum(moved, 10.0)) + _SWAP_COST * (before != state)
        total = cost[:, None] + steps
        came_from[k] = total.argmin(axis=0)
        cost = total.min(axis=0)
        updated = last[came_from[k]].copy()
        for state in range(2):
            now = centres[k][::-1] if state else centres[k]
            known = np.isfinite(now).all(axis=-1)
            updated[state][known] = now[known]
        last = updated
    state = int(cost.argmin())
    states = np.zeros(count, dtype=bool)
    for k in range(count - 1, -1, -1):
        states[k] = bool(state)
        state = int(came_from[k, state])
    seen = np.isfinite(centres).all(axis=-1)
    apart = np.linalg.norm(centres[:, 0] - centres[:, 1], axis=-1) / palm
    if states[seen.any(axis=1)].mean() > 0.5 if seen.any() else False:
        states = ~states
    return states & seen.any(axis=1) & ~(np.nan_to_num(apart, nan=9.0) < _SWAP_APART)
