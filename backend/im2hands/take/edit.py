"""One correction by a person, and its reading from ``edits.json``, which may be damaged or written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from im2hands.core.errors import InputError
from im2hands.core.hands import KEYPOINT_NAMES, SIDES, Side

from .arrays import LIMITS

Kind = Literal["keypoints", "box", "absent", "swap", "pin", "apart"]

FORM = (
    'Write {"format": "im2hands-edits", "version": 1, "edits": [{"id": "a", "kind": "keypoints", "frame": 12, '
    '"side": "left", "points": {"index_tip": [812.5, 401]}}]}.'
)
"""What a file of edits looks like, for messages."""

_LONGEST_ID = 64  # characters
_FARTHEST = 1.0e6  # pixels; a picture's own limits are checked where its size is known
_LARGEST_SHIFT = 1.0  # metres
_BOTH_HANDS: tuple[Kind, ...] = ("swap", "apart")
_ONE_FRAME: tuple[Kind, ...] = ("keypoints", "box")  # what is drawn on one picture holds for that picture alone


@dataclass(frozen=True)
class Edit:
    """One correction.

    Parameters
    ----------
    id : str
        Its name in the file, by which it can be taken back.
    kind : Kind
        "keypoints": places of keypoints; "box": where a hand is that was not found; "absent": the hand is not there;
        "swap": left and right change places; "pin": the clean motion goes through this hand; "apart": the hands do not
        lie in each other.
    first, last : int
        First and last frame that it holds for.
    side : Side or None
        The hand; None for edits of both hands, "swap" and "apart".
    points : dict of int to (float, float, float)
        Of "keypoints": by number of the keypoint x and y in the picture on disk, pixels, and the shift away from the
        camera, metres.
    box : tuple of float
        Of "box": left, top, right, bottom in the picture on disk, pixels.
    """

    id: str
    kind: Kind
    first: int
    last: int
    side: Side | None = None
    points: Mapping[int, tuple[float, float, float]] = field(default_factory=dict)
    box: tuple[float, ...] = ()

    @property
    def words(self) -> str:
        """The edit in messages."""
        return f'Edit "{self.id}"'

    def to_dict(self) -> dict[str, Any]:
        """Return the edit as plain JSON types."""
        at = {"frame": self.first} if self.first == self.last else {"frames": [self.first, self.last]}
        found: dict[str, Any] = {"id": self.id, "kind": self.kind, **at}
        if self.side is not None:
            found["side"] = self.side
        if self.points:
            places = {k: list(place if place[2] else place[:2]) for k, place in sorted(self.points.items())}
            found["points"] = {KEYPOINT_NAMES[k]: place for k, place in places.items()}
        if self.box:
            found["box"] = list(self.box)
        return found


def read_edit(entry: Any, number: int, name: str) -> Edit:
    """Check and convert one entry of a file.

    Parameters
    ----------
    entry : Any
        The entry, plain JSON types.
    number : int
        Its place in the file, from 1.
    name : str
        Name of the file, for messages.

    Returns
    -------
    Edit
        The edit.

    Raises
    ------
    InputError
        The entry cannot be meant.
    """
    if not isinstance(entry, dict):
        raise InputError(f"Edit {number} of {name} is no object.", FORM)
    identifier = entry.get("id", f"edit-{number}")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _LONGEST_ID or not identifier.isprintable():
        raise InputError(f"The id of edit {number} of {name} is no short text.", "Give it a name of its own.")
    what = f'Edit "{identifier}" of {name}'
    kind: Any = entry.get("kind")
    if kind not in get_args(Kind):
        raise InputError(f"{what} has the kind {str(kind)[:20]!r}.", f"Known are {', '.join(get_args(Kind))}.")
    first, last = _read_frames(entry, what)
    if kind in _ONE_FRAME and first != last:
        raise InputError(f"{what} is for several frames.", f'An edit of the kind "{kind}" is for one "frame".')
    side = entry.get("side")
    if kind in _BOTH_HANDS:
        if side is not None:
            raise InputError(f"{what} names a side.", f'An edit of the kind "{kind}" is of both hands.')
        return Edit(identifier, kind, first, last)
    if side not in SIDES:
        raise InputError(f"{what} has the side {str(side)[:20]!r}.", 'Use "left" or "right".')
    points = _read_points(entry.get("points"), what) if kind == "keypoints" else {}
    box = _read_box(entry.get("box"), what) if kind == "box" else ()
    return Edit(identifier, kind, first, last, side, points, box)


def _read_frames(entry: Mapping[str, Any], what: str) -> tuple[int, int]:
    given = entry.get("frames", [entry.get("frame")])
    numbers = given * 2 if isinstance(given, list) and len(given) == 1 else given
    most = LIMITS["last_frame"]
    is_pair = isinstance(numbers, list) and len(numbers) == 2
    if not is_pair or not all(type(one) is int and 0 <= one <= most for one in numbers):
        raise InputError(f"{what} has no frame number.", 'Give "frame": 12, or "frames": [12, 20].')
    if numbers[0] > numbers[1]:
        raise InputError(f"The frames of {what[0].lower() + what[1:]} run backwards.", "Give the first frame first.")
    return numbers[0], numbers[1]


def _numbers(value: Any, counts: Sequence[int]) -> list[float] | None:
    """Return a list of as many numbers as ``counts`` allows, as floats; None for anything else."""
    if not isinstance(value, list) or len(value) not in counts:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return None
    return [float(one) for one in value]


def _read_points(points: Any, what: str) -> dict[int, tuple[float, float, float]]:
    if not isinstance(points, dict) or not points:
        raise InputError(f"{what} has no points.", 'Give "points": {"index_tip": [812.5, 401]}, pixels.')
    found = {}
    for keypoint, place in points.items():
        if keypoint not in KEYPOINT_NAMES:
            raise InputError(f"{what} names the keypoint {keypoint[:20]!r}.", f"Known are {', '.join(KEYPOINT_NAMES)}.")
        numbers = _numbers(place, (2, 3))
        if numbers is None or max(abs(one) for one in numbers[:2]) > _FARTHEST:
            raise InputError(
                f"The place of {keypoint} in {what[0].lower() + what[1:]} is no place.", "Give x, y in pixels."
            )
        shift = numbers[2] if len(numbers) == 3 else 0.0
        if abs(shift) > _LARGEST_SHIFT:
            raise InputError(
                f"{what} moves {keypoint} by {shift:g} m away from the camera.",
                f"The third number is a shift in metres, at most {_LARGEST_SHIFT:g}.",
            )
        found[KEYPOINT_NAMES.index(keypoint)] = numbers[0], numbers[1], shift
    return found


def _read_box(box: Any, what: str) -> tuple[float, ...]:
    numbers = _numbers(box, (4,))
    if numbers is None or max(abs(one) for one in numbers) > _FARTHEST:
        raise InputError(f"{what} has no box.", 'Give "box": [left, top, right, bottom], pixels.')
    if numbers[2] - numbers[0] < 2 or numbers[3] - numbers[1] < 2:
        raise InputError(f"The box of {what[0].lower() + what[1:]} has no area.", "Give left, top, right, bottom.")
    return tuple(numbers)
