"""Trains a part decoder on whitened inputs and folds the whitening away exactly.

Raw inputs differ by two orders of magnitude between bones and kinds, which stalls training. Each bone's local points
are centred and scaled, lengths and pose translations standardised; all three enter linearly, so the trained layers have
an exact plain form.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE
from im2hands.networks.part_decoder import FoldedParts, PartDecoder

# Scale of bone-local points, metres: a finger bone's half length, the palm's half size.
_FINGER_SCALE, _PALM_SCALE = 0.020, 0.045


@dataclass(frozen=True)
class Whitening:
    """Means and scales of the part decoder's inputs.

    Args:
        local_mean: (16, 3) and local_scale: (16, 1), query-space units. length_mean, length_scale: (16,) metres.
        pose_mean, pose_scale: (48,) translations of ``W``.
    """

    local_mean: Tensor
    local_scale: Tensor
    length_mean: Tensor
    length_scale: Tensor
    pose_mean: Tensor
    pose_scale: Tensor

    @classmethod
    def measure(cls, local_mean: Tensor, lengths: Tensor, transforms: Tensor) -> Whitening:
        """From the mean bone-local point per bone (16, 3), lengths (H, 16) and transforms (H, 16, 4, 4)."""
        scale = torch.full((BONE_COUNT, 1), _FINGER_SCALE / QUERY_SCALE)
        scale[0] = _PALM_SCALE / QUERY_SCALE
        pose = transforms[:, :, :3, 3].flatten(1).float()
        return cls(
            local_mean.float(),
            scale,
            lengths.float().mean(0),
            lengths.float().std(0),
            pose.mean(0),
            pose.std(0).clamp_min(1e-3),  # the palm's own translation is always zero
        )


class WhitenedPartDecoder(PartDecoder):
    """A :class:`PartDecoder` without image features whose inputs are whitened."""

    local_mean: Tensor
    local_scale: Tensor
    length_mean: Tensor
    length_scale: Tensor
    pose_mean: Tensor
    pose_scale: Tensor

    def __init__(self, whitening: Whitening) -> None:
        super().__init__(0)
        for name, value in vars(whitening).items():
            self.register_buffer(name, value.clone())

    def _plain_layers(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """First weight and bias, pose weight and bias, code weight and bias that take raw inputs."""
        first = self.weights[0]
        xyz = first[:, :, :3] / self.local_scale[:, None]
        length = first[:, :, 3:4] / self.length_scale[:, None, None]
        shift = torch.einsum("bhc,bc->bh", xyz, self.local_mean) + length[..., 0] * self.length_mean[:, None]
        weight = torch.cat([xyz, length, first[:, :, 4:]], dim=-1)
        pose = self.pose_weight / self.pose_scale
        code = self.code_1.weight / self.length_scale
        return (
            weight,
            self.biases[0] - shift,
            pose,
            self.pose_bias - pose @ self.pose_mean,
            code,
            self.code_1.bias - code @ self.length_mean,
        )

    def fold(self, transforms: Tensor, lengths: Tensor) -> FoldedParts:
        """As :meth:`PartDecoder.fold`, taking raw inputs."""
        pose = (transforms[:, :, :3, 3].flatten(1) - self.pose_mean) / self.pose_scale
        standard = (lengths - self.length_mean) / self.length_scale
        pose_code = torch.einsum("bgi,ni->nbg", self.pose_weight, pose) + self.pose_bias
        code = self.code_2(functional.relu(self.code_1(standard)))[:, None].expand(-1, BONE_COUNT, -1)
        fixed = torch.cat([standard[..., None], code, pose_code], dim=-1)
        first = self.weights[0]
        xyz = first[:, :, :3] / self.local_scale[:, None]
        bias = torch.einsum("bhi,nbi->nbh", first[:, :, 3:], fixed) + self.biases[0]
        bias = bias - torch.einsum("bhc,bc->bh", xyz, self.local_mean)
        return FoldedParts.stack(xyz, bias, self.weights[1:], self.biases[1:])

    @torch.no_grad()
    def plain(self) -> PartDecoder:
        """The same function as an ordinary part decoder in the published layer form."""
        decoder = PartDecoder(0)
        weight, bias, pose, pose_bias, code, code_bias = self._plain_layers()
        decoder.weights[0].copy_(weight)
        decoder.biases[0].copy_(bias)
        for layer in range(1, len(self.weights)):
            decoder.weights[layer].copy_(self.weights[layer])
            decoder.biases[layer].copy_(self.biases[layer])
        decoder.pose_weight.copy_(pose)
        decoder.pose_bias.copy_(pose_bias)
        decoder.code_1.weight.copy_(code)
        decoder.code_1.bias.copy_(code_bias)
        decoder.code_2.load_state_dict(self.code_2.state_dict())
        return decoder
