"""A part decoder with whitened inputs for training; the whitening folds exactly into the finished weights.

Raw inputs differ by two orders of magnitude between bones and between kinds of input, which stalls training. Whitening
centres and scales the local points of each bone, and standardises the bone lengths and the pose translations. All three
enter the network linearly, so the trained layers have an exact form that takes raw inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE
from im2hands.networks.folded_parts import FoldedParts
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.shape_encoder import ShapeCode

# Scale of bone-local points, metres: a finger bone's half length, the palm's half size.
_FINGER_SCALE, _PALM_SCALE = 0.020, 0.045


@dataclass(frozen=True)
class Whitening:
    """Means and scales of the part decoder's inputs.

    Parameters
    ----------
    local_mean : (16, 3) float32
        Mean of the bone-local points, query-space units.
    local_scale : (16, 1) float32
        Scale of the bone-local points, query-space units.
    length_mean : (16,) float32
        Mean of the bone lengths, metres.
    length_scale : (16,) float32
        Standard deviation of the bone lengths, metres.
    pose_mean : (48,) float32
        Mean of the translations of the bone transforms ``W``.
    pose_scale : (48,) float32
        Standard deviation of these translations.
    """

    local_mean: Tensor
    local_scale: Tensor
    length_mean: Tensor
    length_scale: Tensor
    pose_mean: Tensor
    pose_scale: Tensor

    @classmethod
    def measure(cls, local_mean: Tensor, lengths: Tensor, transforms: Tensor) -> Whitening:
        """Measure the whitening on H hands.

        Parameters
        ----------
        local_mean : (16, 3) float
            Mean bone-local point inside each bone, query-space units.
        lengths : (H, 16) float
            Bone lengths, metres.
        transforms : (H, 16, 4, 4) float
            Bone transforms ``W``.

        Returns
        -------
        Whitening
            The whitening. The scale of the points is fixed: 20 mm, for the palm 45 mm.
        """
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
    """A ``PartDecoder`` without image features that whitens its inputs.

    Parameters
    ----------
    whitening : Whitening
        Means and scales; they become buffers.
    shape : bool
        Whether there is a shape encoder. It whitens its inputs itself.
    """

    local_mean: Tensor
    local_scale: Tensor
    length_mean: Tensor
    length_scale: Tensor
    pose_mean: Tensor
    pose_scale: Tensor

    def __init__(self, whitening: Whitening, *, shape: bool = False) -> None:
        super().__init__(0, shape=shape)
        for name, value in vars(whitening).items():
            self.register_buffer(name, value.clone())

    def _plain_layers(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """First weight and bias, pose weight and bias, code weight and bias, all for raw inputs."""
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

    def fold(self, transforms: Tensor, lengths: Tensor, shape: ShapeCode | None = None) -> FoldedParts:
        """Prepare the part networks of hands from raw inputs; see ``PartDecoder.fold``."""
        pose = (transforms[:, :, :3, 3].flatten(1) - self.pose_mean) / self.pose_scale
        standard = (lengths - self.length_mean) / self.length_scale
        pose_code = torch.einsum("bgi,ni->nbg", self.pose_weight, pose) + self.pose_bias
        code = self.code_2(functional.relu(self.code_1(standard)))[:, None].expand(-1, BONE_COUNT, -1)
        fixed = torch.cat([standard[..., None], code, pose_code], dim=-1)
        first = self.weights[0]
        xyz = first[:, :, :3] / self.local_scale[:, None]
        bias = torch.einsum("bhi,nbi->nbh", first[:, :, 3:], fixed) + self.biases[0]
        bias = bias - torch.einsum("bhc,bc->bh", xyz, self.local_mean)
        if shape is not None:
            bias = bias + shape.offset
        return FoldedParts.stack(xyz, bias, self.weights[1:], self.biases[1:])

    @torch.no_grad()
    def plain(self) -> PartDecoder:
        """Return an ordinary part decoder, in the published layer form, that computes the same function."""
        decoder = PartDecoder(0, shape=self.shape_encoder is not None)
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
        if self.shape_encoder is not None and decoder.shape_encoder is not None:
            decoder.shape_encoder.load_state_dict(self.shape_encoder.state_dict())
        return decoder

    @torch.no_grad()
    def take(self, decoder: PartDecoder) -> None:
        """Take over the weights of an ordinary part decoder: the opposite of ``plain``.

        Without a shape encoder there, the own one stays as it is.
        """
        weight, pose, code = decoder.weights[0], decoder.pose_weight, decoder.code_1.weight
        shift = torch.einsum("bhc,bc->bh", weight[:, :, :3], self.local_mean)
        shift = shift + weight[:, :, 3] * self.length_mean[:, None]
        scale = torch.cat([self.local_scale.expand(-1, 3), self.length_scale[:, None]], dim=1)
        self.weights[0].copy_(torch.cat([weight[:, :, :4] * scale[:, None], weight[:, :, 4:]], dim=-1))
        self.biases[0].copy_(decoder.biases[0] + shift)
        for layer in range(1, len(self.weights)):
            self.weights[layer].copy_(decoder.weights[layer])
            self.biases[layer].copy_(decoder.biases[layer])
        self.pose_weight.copy_(pose * self.pose_scale)
        self.pose_bias.copy_(decoder.pose_bias + pose @ self.pose_mean)
        self.code_1.weight.copy_(code * self.length_scale)
        self.code_1.bias.copy_(decoder.code_1.bias + code @ self.length_mean)
        self.code_2.load_state_dict(decoder.code_2.state_dict())
        if self.shape_encoder is not None and decoder.shape_encoder is not None:
            self.shape_encoder.load_state_dict(decoder.shape_encoder.state_dict())
