"""A user's box or point per hand, read from a file (``--hand-boxes FILE``), for hands that are not found otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.hands import SIDES, Side
from im2hands.core.unpacking import JSON_BYTES, parse_json

EVERY_FRAME = ("*", "all")
_FORM = '{"frames": {"000012": {"left": [x0, y0, x1, y1], "right": [x, y]}, "all": {...}}}, pixels'


@dataclass(frozen=True)
class HandBoxes:
    """A user's boxes and points by frame and hand side.

    A box is (4,) x0, y0, x1, y1; a point is (2,) x, y; both in pixels.

    Parameters
    ----------
    frames : dict[int, dict[Side, np.ndarray]]
        Boxes and points by frame index.
    every_frame : dict[Side, np.ndarray]
        Boxes and points for every frame. An entry of ``frames`` replaces them for its frame and side.
    mirrored : bool
        True if the boxes were made on a mirrored picture that is processed flipped back. Then ``get`` flips them too.
    """

    frames: dict[int, dict[Side, np.ndarray]] = field(default_factory=dict)
    every_frame: dict[Side, np.ndarray] = field(default_factory=dict)
    mirrored: bool = False

    def get(self, index: int, width: int = 0) -> dict[Side, np.ndarray]:
        """Return the boxes and points of a frame.

        A frame's own entry replaces the one for every frame, for each side separately.

        Parameters
        ----------
        index : int
            Frame index.
        width : int
            Width of the frame, pixels. Needed only if the boxes are mirrored.

        Returns
        -------
        dict[Side, np.ndarray]
            Boxes (4,) and points (2,) in pixels by side; empty if the file has none.
        """
        boxes = {**self.every_frame, **self.frames.get(index, {})}
        return {side: _turned_back(box, width) for side, box in boxes.items()} if self.mirrored else boxes

    @classmethod
    def read(cls, path: Path, hands: str = "auto") -> HandBoxes:
        """Read a ``--hand-boxes`` file.

        Parameters
        ----------
        path : Path
            The JSON file.
        hands : str
            The option ``--hands``: "auto", "both", "left" or "right". The boxes must not contradict it.

        Returns
        -------
        HandBoxes
            Its boxes and points.

        Raises
        ------
        InputError
            If the file does not exist or is not JSON, if a frame number or a side is unknown, if a box has no area, if
            a number is not finite, or if it marks a hand that ``hands`` rules out.
        """
        try:
            content = parse_json(read_regular(path, JSON_BYTES), nan=True)
        except OSError as error:
            raise InputError(
                f"The hand boxes {path} cannot be read: {error.strerror or error}.", "Check the path."
            ) from error
        except ValueError as error:
            raise InputError(f"The hand boxes {path} are not JSON: {error}.", f"Write {_FORM}.") from error
        boxes = cls.from_dict(content, path.name)
        boxes._check(hands, path.name)
        return boxes

    def _check(self, hands: str, what: str) -> None:
        """Check that the boxes do not contradict ``hands``; ``what`` names the file in messages."""
        places = [("every frame", self.every_frame), *((f"frame {n:06d}", self.frames[n]) for n in sorted(self.frames))]
        for place, entry in places:
            for side in entry:
                if hands in SIDES and side != hands:
                    raise InputError(
                        f"{what} marks the {side} hand of {place}, but --hands says: only the {hands} hand is shown.",
                        f"Take the {side} hand out of the boxes, or use --hands auto.",
                    )

    @classmethod
    def from_dict(cls, content: Any, what: str = "hand boxes") -> HandBoxes:
        """Make boxes from parsed JSON.

        Parameters
        ----------
        content : Any
            The parsed JSON: ``{"frames": {"000012": {"left": [x0, y0, x1, y1], "right": [x, y]}, "all": {...}}}``.
        what : str
            Name of the file, for messages.

        Returns
        -------
        HandBoxes
            The boxes and points.

        Raises
        ------
        InputError
            As in ``read``.
        """
        entries = content.get("frames") if isinstance(content, dict) else None
        if not isinstance(entries, dict):
            raise InputError(f'{what} has no "frames".', f"Write {_FORM}.")
        frames: dict[int, dict[Side, np.ndarray]] = {}
        every_frame: dict[Side, np.ndarray] = {}
        for key, hands in entries.items():
            if key in EVERY_FRAME:
                every_frame.update(_read_hands(hands, f"every frame in {what}"))
                continue
            try:
                index = int(key)
            except ValueError as error:
                raise InputError(f"{what}: {key!r} is no frame number.", 'Use "000012", or "all".') from error
            if index in frames:
                raise InputError(f"{what} names frame {index} twice.", "Keep one of the two.")
            frames[index] = _read_hands(hands, f"frame {key} in {what}")
        return cls(frames, every_frame)


def _turned_back(box: np.ndarray, width: int) -> np.ndarray:
    """Mirror a box or point (4,) or (2,) in a picture of that width."""
    turned = box.copy()
    turned[0::2] = (width - 1 - box[0::2])[::-1]  # the left and the right edge swap
    return turned


def _read_hands(hands: Any, where: str) -> dict[Side, np.ndarray]:
    """Check and convert the entry of one frame; ``where`` names the frame in messages."""
    if not isinstance(hands, dict):
        raise InputError(f"The entry of {where} is not a set of hands.", f"Write {_FORM}.")
    unknown = set(hands) - set(SIDES)
    if unknown:
        raise InputError(f"{sorted(unknown)[0]!r} of {where} is no hand.", 'Use "left" and "right".')
    found: dict[Side, np.ndarray] = {}
    for side in SIDES:
        if hands.get(side) is not None:
            found[side] = _read_box(hands[side], f"{side} hand of {where}")
    return found


def _read_box(numbers: Any, what: str) -> np.ndarray:
    """Check and convert one box or point; ``what`` names the hand in messages."""
    try:
        box = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The box of the {what} is not numbers.", f"Write {_FORM}.") from error
    if box.shape not in ((4,), (2,)):
        raise InputError(f"The box of the {what} has {box.size} numbers.", "Give 4 (a box) or 2 (a point).")
    if not np.isfinite(box).all():
        raise InputError(f"The box of the {what} has a number that is not finite.", "Give pixels.")
    if box.size == 4 and (box[2:] - box[:2] < 2).any():
        raise InputError(
            f"The box of the {what} has no area: {box.tolist()}.", "Give left, top, right, bottom in pixels."
        )
    return box
