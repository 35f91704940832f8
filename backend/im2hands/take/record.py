"""The record of one frame in ``take.json``, and the arrays of its hands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from .arrays import LIMITS
from .contact import CONTACT, check_contact
from .header import check_camera, check_picture_size

FRAMES_FOLDER = "frames"
FOOTAGE_FOLDER = "footage"
FOOTAGE_PATTERN = f"{FOOTAGE_FOLDER}/%06d.jpg"

FrameStatus = Literal["ok", "partial", "empty", "failed"]


@dataclass
class FrameRecord:
    """One entry of ``frames`` in ``take.json``.

    Parameters
    ----------
    index : int
        Frame number in the source.
    status : FrameStatus
        "ok" (both hands), "partial" (one hand), "empty" (no hand) or "failed".
    file : str
        Path inside the take; ``""`` if there is no file.
    hands : dict of str to dict
        For each side that was found, its confidence, source and further facts.
    message : str
        What went wrong, for a person.
    key : str
        Hash of everything that the frame was computed from.
    extra : dict
        Further fields (``image``, ``camera``, ``image_size``, ``time``, ``surfaces``, ``contact``), which are written
        beside these.
    """

    index: int
    status: FrameStatus
    file: str = ""
    hands: dict[str, dict[str, Any]] = field(default_factory=dict)
    message: str = ""
    key: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_draft(self) -> bool:
        """Whether the file of the frame has keypoints but no surfaces."""
        return self.extra.get("surfaces") is False

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        known = {"index": self.index, "file": self.file, "status": self.status, "hands": self.hands}
        return {**known, "message": self.message, "key": self.key, **self.extra}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FrameRecord:
        """Read a record. Fields that this version does not know are put into ``extra``.

        Parameters
        ----------
        data : mapping
            The record as plain JSON types.

        Returns
        -------
        FrameRecord
            The record.

        Raises
        ------
        KeyError
            ``index`` or ``status`` is missing.
        TypeError, ValueError
            A field has the wrong type, or the index is above the last frame number.
        """
        if not isinstance(data, Mapping):
            raise TypeError("it is no record")
        known = {"index", "file", "status", "hands", "message", "key"}
        index, status, hands = data["index"], data["status"], data.get("hands") or {}
        if type(index) is not int or not 0 <= index <= LIMITS["last_frame"]:
            raise ValueError(f"the frame number {index!r} is not between 0 and {LIMITS['last_frame']}")
        if status not in get_args(FrameStatus):
            raise ValueError(f"frame {index} has the status {status!r}")
        if not isinstance(hands, dict) or not all(isinstance(facts, dict) for facts in hands.values()):
            raise TypeError(f"the hands of frame {index} are no objects")
        extra = {name: value for name, value in data.items() if name not in known}
        if extra.get("camera"):
            check_camera(extra["camera"])
        if extra.get("image_size"):
            check_picture_size(extra["image_size"])
        if CONTACT in extra:
            check_contact(extra[CONTACT])
        return cls(
            index=index,
            status=status,
            file=data.get("file") or "",
            hands=dict(hands),
            message=str(data.get("message") or ""),
            key=str(data.get("key") or ""),
            extra=extra,
        )


def convert_keypoints_2d(pixels: np.ndarray, width: int, *, mirrored: bool) -> np.ndarray:
    """Convert ``S_keypoints_2d`` between the picture on disk and the picture that hands and camera belong to.

    If the picture on disk is a mirror image, x becomes ``width - 1 - x``. The conversion is its own inverse, so it is
    used for writing and for reading.

    Parameters
    ----------
    pixels : (..., 2) array
        Pixels of one of the two pictures.
    width : int
        Width of the frame's picture as in its camera, pixels.
    mirrored : bool
        Whether the picture on disk is a mirror image (:attr:`Take.mirrored`).

    Returns
    -------
    (..., 2) array
        Pixels of the other picture, of the same dtype.
    """
    if not mirrored:
        return pixels
    converted = pixels.copy()
    converted[..., 0] = width - 1 - pixels[..., 0]
    return converted


def frame_file(index: int) -> str:
    """Return the path of frame ``index`` inside the take."""
    return f"{FRAMES_FOLDER}/{index:06d}.npz"


def footage_file(index: int) -> str:
    """Return the path of the copy of the picture of frame ``index`` inside the take."""
    return FOOTAGE_PATTERN % index
