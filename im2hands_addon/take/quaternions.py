"""Quaternions (..., 4) in the order (w, x, y, z), in bulk with numpy."""

from __future__ import annotations

import numpy as np


def normalized(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions, float64; a zero quaternion becomes the identity."""
    values = np.asarray(quaternions, dtype=np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.where(length > 1e-12, values / np.where(length > 1e-12, length, 1.0), (1.0, 0.0, 0.0, 0.0))


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The rotation ``second`` and then ``first``."""
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
    """The rotation back, of unit quaternions."""
    return np.asarray(quaternions, np.float64) * (1.0, -1.0, -1.0, -1.0)


def rotated(quaternions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``vectors`` (..., 3) turned by unit ``quaternions``."""
    vectors = np.asarray(vectors, np.float64)
    w, axis = quaternions[..., :1], quaternions[..., 1:]
    once = 2.0 * np.cross(axis, vectors)
    return vectors + w * once + np.cross(axis, once)


def to_matrix(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of unit quaternions."""
    return np.stack([rotated(quaternions, axis) for axis in np.eye(3)], axis=-1)


def from_matrix(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions of rotation matrices (..., 3, 3); the nearest rotation's where they are only nearly rotations.

    The eigenvector of Bar-Itzhack (2000): no branches, and no loss near half turns.
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
    """The smallest rotation that turns the directions ``first`` (..., 3) into ``second`` (..., 3)."""
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second / np.linalg.norm(second, axis=-1, keepdims=True)
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    side = np.where(np.abs(a[..., :1]) < 0.9, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    axis = np.where(w > 1e-9, np.cross(a, b), np.cross(a, side))
    return normalized(np.concatenate([np.where(w > 1e-9, w, 0.0), axis], axis=-1))


def continuous(quaternions: np.ndarray) -> np.ndarray:
    """The same rotations over time (axis 0), signs chosen so that neighbours are near; NaN are skipped over."""
    values = np.array(quaternions, dtype=np.float64)
    known = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    there = values[known]
    if len(there) > 1:
        flips = np.where(np.sum(there[1:] * there[:-1], axis=-1) < 0, -1.0, 1.0)
        there[1:] *= np.cumprod(flips, axis=0)[..., None]
        values[known] = there
    return values


def nearest(quaternions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The same rotations with the sign that is nearer to ``reference`` (same shape); NaN count as near."""
    dots = np.sum(quaternions * reference, axis=-1, keepdims=True)
    return quaternions * np.where(dots < 0, -1.0, 1.0)
