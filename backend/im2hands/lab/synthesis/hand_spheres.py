"""Sphere approximation of the synthetic hand: a fast stand-in for its mesh when hands must not penetrate each other.

The spheres lie inside the mean hand's mesh, along its bones and across its palm, and are as large as fits. Each sphere
is tied to the mesh vertices around it, so it moves with them and scales with the hand's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.geometry.signed_distance import ClosedMesh

from .poses import mean_shape

# Positions of the spheres along the bones, as shares of the way from one joint to the next.
_ALONG_PHALANX = (0.15, 0.5, 0.85)
_ALONG_TIP = (0.2, 0.55, 0.85)
_METACARPAL_SHARES = (0.3, 0.45, 0.6, 0.75, 0.9)
_EDGE_SHARES = (0.45, 0.65, 0.85)
_EDGE = 0.45
"""Distance of the palm's outer spheres from the little finger's metacarpal, as a share of the last knuckle distance."""
_FOREARM_SHARES = (0.08, 0.24, 0.42, 0.62, 0.82)
_BULGE = 0.7
"""Spheres grow by this share of the mean distance to the skin that they leave uncovered."""
_AROUND = 1.30
"""A sphere is tied to the vertices within this many radii of its centre."""


@dataclass(frozen=True)
class SphereSet:
    """Spheres of a hand, tied to mesh vertices.

    Parameters
    ----------
    weights : (S, V) float64
        Weights from mesh vertices to sphere centres; each row sums to 1.
    members : (S, V) float64
        Weights of the vertices whose distance scales the radius; each row sums to 1.
    radius : (S,) float64
        Radii at the mean shape, metres.
    reach : (S,) float64
        Mean distance of the members from the centre at the mean shape, metres.
    bone : (S,) int64
        Rig bone that each sphere moves with.
    apart : (S, S) bool
        Pairs of spheres that must not overlap within one hand.
    """

    weights: Tensor
    members: Tensor
    radius: Tensor
    reach: Tensor
    bone: Tensor
    apart: Tensor

    def rest(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the spheres of rest-pose hands.

        Parameters
        ----------
        vertices : (B, V, 3) float64
            Rest-pose vertices, metres.

        Returns
        -------
        centres : (B, S, 3) float64
            Centres, metres.
        radii : (B, S) float64
            Radii, metres.
        """
        centres = torch.einsum("sv,bvc->bsc", self.weights, vertices)
        reach = torch.stack(
            [
                (row[used] * torch.linalg.vector_norm(vertices[:, used] - centres[:, s, None], dim=-1)).sum(-1)
                for s, (row, used) in enumerate(zip(self.members, self.members > 0, strict=True))
            ],
            dim=1,
        )
        return centres, reach * (self.radius / self.reach)

    @property
    def count(self) -> int:
        """Number of spheres of a hand."""
        return len(self.radius)

    def group(self, bones: tuple[int, ...]) -> Tensor:
        """Mark (S,) bool the spheres that move with the given rig bones."""
        return torch.isin(self.bone, torch.tensor(bones))


def fit_spheres(model: HandModel) -> SphereSet:
    """Fit the spheres to the mean hand of the model."""
    rest, heads = model.rest(mean_shape(1))
    vertices, ends = rest[0].numpy(), heads[0].numpy()
    faces = model.faces.numpy()
    closed = np.vstack([vertices, vertices[model._cap.numpy()].mean(axis=0)])
    mesh = ClosedMesh(closed, faces)
    starts: list[np.ndarray] = []
    bones: list[int] = []

    def add(first: int, last: int, shares: tuple[float, ...], bone: int) -> None:
        for share in shares:
            starts.append(ends[first] + share * (ends[last] - ends[first]))
            bones.append(bone)

    for finger, chain in enumerate(FINGER_BONES):
        stops = (*chain, 22 + finger)
        for k in range(3):
            shares = _ALONG_TIP if k == 2 else _ALONG_PHALANX
            add(stops[k], stops[k + 1], shares, chain[k])
    for metacarpal, knuckle in ((6, 7), (10, 11), (14, 15), (18, 19)):
        add(2, knuckle, _METACARPAL_SHARES, metacarpal)
    outward = _EDGE * (ends[19] - ends[15])
    for share in _EDGE_SHARES:
        starts.append(ends[2] + share * (ends[19] - ends[2]) + outward)
        bones.append(18)
    add(2, 11, (0.1,), 2)
    add(1, 0, (0.1, 0.4, 0.75), 0)
    add(2, 1, _FOREARM_SHARES, 1)
    centres, radii = _grow(np.stack(starts), mesh)
    apart_gap = np.linalg.norm(centres[:, None] - centres[None], axis=-1) - radii[:, None] - radii[None]
    radii = _cover(centres, radii, vertices)
    weights = np.zeros((len(centres), len(vertices)))
    members = np.zeros_like(weights)
    for row, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        distance = np.linalg.norm(vertices - centre, axis=1)
        own = np.flatnonzero(distance < max(_AROUND * radius, np.sort(distance)[11] + 1e-9))
        # The least-norm weights that sum to 1 and give this centre. They follow any affine change of the vertices.
        system = np.vstack([np.ones(len(own)), vertices[own].T])
        weights[row, own] = np.linalg.lstsq(system, np.concatenate([[1.0], centre]), rcond=None)[0]
        members[row, own] = 1 / len(own)
    reach = np.array([(m * np.linalg.norm(vertices - c, axis=1)).sum() for m, c in zip(members, centres, strict=True)])
    bone = torch.tensor(bones)
    apart = torch.from_numpy(apart_gap > 0.003) & ~_neighbours(model, bone)
    return SphereSet(
        torch.from_numpy(weights),
        torch.from_numpy(members),
        torch.from_numpy(radii),
        torch.from_numpy(reach),
        bone,
        apart,
    )


def _grow(starts: np.ndarray, mesh: ClosedMesh) -> tuple[np.ndarray, np.ndarray]:
    """Move centres (S, 3) away from the nearest surface while the distance grows; returns centres and radii (S,)."""
    centres = starts.copy()
    step = 0.0006
    distance = -mesh.signed_distance(centres)
    for _ in range(25):
        nearest = mesh.nearest(centres)
        away = centres - nearest
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        moved = centres + step * away
        # Limit the movement, else neighbours meet at the thickest part of the hand.
        moved = starts + np.clip(moved - starts, -0.006, 0.006)
        further = -mesh.signed_distance(moved)
        better = further > distance
        centres[better], distance[better] = moved[better], further[better]
    return centres, distance


def _cover(centres: np.ndarray, radii: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Radii (S,) enlarged towards the surface around each sphere."""
    outside = np.linalg.norm(vertices[:, None] - centres[None], axis=-1) - radii
    nearest = outside.argmin(axis=1)
    uncovered = np.array(
        [outside[nearest == s, s].mean() if (nearest == s).any() else 0.0 for s in range(len(centres))]
    )
    result: np.ndarray = radii + _BULGE * np.clip(uncovered, 0, 0.004)
    return result


def _neighbours(model: HandModel, bone: Tensor) -> Tensor:
    """Mark (S, S) bool the spheres on the same bone, on adjacent bones, or both in palm and forearm."""
    palm = {0, 1, 2, 6, 10, 14, 18}
    pairs = torch.zeros(22, 22, dtype=torch.bool)
    for child, parent in enumerate(model.parents):
        pairs[child, child] = True
        if parent >= 0:
            pairs[child, parent] = pairs[parent, child] = True
    for a in palm:
        for b in palm:
            pairs[a, b] = True
    for thumb_root in (6, 10):  # the thumb's first bone lies in the palm
        pairs[3, thumb_root] = pairs[thumb_root, 3] = True
    return pairs[bone][:, bone]
