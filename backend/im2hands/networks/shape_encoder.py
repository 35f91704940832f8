"""The shape encoder of the part networks: what they do differently for a hand of another shape or skeleton."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.devices import to_device
from im2hands.geometry.bones import BONE_COUNT, THICKNESS_COUNT, Bones

WARP_NUMBERS = 12
"""Numbers of the affine map of a bone's local points."""

# Keypoints that the palm carries; they tell how wide the hand's skeleton is, which lengths of bones do not.
_PALM_JOINTS = (1, 5, 9, 13, 17)

SKELETON_NUMBERS = BONE_COUNT + 3 * len(_PALM_JOINTS)
"""Numbers that describe a skeleton; see ``skeleton_of``."""

_HIDDEN = 96
_SLOPE = 0.1
_FARTHEST = 2.5  # standard deviations of the training's skeletons; a skeleton beyond is taken for the nearest of them
_THICKNESS_SCALE = 0.12  # of logarithms of thicknesses
_WARP_SCALE = 0.1  # of the maps of local points, so that they learn no faster than the layers after them


@dataclass(frozen=True)
class ShapeCode:
    """What the part networks of B hands know of their shapes.

    Parameters
    ----------
    offset : (B, 16, 64) float
        Added to the bias of each bone's first layer.
    warp : (B, 16, 3, 4) float
        Added to the identity, the affine map of each bone's local points, query-space units.
    """

    offset: Tensor
    warp: Tensor

    def fitted(self, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps to the points that the part networks read, from maps to the straight frames.

        Parameters
        ----------
        turn : (B, 16, 3, 3) float
            Linear parts.
        shift : (B, 16, 3) float
            Translations, query-space units.

        Returns
        -------
        turn : (B, 16, 3, 3) float
            Linear parts.
        shift : (B, 16, 3) float
            Translations, query-space units.
        """
        warp = self.warp.to(turn.device).to(turn.dtype)
        linear = warp[..., :3]
        return turn + linear @ turn, shift + (linear @ shift[..., None])[..., 0] + warp[..., 3]


def skeleton_of(bones: Bones) -> Tensor:
    """Describe the skeletons of B hands.

    Parameters
    ----------
    bones : Bones
        Their bones, with joints.

    Returns
    -------
    (B, 31) float
        Bone lengths and the places of the palm's joints, metres.

    Raises
    ------
    ValueError
        The joints were not kept.
    """
    if bones.joints is None:
        raise ValueError("networks that read shapes need the joints of the bones")
    return torch.cat([bones.lengths, bones.joints[:, list(_PALM_JOINTS)].flatten(1)], dim=1)


class ShapeEncoder(nn.Module):
    """Tells from a skeleton how thick its flesh usually is, and from both what the part networks must change.

    A new one changes nothing: its last layer is zero.

    Parameters
    ----------
    width : int
        Width of the part networks' first layer.
    """

    mean: Tensor
    scale: Tensor
    centre: Tensor
    size: Tensor
    thickness_mean: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self.register_buffer("mean", torch.zeros(SKELETON_NUMBERS))
        self.register_buffer("scale", torch.ones(SKELETON_NUMBERS))
        self.register_buffer("centre", torch.zeros(BONE_COUNT, 3))
        self.register_buffer("size", torch.ones(BONE_COUNT, 1))
        self.register_buffer("thickness_mean", torch.zeros(THICKNESS_COUNT))
        self.linear1 = nn.Linear(SKELETON_NUMBERS, _HIDDEN)
        self.linear2 = nn.Linear(_HIDDEN, _HIDDEN)
        self.usual = nn.Linear(_HIDDEN, THICKNESS_COUNT)
        self.linear3 = nn.Linear(_HIDDEN + THICKNESS_COUNT, _HIDDEN)
        self.linear4 = nn.Linear(_HIDDEN, BONE_COUNT * (width + WARP_NUMBERS))
        for layer in (self.usual, self.linear4):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def measure(self, skeletons: Tensor, thickness: Tensor, centre: Tensor, size: Tensor) -> None:
        """Take over means and scales of the hands of a training.

        Parameters
        ----------
        skeletons : (H, 31) float
            Skeletons, see ``skeleton_of``.
        thickness : (H, 17) float
            Natural logarithms of their thicknesses in metres.
        centre : (16, 3) float
            Mean local point of each bone, query-space units.
        size : (16, 1) float
            Scale of the local points of each bone, query-space units.
        """
        self.mean.copy_(skeletons.mean(0))
        self.scale.copy_(skeletons.std(0).clamp_min(1e-3))  # 1 mm at least
        self.thickness_mean.copy_(thickness.mean(0))
        self.centre.copy_(centre)
        self.size.copy_(size)

    def _seen(self, skeletons: Tensor) -> Tensor:
        standard = ((to_device(skeletons, self.mean.device).to(self.mean.dtype) - self.mean) / self.scale).clamp(
            -_FARTHEST, _FARTHEST
        )
        hidden = functional.leaky_relu(self.linear1(standard), negative_slope=_SLOPE)
        return functional.leaky_relu(self.linear2(hidden), negative_slope=_SLOPE)

    def usual_thickness(self, skeletons: Tensor) -> Tensor:
        """Tell the usual thicknesses of hands with given skeletons.

        Parameters
        ----------
        skeletons : (B, 31) float
            See ``skeleton_of``.

        Returns
        -------
        (B, 17) float
            Natural logarithms of thicknesses in metres.
        """
        return self.thickness_mean + _THICKNESS_SCALE * self.usual(self._seen(skeletons))

    def forward(self, skeletons: Tensor, thickness: Tensor) -> ShapeCode:
        """Encode the shapes of B hands.

        Parameters
        ----------
        skeletons : (B, 31) float
            See ``skeleton_of``.
        thickness : (B, 17) float
            Natural logarithms of the factors on the usual thicknesses; 0 where nothing is known.

        Returns
        -------
        ShapeCode
            Their shapes.
        """
        told = to_device(thickness, self.mean.device).to(self.mean.dtype) / _THICKNESS_SCALE
        hidden = torch.cat([self._seen(skeletons), told], dim=1)
        hidden = functional.leaky_relu(self.linear3(hidden), negative_slope=_SLOPE)
        code = self.linear4(hidden).unflatten(-1, (BONE_COUNT, -1))
        warp = _WARP_SCALE * code[..., self._width :].unflatten(-1, (3, 4))
        turn = warp[..., :3]
        shift = warp[..., 3] * self.size - (turn @ self.centre[..., None])[..., 0]
        return ShapeCode(code[..., : self._width], torch.cat([turn, shift[..., None]], dim=-1))
