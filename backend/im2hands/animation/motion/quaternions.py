"""Rotations as quaternions (w, x, y, z) that do not jump in sign, and between two of them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def to_quaternions(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotations, NaN where not known, to (..., 4) unit quaternions (w, x, y, z), w >= 0."""
    flat = matrices.reshape(-1, 3, 3)
    found = np.full((len(flat), 4), np.nan)
    known = np.isfinite(flat).all(axis=(1, 2))
    if known.any():
        found[known] = Rotation.from_matrix(flat[known]).as_quat()[:, [3, 0, 1, 2]]
    found[found[:, 0] < 0] *= -1
    return found.reshape(*matrices.shape[:-2], 4)


def to_matrices(quaternions: np.ndarray) -> np.ndarray:
    """(..., 4) quaternions (w, x, y, z) of any length to (..., 3, 3); NaN where not known."""
    flat = quaternions.reshape(-1, 4)
    found = np.full((len(flat), 3, 3), np.nan)
    known = np.isfinite(flat).all(axis=1) & (np.abs(flat) > 0).any(axis=1)
    if known.any():
        found[known] = Rotation.from_quat(flat[known][:, [1, 2, 3, 0]]).as_matrix()
    return found.reshape(*quaternions.shape[:-1], 3, 3)


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """The quaternions (N, ..., 4), signs chosen so that each is the nearer one to the last that is known."""
    found = quaternions.copy()
    last = found[0].copy()
    for k in range(1, len(found)):
        turned = (found[k] * last).sum(axis=-1) < 0
        found[k][turned] *= -1
        known = np.isfinite(found[k]).all(axis=-1)
        last[known] = found[k][known]
    return found


def slerp(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Between rotations (..., 4) the short way, at a constant rate; ``share`` 0 is the first."""
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
    """The same turns (..., 4) seen in a mirror across x; local ones in axes mirrored likewise with x turned about."""
    found: np.ndarray = quaternions * np.array([1.0, 1.0, -1.0, -1.0])
    return found
