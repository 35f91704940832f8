"""Rotations as quaternions (w, x, y, z): conversion, continuous signs, interpolation, mirroring."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def to_quaternions(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices to quaternions.

    Parameters
    ----------
    matrices : (..., 3, 3) float
        Rotations; NaN where unknown.

    Returns
    -------
    (..., 4) float64
        Unit quaternions (w, x, y, z) with w >= 0; NaN where unknown.
    """
    flat = matrices.reshape(-1, 3, 3)
    found = np.full((len(flat), 4), np.nan)
    known = np.isfinite(flat).all(axis=(1, 2))
    if known.any():
        found[known] = Rotation.from_matrix(flat[known]).as_quat()[:, [3, 0, 1, 2]]
    found[found[:, 0] < 0] *= -1
    return found.reshape(*matrices.shape[:-2], 4)


def to_matrices(quaternions: np.ndarray) -> np.ndarray:
    """Convert quaternions to rotation matrices.

    Parameters
    ----------
    quaternions : (..., 4) float
        Quaternions (w, x, y, z), not necessarily of unit length; NaN or zero where unknown.

    Returns
    -------
    (..., 3, 3) float64
        Rotations; NaN where unknown.
    """
    flat = quaternions.reshape(-1, 4)
    found = np.full((len(flat), 3, 3), np.nan)
    known = np.isfinite(flat).all(axis=1) & (np.abs(flat) > 0).any(axis=1)
    if known.any():
        found[known] = Rotation.from_quat(flat[known][:, [1, 2, 3, 0]]).as_matrix()
    return found.reshape(*quaternions.shape[:-1], 3, 3)


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """Choose the signs of quaternions over time so that they do not jump.

    Parameters
    ----------
    quaternions : (N, ..., 4) float
        Quaternions of N frames; NaN where unknown.

    Returns
    -------
    (N, ..., 4) float
        The same rotations; each quaternion has the sign that is nearer to the last known one.
    """
    found = quaternions.copy()
    last = found[0].copy()
    for k in range(1, len(found)):
        turned = (found[k] * last).sum(axis=-1) < 0
        found[k][turned] *= -1
        known = np.isfinite(found[k]).all(axis=-1)
        last[known] = found[k][known]
    return found


def slerp(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Interpolate between rotations along the shorter arc, at a constant rate.

    Parameters
    ----------
    first : (..., 4) float
        Unit quaternions at share 0.
    second : (..., 4) float
        Unit quaternions at share 1.
    share : float
        Position between them, 0 to 1.

    Returns
    -------
    (..., 4) float
        Unit quaternions.
    """
    cosine = (first * second).sum(axis=-1, keepdims=True)
    second = np.where(cosine < 0, -second, second)
    angle = np.arccos(np.clip(np.abs(cosine), 0, 1))
    sine = np.sin(angle)
    near = sine < 1e-6
    a = np.where(near, 1 - share, np.sin((1 - share) * angle) / np.where(near, 1, sine))
    b = np.where(near, share, np.sin(share * angle) / np.where(near, 1, sine))
    found = a * first + b * second
    unit: np.ndarray = found / np.linalg.norm(found, axis=-1, keepdims=True)
    return unit


def mirrored(quaternions: np.ndarray) -> np.ndarray:
    """Mirror rotations across x.

    For local rotations, the bone axes are mirrored in the same way, with x reversed (see
    ``template.files.handed_axes``).

    Parameters
    ----------
    quaternions : (..., 4) float
        Quaternions (w, x, y, z).

    Returns
    -------
    (..., 4) float
        Quaternions of the mirror image.
    """
    found: np.ndarray = quaternions * np.array([1.0, 1.0, -1.0, -1.0])
    return found
