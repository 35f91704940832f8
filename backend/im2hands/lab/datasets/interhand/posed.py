"""The posed MANO hands of a frame: parameters checked, meshes and keypoints in the world frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side, check_keypoints
from im2hands.core.unpickling import plain_array

from .mano import BETAS, POSE, Mano
from .raw import InterHand, Sample, hand_joints


@dataclass(frozen=True)
class Fit:
    """MANO parameters of one hand, world frame.

    Parameters
    ----------
    pose : (48,) float64
        Axis-angle; the last 45 are relative to the mean pose.
    shape : (10,) float64
        Shape parameters.
    translation : (3,) float64
        Translation, metres.
    """

    pose: np.ndarray
    shape: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class PosedHand:
    """One hand of a frame.

    Parameters
    ----------
    vertices : (778, 3) float64
        Vertices, world frame, metres.
    keypoints : (21, 3) float64
        Keypoints of MANO, file order, world frame, metres.
    fit : Fit
        The parameters that it was posed with.
    """

    vertices: np.ndarray
    keypoints: np.ndarray
    fit: Fit


def read_fit(values: Any) -> Fit:
    """Check the MANO parameters of a hand as ``InterHand.fit`` returns them.

    Raises
    ------
    ValueError
        A number is missing or not finite.
    """
    if not isinstance(values, Mapping):
        raise ValueError("there are no parameters")
    sizes = {"pose": POSE, "shape": BETAS, "trans": 3}
    try:
        return Fit(*(plain_array(values[name], (size,)) for name, size in sizes.items()))
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error


def pose_hands(mano: Mano, fits: Mapping[Side, Fit]) -> dict[Side, PosedHand]:
    """Pose both hands.

    Parameters
    ----------
    mano : Mano
        The hands of MANO.
    fits : mapping of Side to Fit
        Parameters of both hands.

    Returns
    -------
    dict of Side to PosedHand
        The hands.

    Raises
    ------
    ValueError
        The parameters give no hand: keypoints coincide, or bones are impossibly long.
    """
    posed: dict[Side, PosedHand] = {}
    for side in SIDES:
        vertices, joints = mano[side].pose(fits[side].pose, fits[side].shape, fits[side].translation)
        try:
            keypoints = check_keypoints(mano.keypoints(side, vertices, joints), f"{side} hand")
        except InputError as error:
            raise ValueError(error.message) from error
        posed[side] = PosedHand(vertices, keypoints, fits[side])
    return posed


def annotation_fits(mano: Mano, fits: Mapping[Side, Fit]) -> dict[Side, dict[str, np.ndarray]]:
    """Write parameters as a prepared crop's annotation has them; see ``annotation.CropAnnotation``."""
    return {
        side: {
            "R": Rotation.from_rotvec(fit.pose[:3]).as_matrix()[None].astype(np.float32),
            "pose": mano[side].coefficients(fit.pose)[None].astype(np.float32),
            "shape": fit.shape[None].astype(np.float32),
            "trans": fit.translation[None].astype(np.float32),
        }
        for side, fit in fits.items()
    }


def annotated_keypoints(data: InterHand, sample: Sample) -> dict[Side, tuple[np.ndarray, np.ndarray]]:
    """Return the annotated keypoints of a frame.

    Parameters
    ----------
    data : InterHand
        The annotations.
    sample : Sample
        A picture of the frame.

    Returns
    -------
    dict of Side to ((21, 3) float64, (21,) bool)
        Keypoints in file order, world frame, metres, and which of them are valid. Empty if the file lacks the frame.
    """
    found = data.joints(sample.capture, sample.frame)
    if found is None:
        return {}
    places, valid = found
    return {side: (hand_joints(places, side), hand_joints(valid, side)) for side in SIDES}


def fit_error(posed: PosedHand, keypoints: np.ndarray, valid: np.ndarray) -> float | None:
    """Mean distance of MANO's keypoints to the valid annotated ones (21, 3), millimetres; None if none is valid."""
    if not valid.any():
        return None
    return float(1000 * np.linalg.norm(posed.keypoints - keypoints, axis=1)[valid].mean())
