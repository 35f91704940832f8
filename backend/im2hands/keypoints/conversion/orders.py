"""Named tables of the keypoint orders, names and units of other systems, and the check of an order by bone lengths."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.hands import (
    BIOMECH_TO_FILE,
    FILE_TO_FILE,
    KEYPOINT_COUNT,
    KEYPOINT_NAMES,
    KEYPOINT_PARENTS,
    MIDDLE_MCP,
    TO_FILE_ORDER,
    WRIST,
)

ORDERS: dict[str, tuple[int, ...]] = {**TO_FILE_ORDER, "openpose": FILE_TO_FILE, "biomech": BIOMECH_TO_FILE}
"""Orders of 21 keypoints: ``file_order[k] = given[table[k]]``. MediaPipe's and OpenPose's are the file order."""

UNITS: dict[str, float] = {"m": 1.0, "mm": 0.001, "cm": 0.01}
"""Units of length, metres."""

TIP_VERTICES: tuple[int, ...] = (745, 317, 444, 556, 673)
"""MANO vertices of the tips, thumb to little finger, as IntagHand and Im2Hands take them."""

MANO_JOINTS_TO_FILE: tuple[int, ...] = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""From MANO's 16 joints (wrist; index, middle, little, ring, thumb) with the 5 tips appended, to file order."""

_ALIASES = {
    "wrist": ("wrist",),
    "thumb": ("thumb",),
    "index": ("index", "forefinger", "fore"),
    "middle": ("middle",),
    "ring": ("ring",),
    "little": ("little", "pinky", "pinkie"),
}
_FROM_TIP = {"first_joint": 2, "second_joint": 1, "third_joint": 0}  # of MHR: counted from the tip
_LEVELS = {  # words of the four joints of a finger, base to tip
    "thumb": (("cmc", "1"), ("mcp", "mp", "2"), ("ip", "3"), ("tip", "4", "null", "end")),
    "finger": (("mcp", "knuckle", "1"), ("pip", "2"), ("dip", "3"), ("tip", "4", "null", "end")),
}

_PALM = (0.05, 0.13)  # length from wrist to middle MCP of people, metres
_CLEARLY = 0.6  # an order fits clearly better if its bones differ from a hand's by less than this share

# Lengths of the 20 bones of the bundled hand, file order, palms. They do not depend on the pose, and no wrong order
# has lengths near them.
_BONES = (
    0.381, 0.349, 0.433, 0.353, 1.054, 0.314, 0.280, 0.315, 1.000, 0.395,
    0.329, 0.306, 0.959, 0.354, 0.283, 0.317, 0.933, 0.257, 0.185, 0.237,
)  # fmt: skip


def bone_misfit(points: np.ndarray) -> float:
    """How far the proportions of the 20 bones are from a hand's, if points (21, 3) are in file order.

    Returns
    -------
    float
        Standard deviation of the logarithms of the ratios: about 0.1 for a hand, 0.5 and more for another order.
    """
    lengths = np.linalg.norm(points[1:] - points[list(KEYPOINT_PARENTS[1:])], axis=1)
    return float(np.log(np.maximum(lengths, 1e-9) / _BONES).std())


def fitting_order(points: np.ndarray) -> str:
    """Find the order in which the bones have a hand's proportions.

    Parameters
    ----------
    points : (21, 3) array
        Points in an unknown order.

    Returns
    -------
    str
        A key of ``ORDERS``; "file" for all orders that equal it.
    """
    return min(ORDERS, key=lambda name: (round(bone_misfit(points[list(ORDERS[name])]), 9), list(ORDERS).index(name)))


def in_file_order(points: np.ndarray, order: str, what: str) -> np.ndarray:
    """Bring 21 points to file order and check that the order is right.

    Parameters
    ----------
    points : (21, 3) array
        The points.
    order : str
        The order that they are said to have, a key of ``ORDERS``.
    what : str
        Name of the hand in messages.

    Returns
    -------
    (21, 3) float64

    Raises
    ------
    InputError
        The points have another shape, or their bones show that they are in another order.
    """
    points = np.asarray(points, np.float64)
    if points.shape != (KEYPOINT_COUNT, 3):
        raise InputError(f"The {what} has points of shape {points.shape}.", "A hand has 21 keypoints.")
    moved = points[list(ORDERS[order])]
    if np.isfinite(points).all():
        best = fitting_order(points)
        if bone_misfit(points[list(ORDERS[best])]) < _CLEARLY * bone_misfit(moved):
            raise InputError(
                f"The {what} is not in the order {order}: its bones have a hand's lengths in the order {best}.",
                f"Give --order {best} to im2hands keypoints convert.",
            )
    return moved


def checked_unit(points: np.ndarray, unit: str, what: str) -> np.ndarray:
    """Convert a hand (21, 3) in file order to metres, and check that the unit is plausible.

    Raises
    ------
    InputError
        The palm has an impossible length; the message names the unit that fits.
    """
    length = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
    if not _PALM[0] <= length * UNITS[unit] <= _PALM[1]:
        fitting = [name for name, factor in UNITS.items() if _PALM[0] <= length * factor <= _PALM[1]]
        hint = (
            f"Give --unit {fitting[0]} to im2hands keypoints convert."
            if fitting
            else "Give --palm-mm to scale hands of unknown size."
        )
        raise InputError(f"The palm of the {what} is {length:.4g} {unit} long.", hint)
    return points * UNITS[unit]


def index_of_name(name: str) -> int | None:
    """Find the keypoint that a joint of another system names.

    Parameters
    ----------
    name : str
        A name such as ``left_index_mcp``, ``RightHandThumb4``, ``r_pinky3``, ``f_middle.02.L``.

    Returns
    -------
    int or None
        Index in file order; None if the name is no keypoint of a hand.
    """
    text = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    words = [word for word in re.split(r"[^a-z]+|(?<=[a-z])(?=\d)", text) if word]
    digits = re.findall(r"\d+", text)
    for finger, aliases in _ALIASES.items():
        if finger == "wrist" or not any(word in aliases for word in words):
            continue
        for words_from_tip, level in _FROM_TIP.items():
            if words_from_tip in text:
                return 1 + 4 * (list(_ALIASES).index(finger) - 1) + level
        for level, keys in enumerate(_LEVELS["thumb" if finger == "thumb" else "finger"]):
            if any(word in keys for word in words) or (digits and str(int(digits[-1])) in keys):
                return 1 + 4 * (list(_ALIASES).index(finger) - 1) + level
        return None
    return WRIST if "wrist" in words else None


def regressed(vertices: np.ndarray, regressor: np.ndarray) -> np.ndarray:
    """Compute the 21 keypoints of a MANO mesh.

    Parameters
    ----------
    vertices : (778, 3) array
        MANO vertices.
    regressor : (16, 778) or (21, 778) array
        MANO's own regressor (16 joints; the tips are ``TIP_VERTICES``), or InterHand2.6M's (21 joints, its order).

    Returns
    -------
    (21, 3) float64
        File order, unit and frame of the vertices.
    """
    joints = np.asarray(regressor, np.float64) @ np.asarray(vertices, np.float64)
    if len(joints) == KEYPOINT_COUNT:
        return joints[list(TO_FILE_ORDER["interhand"])]
    return np.concatenate([joints, np.asarray(vertices, np.float64)[list(TIP_VERTICES)]])[list(MANO_JOINTS_TO_FILE)]


def read_regressor(path: Path) -> np.ndarray:
    """Read a joint regressor from the user's own file.

    Parameters
    ----------
    path : Path
        ``.npy`` file of shape (16, 778) or (21, 778).

    Raises
    ------
    InputError
        The file cannot be read or has another shape.
    """
    try:
        matrix = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The regressor {path} cannot be read: {error}.", "Give a .npy file.") from error
    if matrix.ndim != 2 or matrix.shape[0] not in (16, KEYPOINT_COUNT) or matrix.shape[1] != 778:
        raise InputError(f"The regressor {path} has shape {matrix.shape}.", "It must be (16, 778) or (21, 778).")
    return np.asarray(matrix, np.float64)


def named_points(points: dict[str, np.ndarray], what: str) -> np.ndarray:
    """Bring the named joints of one hand to file order.

    Raises
    ------
    InputError
        A keypoint is missing or named twice.
    """
    found: dict[int, np.ndarray] = {}
    for name, point in points.items():
        index = index_of_name(name)
        if index is None:
            continue
        if index in found:
            raise InputError(f"Two joints of the {what} are {KEYPOINT_NAMES[index]}.", f"One of them is {name}.")
        found[index] = np.asarray(point, np.float64)
    missing = [KEYPOINT_NAMES[k] for k in range(KEYPOINT_COUNT) if k not in found]
    if missing:
        raise InputError(f"The {what} lacks {', '.join(missing[:4])}.", "Give all 21 keypoints, by name.")
    return np.stack([found[k] for k in range(KEYPOINT_COUNT)])
