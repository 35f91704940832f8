"""What keypoints do not show of a hand's shape: how wide its palm is, how thick its palm and its fingers are.

A hand's *widths* are eight ratios to the usual hand (the bundled model's mean) of the same palm length, in the order of
``WIDTH_NAMES``: 1.1 means a tenth wider. NaN stands for a width that is not known. They are measured on a surface
whose parts are labelled by bone, of any hand model.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from im2hands.core.errors import InputError
from im2hands.core.hands import MIDDLE_MCP, WIDTH_NAMES, WRIST

from .bones import BONE_COUNT, BONE_ENDS

WIDTH_COUNT = len(WIDTH_NAMES)
_FINGERS = slice(3, 8)  # the single fingers among the widths, thumb to little
_COMMON = 2  # all fingers together

USUAL = (0.22541, 0.15061, 0.12548, 0.09451, 0.10267, 0.09408, 0.07497)
"""Palm width, palm thickness and finger thickness (thumb to little) of the usual hand, in palm lengths; see
``measure_widths``."""

WIDTH_LIMITS = (0.4, 2.5)
"""Smallest and largest width that a hand can have."""

_HINT = f"Give {WIDTH_COUNT} ratios to the usual hand ({', '.join(WIDTH_NAMES)}), NaN where one is not known."

# The three bones of each finger, thumb to little, among the 16 bones.
_BONES_OF_FINGER = ((13, 14, 15), (1, 2, 3), (4, 5, 6), (10, 11, 12), (7, 8, 9))
# The part of the palm that is measured: from this share of the way from the wrist to the middle MCP, to that one.
_PALM_PART = (0.25, 0.9)

# Keypoints that the palm carries; they tell how wide the hand's skeleton is, which lengths of bones do not.
_PALM_JOINTS = (1, 5, 9, 13, 17)

SHAPE_INPUTS = BONE_COUNT + 3 * len(_PALM_JOINTS) + 2 * WIDTH_COUNT
"""Numbers in the rows of ``shape_inputs``."""


def measure_widths(vertices: Tensor, keypoints: Tensor, faces: np.ndarray, parts: np.ndarray) -> Tensor:
    """Measure the widths of hands on their surfaces, in a pose with an open palm.

    The thickness of a finger is the mean distance of the surface of its three phalanges from the lines between their
    joints. Width and thickness of the palm are the mean distances of its surface from its middle, across the hand and
    from palm to back. All are means over the area, so that the mesh's resolution does not matter, divided by the palm
    length and by the same number of the usual hand.

    Parameters
    ----------
    vertices : (B, V, 3) float
        Vertices of B right hands, canonical frame (``geometry.bones``), metres.
    keypoints : (B, 21, 3) float
        Keypoints in file order, same frame, metres.
    faces : (F, 3) int
        Triangles.
    parts : (V,) int
        The bone (0 to 15) that moves each vertex.

    Returns
    -------
    (B, 8) float
        The widths.
    """
    return _measured(vertices, keypoints, faces, parts) / vertices.new_tensor([*USUAL[:2], 1.0, *USUAL[2:]])


def _measured(vertices: Tensor, keypoints: Tensor, faces: np.ndarray, parts: np.ndarray) -> Tensor:
    """The numbers in palm lengths; for all fingers together the ratio already."""
    palm = torch.linalg.vector_norm(keypoints[:, MIDDLE_MCP] - keypoints[:, WRIST], dim=-1)
    corners = vertices[:, torch.as_tensor(np.asarray(faces, np.int64))]
    centre = corners.mean(2)
    area = torch.linalg.vector_norm(
        torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]), dim=-1
    )
    owner = np.asarray(parts)[np.asarray(faces)]
    whole = np.where((owner == owner[:, :1]).all(axis=1), owner[:, 0], -1)  # faces between two bones belong to none
    found = []
    on_palm = torch.as_tensor(whole == 0)
    along = -centre[..., 0] / palm[:, None]
    weight = area * (on_palm & (along > _PALM_PART[0]) & (along < _PALM_PART[1]))
    weight = weight / weight.sum(1, keepdim=True)
    for axis in (2, 1):
        middle = (weight * centre[..., axis]).sum(1, keepdim=True)
        found.append((weight * (centre[..., axis] - middle).abs()).sum(1) / palm)
    fingers = []
    for bones in _BONES_OF_FINGER:
        distance, total = torch.zeros_like(palm), torch.zeros_like(palm)
        for bone in bones:
            rows = torch.as_tensor(np.flatnonzero(whole == bone))
            start, end = (keypoints[:, k] for k in BONE_ENDS[bone])
            line = end - start
            line = line / torch.linalg.vector_norm(line, dim=-1, keepdim=True)
            offset = centre[:, rows] - start[:, None]
            across = offset - (offset * line[:, None]).sum(-1, keepdim=True) * line[:, None]
            distance = distance + (area[:, rows] * torch.linalg.vector_norm(across, dim=-1)).sum(1)
            total = total + area[:, rows].sum(1)
        fingers.append(distance / total / palm)
    each = torch.stack(fingers, dim=1)
    common = torch.log(each / each.new_tensor(USUAL[2:])).mean(1).exp()
    return torch.cat([torch.stack([*found, common], dim=1), each], dim=1)


def check_widths(widths: object, what: str) -> np.ndarray:
    """Check widths that come from outside.

    Parameters
    ----------
    widths : array-like
        Eight numbers, NaN where not known.
    what : str
        Name of the hand in error messages.

    Returns
    -------
    (8,) float64
        The same widths.

    Raises
    ------
    InputError
        They are not eight numbers, or one lies outside ``WIDTH_LIMITS``.
    """
    try:
        found = np.asarray(widths, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The widths of the {what} are not numbers.", _HINT) from error
    if found.shape != (WIDTH_COUNT,):
        raise InputError(f"The widths of the {what} have shape {found.shape}.", _HINT)
    known = found[~np.isnan(found)]
    if ((known < WIDTH_LIMITS[0]) | (known > WIDTH_LIMITS[1])).any():
        raise InputError(f"A width of the {what} is not between {WIDTH_LIMITS[0]} and {WIDTH_LIMITS[1]}.", _HINT)
    return found


def known_widths(
    palm_width: float = np.nan, palm_thickness: float = np.nan, fingers: float = np.nan
) -> np.ndarray:  # fmt: skip
    """Return widths (8,) of which those of single fingers are not known, each kept within ``WIDTH_LIMITS``."""
    found = np.full(WIDTH_COUNT, np.nan)
    found[: _COMMON + 1] = np.clip([palm_width, palm_thickness, fingers], *WIDTH_LIMITS)
    return found


def stacked_widths(widths: Iterable[np.ndarray | None]) -> Tensor:
    """Stack the widths of B hands as (B, 8) float64; None stands for a hand whose widths are not known."""
    unknown = np.full(WIDTH_COUNT, np.nan)
    return torch.as_tensor(np.stack([unknown if one is None else one for one in widths]), dtype=torch.float64)


def shape_inputs(lengths: Tensor, joints: Tensor, widths: Tensor | None = None) -> Tensor:
    """What a network that knows the hand's shape reads of it.

    Parameters
    ----------
    lengths : (B, 16) float
        Bone lengths, metres; see ``geometry.bones.Bones``.
    joints : (B, 21, 3) float
        Keypoints in file order, canonical frame, metres.
    widths : (B, 8) float, optional
        Widths, NaN where not known; None if no width of any hand is known.

    Returns
    -------
    (B, 47) float
        Bone lengths and the places of the palm's joints, metres; logarithms of the widths, 0 where not known, those of
        single fingers relative to all fingers together; and 1 for each known width.
    """
    palm = joints[:, list(_PALM_JOINTS)].flatten(1)
    if widths is None:
        return torch.cat([lengths, palm, lengths.new_zeros(len(lengths), 2 * WIDTH_COUNT)], dim=1)
    widths = widths.to(lengths)
    logs, known = torch.log(widths).nan_to_num(0.0), (~torch.isnan(widths)).to(lengths)
    single, single_known = logs[:, _FINGERS], known[:, _FINGERS]
    # Fingers that are known say how thick all of them are.
    count = single_known.sum(1)
    mean = (single * single_known).sum(1) / count.clamp_min(1)
    common = torch.where(known[:, _COMMON] > 0, logs[:, _COMMON], mean)
    common_known = torch.maximum(known[:, _COMMON], (count > 0).to(known))
    columns = [logs[:, :_COMMON], common[:, None], (single - common[:, None]) * single_known]
    flags = [known[:, :_COMMON], common_known[:, None], single_known]
    return torch.cat([lengths, palm, *columns, *flags], dim=1)
