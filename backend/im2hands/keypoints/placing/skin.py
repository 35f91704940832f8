"""The points on the skin, carried by the bones of the kinematic chain: the dense landmarks of the reading network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .chain import Chain, Points
from .kinematics import canonical_rotation

# Bones that carry less than this share of a point are left out.
_LEAST_SHARE = 0.03


@dataclass(frozen=True)
class Skin:
    """P points, each carried by one or more bones.

    Parameters
    ----------
    carried : Points
        E points on single bones, those of each skin point together.
    share : (E,) float64
        How much each counts; the shares of each skin point sum to 1.
    first : (P,) int64
        The first of each skin point's rows.
    """

    carried: Points
    share: np.ndarray
    first: np.ndarray

    def __len__(self) -> int:
        """Return P."""
        return len(self.first)

    def points_and_jacobian(self, chain: Chain) -> tuple[np.ndarray, np.ndarray]:
        """Return the skin points, as ``Chain.points_and_jacobian``.

        Parameters
        ----------
        chain : Chain
            N hands.

        Returns
        -------
        places : (N, P, 3) float64
            Places relative to the wrists, metres, camera axes.
        jacobian : (N, P, 3, 44) float64
            Derivatives of the places in the camera frame.
        """
        places, jacobian = chain.points_and_jacobian(self.carried)
        places = np.add.reduceat(places * self.share[:, None], self.first, axis=1)
        return places, np.add.reduceat(jacobian * self.share[:, None, None], self.first, axis=1)


@cache
def bundled_skin() -> Skin:
    """Return the points on the skin of the bundled hand.

    Returns
    -------
    Skin
        The 128 points of ``geometry.skin_points``, in their order.
    """
    import torch

    from im2hands.geometry.hand_model import FINGER_BONES, HandModel, HandShape
    from im2hands.geometry.skin_points import skin_points

    model = HandModel()
    ones = torch.ones(1, 22, dtype=torch.float64)
    vertices, heads = model.rest(HandShape(torch.zeros(1, 20, dtype=torch.float64), ones, ones))
    still = torch.eye(3, dtype=torch.float64).expand(1, 22, 3, 3)
    joints = model.pose(vertices, heads, still)[1][0].numpy()
    points = skin_points(model)
    turn = canonical_rotation(joints - joints[0])
    rest = (points.template - joints[0]) @ turn / np.linalg.norm(joints[9] - joints[0])
    shares = np.zeros((len(rest), 16))
    fingers = [bone for bones in FINGER_BONES for bone in bones]
    shares[:, 1:] = points.weights[:, fingers]
    shares[:, 0] = 1 - shares[:, 1:].sum(axis=1)  # palm, wrist and forearm
    shares[shares < _LEAST_SHARE] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    point, bone = np.nonzero(shares)
    return Skin(Points.of_skin(rest[point], bone), shares[point, bone], np.flatnonzero(np.diff(point, prepend=-1)))
