"""Errors of keypoints and vertices in the two protocols in use, which differ in root and scale.

========== ============ ======================= =================================================================
protocol   root         scale                   used by
========== ============ ======================= =================================================================
intaghand  middle MCP   true / predicted palm   IntagHand's evaluator, to which Im2Hands refers; needs true sizes
mcp        middle MCP   none                    the research code's keypoint refinement
interhand  wrist        none                    InterHand2.6M's evaluator
========== ============ ======================= =================================================================

The palm is the segment from the wrist to the middle MCP. None of them scores where the hands are: see
``root_offset_error_mm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST, Side


@dataclass(frozen=True)
class Protocol:
    """How a predicted hand is placed on the true one.

    Parameters
    ----------
    root : int
        Keypoint that is moved to the origin, in both hands.
    scaled : bool
        Whether the prediction is scaled to the true palm length.
    says : str
        The protocol in words, printed with every number.
    """

    root: int
    scaled: bool
    says: str


PROTOCOLS: dict[str, Protocol] = {
    "intaghand": Protocol(MIDDLE_MCP, True, "root middle MCP, scaled to the true length wrist - middle MCP"),
    "mcp": Protocol(MIDDLE_MCP, False, "root middle MCP, no scale"),
    "interhand": Protocol(WRIST, False, "root wrist, no scale"),
}


def point_errors_mm(
    points: np.ndarray, true_points: np.ndarray, joints: np.ndarray, true_joints: np.ndarray, protocol: Protocol
) -> np.ndarray:
    """Distances of corresponding points after placing the prediction on the true hand.

    Parameters
    ----------
    points : (N, 3) float64
        Predicted keypoints or vertices, metres.
    true_points : (N, 3) float64
        True ones, same axes, metres.
    joints : (21, 3) float64
        Predicted keypoints, file order, frame of ``points``.
    true_joints : (21, 3) float64
        True keypoints, file order, frame of ``true_points``.
    protocol : Protocol
        How the prediction is placed.

    Returns
    -------
    (N,) float64
        Millimetres.
    """
    moved = points - joints[protocol.root]
    if protocol.scaled:
        lengths = [np.linalg.norm(hand[MIDDLE_MCP] - hand[WRIST]) for hand in (true_joints, joints)]
        moved = moved * (lengths[0] / max(float(lengths[1]), 1e-12))
    return np.linalg.norm(moved - (true_points - true_joints[protocol.root]), axis=1) * 1000


def root_offset_error_mm(
    joints: Mapping[Side, np.ndarray], true_joints: Mapping[Side, np.ndarray], root: int = WRIST
) -> float:
    """Relative root error (MRRPE): error of the vector from the left to the right root.

    Parameters
    ----------
    joints : mapping of Side to (21, 3) float64
        Both predicted hands, one frame, metres.
    true_joints : mapping of Side to (21, 3) float64
        Both true hands, same axes, metres.
    root : int
        The keypoint.

    Returns
    -------
    float
        Millimetres.
    """
    found = joints["right"][root] - joints["left"][root]
    true = true_joints["right"][root] - true_joints["left"][root]
    return float(np.linalg.norm(found - true) * 1000)
