"""Rotations, angles and rigid transforms of batched vectors, differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def turned(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Apply rotations to vectors.

    Parameters
    ----------
    rotation : (..., 3, 3) float
        Rotation matrices.
    vectors : (..., 3) float
        Vectors.

    Returns
    -------
    (..., 3) float
        The turned vectors.
    """
    return (rotation @ vectors[..., None])[..., 0]


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors to length 1.

    Parameters
    ----------
    vectors : (..., 3) float
        Vectors, not zero.

    Returns
    -------
    (..., 3) float
        Vectors of the same directions and of length 1.
    """
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Dot products (...) of vectors (..., 3)."""
    return (a * b).sum(-1)


def rigid(turn: Tensor, offset: Tensor) -> Tensor:
    """Make rigid transforms of rotations and translations.

    Parameters
    ----------
    turn : (..., 3, 3) float
        Rotation matrices.
    offset : (..., 3) float
        Translations, which follow the rotations.

    Returns
    -------
    (..., 4, 4) float
        The transforms.
    """
    top = torch.cat([turn, offset[..., None]], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 3] = 1.0
    return torch.cat([top, bottom], dim=-2)


def rodrigues(angle: Tensor, axis: Tensor) -> Tensor:
    """Return rotation matrices about given axes.

    Parameters
    ----------
    angle : (...) float
        Angles, radians, right-hand rule.
    axis : (..., 3) float
        Axes of unit length.

    Returns
    -------
    (..., 3, 3) float
        Rotation matrices.
    """
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    sin, cos = torch.sin(angle)[..., None, None], torch.cos(angle)[..., None, None]
    return eye + sin * cross + (1 - cos) * (cross @ cross)


def angle_between(u: Tensor, v: Tensor) -> Tensor:
    """Return the angles between vectors.

    Parameters
    ----------
    u : (..., 3) float
        Vectors, not zero.
    v : (..., 3) float
        Vectors, not zero.

    Returns
    -------
    (...) float
        Angles, radians, 0 to pi, accurate near both.
    """
    u, v = unit(u), unit(v)
    return 2 * torch.atan2(torch.linalg.vector_norm(u - v, dim=-1), torch.linalg.vector_norm(u + v, dim=-1))


def signed_angle(u: Tensor, v: Tensor, reference: Tensor) -> Tensor:
    """Return the angles from ``u`` to ``v``.

    Parameters
    ----------
    u : (..., 3) float
        Vectors, not zero.
    v : (..., 3) float
        Vectors, not zero.
    reference : (..., 3) float
        The angle is negative where u x v points away from it.

    Returns
    -------
    (...) float
        Angles, radians.
    """
    angle = angle_between(u, v)
    return torch.where(_dot(reference, torch.linalg.cross(u, v)) < 0, -angle, angle)


def aligning(u: Tensor, v: Tensor) -> Tensor:
    """Return the shortest rotations that turn ``u`` into the direction of ``v``.

    Parameters
    ----------
    u : (..., 3) float
        Vectors, not zero.
    v : (..., 3) float
        Vectors, not zero.

    Returns
    -------
    (..., 3, 3) float
        Rotation matrices; the identity for parallel vectors.
    """
    cross = torch.linalg.cross(u, v)
    axis = cross / torch.linalg.vector_norm(cross, dim=-1, keepdim=True).clamp_min(1e-8)
    return rodrigues(angle_between(u, v), axis)
