"""Quaternions as numpy arrays (..., 4) in the order (w, x, y, z)."""

from __future__ import annotations

import numpy as np


def normalized(quaternions: np.ndarray) -> np.ndarray:
    """Scale quaternions to unit length.

    Parameters
    ----------
    quaternions : (..., 4) array
        The quaternions.

    Returns
    -------
    (..., 4) float64
        Unit quaternions; a zero quaternion becomes the identity.
    """
    values = np.asarray(quaternions, dtype=np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(length > 1e-12, values / np.where(length > 1e-12, length, 1.0), (1.0, 0.0, 0.0, 0.0))


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Multiply quaternions: the result rotates by ``second``, then by ``first``.

    Parameters
    ----------
    first, second : (..., 4) array
        Quaternions, broadcast against each other.

    Returns
    -------
    (..., 4) float64
        The products.
    """
    aw, ax, ay, az = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def inverse(quaternions: np.ndarray) -> np.ndarray:
    """The inverse rotations (..., 4) float64 of unit quaternions (..., 4)."""
    return np.asarray(quaternions, np.float64) * (1.0, -1.0, -1.0, -1.0)


def rotated(quaternions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotate vectors.

    Parameters
    ----------
    quaternions : (..., 4) array
        Unit quaternions.
    vectors : (..., 3) array
        The vectors, broadcast against the quaternions.

    Returns
    -------
    (..., 3) float64
        The rotated vectors.
    """
    vectors = np.asarray(vectors, np.float64)
    w, axis = quaternions[..., :1], quaternions[..., 1:]
    once = 2.0 * np.cross(axis, vectors)
    return vectors + w * once + np.cross(axis, once)


def from_matrix(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices to quaternions.

    Uses the eigenvector method of Bar-Itzhack (2000), which has no branches and stays exact near half turns.

    Parameters
    ----------
    matrices : (..., 3, 3) array
        Rotation matrices. A matrix that is only nearly a rotation gives the nearest rotation.

    Returns
    -------
    (..., 4) float64
        Unit quaternions with w >= 0.
    """
    m = np.asarray(matrices, np.float64)
    k = np.empty((*m.shape[:-2], 4, 4))
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    k[..., 0, 0] = trace
    k[..., 0, 1] = k[..., 1, 0] = m[..., 2, 1] - m[..., 1, 2]
    k[..., 0, 2] = k[..., 2, 0] = m[..., 0, 2] - m[..., 2, 0]
    k[..., 0, 3] = k[..., 3, 0] = m[..., 1, 0] - m[..., 0, 1]
    for i in range(3):
        for j in range(3):
            k[..., i + 1, j + 1] = m[..., i, j] + m[..., j, i]
        k[..., i + 1, i + 1] -= trace
    values = np.linalg.eigh(k)[1][..., -1]
    return values * np.where(values[..., :1] < 0, -1.0, 1.0)


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Find the smallest rotation from one direction to another.

    Parameters
    ----------
    first, second : (..., 3) array
        The directions, of any length except zero.

    Returns
    -------
    (..., 4) float64
        Unit quaternions that rotate ``first`` to ``second``. For opposite directions any half turn is returned.
    """
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second / np.linalg.norm(second, axis=-1, keepdims=True)
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    side = np.where(np.abs(a[..., :1]) < 0.9, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    axis = np.where(w > 1e-9, np.cross(a, b), np.cross(a, side))
    return normalized(np.concatenate([np.where(w > 1e-9, w, 0.0), axis], axis=-1))


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """Choose the signs of quaternions over time so that neighbours are near each other.

    Parameters
    ----------
    quaternions : (N, ..., 4) array
        Quaternions over N frames; NaN on frames without a rotation.

    Returns
    -------
    (N, ..., 4) float64
        The same rotations. Frames with NaN are skipped and keep it.
    """
    values = np.array(quaternions, dtype=np.float64)
    known = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    there = values[known]
    if len(there) > 1:
        flips = np.where(np.sum(there[1:] * there[:-1], axis=-1) < 0, -1.0, 1.0)
        there[1:] *= np.cumprod(flips, axis=0)[..., None]
        values[known] = there
    return values


def nearest(quaternions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Choose the signs of quaternions so that they are near reference quaternions.

    Parameters
    ----------
    quaternions, reference : (..., 4) array
        The quaternions and their references.

    Returns
    -------
    (..., 4) array
        The same rotations. Where either is NaN the sign stays.
    """
    dots = np.sum(quaternions * reference, axis=-1, keepdims=True)
    return quaternions * np.where(dots < 0, -1.0, 1.0)


def offsets(below: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find the rotations that, combined with others below them, give the wanted ones.

    Parameters
    ----------
    below, wanted : (..., 4) array
        Unit quaternions.

    Returns
    -------
    (..., 4) float64
        Unit quaternions, of the sign that is near no rotation.
    """
    values = product(inverse(below), wanted)
    return nearest(values, np.broadcast_to([1.0, 0.0, 0.0, 0.0], values.shape))
