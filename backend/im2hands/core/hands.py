"""Keypoints of hands: names, orders, the hands of one frame, and the check of keypoints that a user gives.

Units are metres and pixels. The camera frame is OpenCV's: x right, y down, z forward. Keypoints are in *file order*
(wrist; thumb CMC, MCP, IP, tip; index MCP, PIP, DIP, tip; middle; ring; little).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .errors import InputError

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
OTHER_SIDE: dict[Side, Side] = {"left": "right", "right": "left"}
KEYPOINT_COUNT = 21
SKIN_POINT_COUNT = 128
"""Points on the skin of a hand, see ``geometry.skin_points``."""
WRIST = 0
MIDDLE_MCP = 9

KEYPOINT_NAMES = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "little_mcp", "little_pip", "little_dip", "little_tip",
)  # fmt: skip

# Parent of each keypoint in file order; the wrist has none.
KEYPOINT_PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)

# Index tables between keypoint orders: out[k] = in[table[k]]. INTERHAND is the order of one hand's 21 of the 42 joints.
FILE_TO_HALO = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20)
HALO_TO_FILE = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
FILE_TO_BIOMECH = (0, 1, 5, 9, 13, 17, 2, 6, 10, 14, 18, 3, 7, 11, 15, 19, 4, 8, 12, 16, 20)
BIOMECH_TO_FILE = (0, 1, 6, 11, 16, 2, 7, 12, 17, 3, 8, 13, 18, 4, 9, 14, 19, 5, 10, 15, 20)
INTERHAND_TO_FILE = (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
FILE_TO_FILE = tuple(range(KEYPOINT_COUNT))

# Tables from the orders that keypoint files may have. MediaPipe's landmarks are in file order.
TO_FILE_ORDER: dict[str, tuple[int, ...]] = {
    "file": FILE_TO_FILE,
    "mediapipe": FILE_TO_FILE,
    "halo": HALO_TO_FILE,
    "interhand": INTERHAND_TO_FILE,
}


@dataclass(frozen=True)
class HandKeypoints:
    """The 21 keypoints of one hand in one frame, in file order.

    Parameters
    ----------
    side : Side
        The person's own left or right hand.
    positions : (21, 3) float64
        Camera frame, metres.
    pixels : (21, 2) float64
        Detected positions in the picture, pixels.
    confidence : (21,) float64
        Confidence per keypoint, 0 to 1.
    score : float
        Confidence in the whole hand, 0 to 1.
    source : str
        Name of the method that found the hand ("mediapipe", "crops", "file", ...).
    thickness : float
        How thick its flesh is across the bones, as a factor on the usual thickness of a hand with its bones.
    """

    side: Side
    positions: np.ndarray
    pixels: np.ndarray
    confidence: np.ndarray
    score: float
    source: str
    thickness: float = 1.0


@dataclass(frozen=True)
class TwoHands:
    """The hands of one frame: left, right, both or neither.

    Parameters
    ----------
    left : HandKeypoints, optional
        The left hand; None if it was not found.
    right : HandKeypoints, optional
        The right hand; None if it was not found.
    """

    left: HandKeypoints | None = None
    right: HandKeypoints | None = None

    def get(self, side: Side) -> HandKeypoints | None:
        """Return the hand of a side, or None."""
        return self.left if side == "left" else self.right

    def present(self) -> list[HandKeypoints]:
        """Return the hands that were found, left first."""
        return [hand for hand in (self.left, self.right) if hand is not None]


@dataclass(frozen=True)
class RefinedHands:
    """The hands of one frame after keypoint refinement.

    Parameters
    ----------
    hands : TwoHands
        The hands, with refined keypoints where refinement succeeded.
    refined : tuple of Side
        Sides whose keypoints come from the refinement network.
    message : str
        Why a hand kept its initial keypoints although refinement was requested, for a person; may be empty.
    """

    hands: TwoHands
    refined: tuple[Side, ...] = ()
    message: str = ""


def check_keypoints(positions: np.ndarray, what: str) -> np.ndarray:
    """Check that 21 keypoints form a usable hand.

    Parameters
    ----------
    positions : (21, 3) array
        Any frame, metres.
    what : str
        Name of the hand in error messages, for example ``"left hand of frame 000012 in keypoints.json"``.

    Returns
    -------
    (21, 3) float64
        The same keypoints.

    Raises
    ------
    InputError
        The shape is wrong, a number is not finite, a bone is shorter than 0.1 mm or longer than 0.5 m, or the palm's
        keypoints are collinear.
    """
    try:
        positions = np.asarray(positions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Keypoints of the {what} are not numbers.", "Give 21 rows of x, y, z.") from error
    if positions.shape != (KEYPOINT_COUNT, 3):
        raise InputError(f"Keypoints of the {what} have shape {positions.shape}.", "Give 21 rows of x, y, z.")
    if not np.isfinite(positions).all():
        bad = KEYPOINT_NAMES[int(np.argwhere(~np.isfinite(positions))[0][0])]
        raise InputError(f"Keypoint {bad} of the {what} is not a finite number.", "Leave the hand out of that frame.")
    parents = np.array(KEYPOINT_PARENTS[1:])
    lengths = np.linalg.norm(positions[1:] - positions[parents], axis=1)
    if (lengths < 1e-4).any():
        bad = KEYPOINT_NAMES[int(np.argmin(lengths)) + 1]
        raise InputError(
            f"The bone to {bad} of the {what} is {lengths.min() * 1000:.3f} mm long.",
            "Check the unit (metres or millimetres) and that the keypoints are all different.",
        )
    if (lengths > 0.5).any():
        raise InputError(
            f"A bone of the {what} is {lengths.max():.2f} m long.", 'Check the unit: say "unit": "mm" for millimetres.'
        )
    index, middle, little = (positions[k] - positions[WRIST] for k in (5, 9, 17))
    for a, b in ((index, middle), (middle, little)):
        if np.linalg.norm(np.cross(a, b)) < 1e-3 * np.linalg.norm(a) * np.linalg.norm(b):
            raise InputError(
                f"The palm keypoints of the {what} lie on one line.", "Leave the hand out of that frame or correct it."
            )
    return positions
