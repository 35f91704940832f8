"""Numbered sequences: which pictures are moments of one recording, and the numbers of their frames."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from im2hands.core.errors import InputError

LAST_INDEX = 1_048_574  # last frame number of Blender; larger numbers in file names are dates or identifiers

CAMERA_RUN = 5
"""From this number of consecutive pictures on, a camera's own file names are a sequence, for example of a burst."""

LAST_COUNTER_START = 1001
"""Highest first number of a counter: frames are counted from 0, 1 or 1001 on."""

_NUMBERED = re.compile(r"^(?P<prefix>.*?)(?P<number>\d+)(?P<rest>\D*)$")

# Dates (20240501, 2024-05-01, 1.5.2024, 240501) and times of day (10.15.30, 10-15-30-123, 101530, 101530123, 1015).
_SEPARATORS = ("-", "_", r"\.", " ", ":")
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_HOUR, _SIXTY = r"(?:[01]\d|2[0-3])", r"[0-5]\d"
_SPACED_DATES = [rf"{_YEAR}{s}{_MONTH}{s}{_DAY}|\d?\d{s}\d?\d{s}{_YEAR}" for s in _SEPARATORS]
_SPACED_DATE = rf"(?<!\d)(?:{'|'.join(_SPACED_DATES)})"
_DATE = rf"(?:{_SPACED_DATE}|(?<!\d){_YEAR}{_MONTH}{_DAY})"
_SHORT_DATE = rf"(?<!\d)\d\d{_MONTH}{_DAY}"
_SPACED_TIMES = [rf"{_HOUR}{s}{_SIXTY}|[012]?\d{s}{_SIXTY}{s}{_SIXTY}(?:{s}\d{{3}})?" for s in _SEPARATORS]
_WORDS = r"\D{1,9}"  # between date and time: "_", " at ", "-T"
_SPACED_CLOCK = re.compile(
    rf"(?:{_SPACED_DATE}|{_DATE}{_WORDS}(?:{'|'.join(_SPACED_TIMES)})| at \d?\d[.:]{_SIXTY}(?:[.:]{_SIXTY})?)$"
)
_CLOSED_CLOCK = re.compile(
    rf"(?:{_DATE}{_WORDS}{_HOUR}{_SIXTY}(?:{_SIXTY}(?:\d{{3}})?)?|{_SHORT_DATE}[-_ ]{_HOUR}{_SIXTY}{_SIXTY})$"
)
# Names that cameras and messengers give: IMG_0001, DSC00042, P1010001, G0010042, 100_0042, IMG-20240501-WA0001. The
# rule of cameras (DCF) is four capitals, digits or underscores and four digits; other programs write such names too,
# but not as JPEG, HEIC or TIFF.
_CAMERA = re.compile(
    r"(?:img[_-]e?|_?dsc_?|dsc0|dsc[nfi]|_?mg_|cimg|imgp|imag|pict|sam_|dji_|gopr|mvi_)\d{4}|img-\d{8}-wa\d+", re.I
)
_DCF = re.compile(r"[A-Z0-9_]{4}\d{4}")
_CAMERA_ENDINGS = frozenset({".jpg", ".jpeg", ".heic", ".heif", ".hif", ".tif", ".tiff", ".avif"})


def plain_numbers(files: Sequence[Path]) -> dict[Path, int] | None:
    """Return the last numbers in the names of files that differ in nothing else.

    Parameters
    ----------
    files : sequence of Path
        Paths of pictures.

    Returns
    -------
    dict of Path to int, or None
        Number of each file. None if the files lie in several folders, a name has no number, names differ in more than
        their last number, two numbers are equal, or a number is above :data:`LAST_INDEX`.
    """
    matches = [(file, _NUMBERED.match(file.stem)) for file in files]
    found = {(file.parent, m["prefix"], m["rest"], file.suffix) for file, m in matches if m}
    numbers = {file: int(m["number"]) for file, m in matches if m}
    if not files or len(numbers) != len(files) or len(found) != 1 or max(numbers.values()) > LAST_INDEX:
        return None
    return numbers if len(set(numbers.values())) == len(files) else None


def sequence_numbers(files: Sequence[Path], choice: str = "auto", *, named_so: bool = False) -> dict[Path, int] | None:
    """Return the frame numbers of the pictures of a numbered sequence (see ``docs/take.md``, Frame numbers).

    Parameters
    ----------
    files : sequence of Path
        All pictures of a source.
    choice : str
        "yes" if the pictures are a sequence, "no" if they are unrelated photos, "auto" to decide from their names.
    named_so : bool
        Whether the person wrote a pattern with the place of the number, as ``shot_####.png``.

    Returns
    -------
    dict of Path to int, or None
        Number of each file; None if the files are not a numbered sequence.

    Raises
    ------
    InputError
        The choice is "yes" and the names have no usable numbers.
    """
    if choice == "no":
        return None
    numbers = plain_numbers(files)
    if choice == "yes":
        if numbers is None:
            raise InputError(
                "The pictures are no numbered sequence: their names must differ in their last number only, "
                f"which is at most {LAST_INDEX}.",
                "Rename them (shot_0001.png, shot_0002.png, ...), or leave the choice to the program (sequence auto).",
            )
        return numbers
    if numbers is None or len(files) < 2:
        return None
    return numbers if named_so or _count_frames(numbers) else None


def follow_each_other(kind: str, files: Sequence[Path]) -> bool:
    """Return whether frames are moments of one recording, for a take that does not say so itself.

    Parameters
    ----------
    kind : str
        Kind of the source, "images" or "video".
    files : sequence of Path
        Pictures of the frames; ignored for a video.

    Returns
    -------
    bool
        True for a video, and for pictures whose names differ in their number only.
    """
    return kind == "video" or (len(files) > 1 and plain_numbers(files) is not None)


def _count_frames(numbers: dict[Path, int]) -> bool:
    """Return whether the numbers count frames, and not dates, times or unrelated photos of a camera."""
    ordered = sorted(numbers.values())
    step = math.gcd(*(number - ordered[0] for number in ordered[1:]))
    places = (ordered[-1] - ordered[0]) // step + 1
    if 2 * len(ordered) < places:  # more gaps than pictures
        return False
    without_gap = step == 1 and places == len(ordered)
    if all(_is_of_camera(file) for file in numbers):
        return without_gap and len(ordered) >= CAMERA_RUN
    heads = [m["prefix"] + m["number"] for file in numbers if (m := _NUMBERED.match(file.stem))]
    if all(_SPACED_CLOCK.search(head) for head in heads):
        return False
    if all(_CLOSED_CLOCK.search(head) for head in heads):
        return without_gap and ordered[0] <= LAST_COUNTER_START
    return True


def _is_of_camera(file: Path) -> bool:
    by_rule = _DCF.fullmatch(file.stem) and file.suffix.lower() in _CAMERA_ENDINGS
    return bool(by_rule or _CAMERA.fullmatch(file.stem))
