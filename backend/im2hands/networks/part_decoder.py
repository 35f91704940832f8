"""The part decoder of HALO and Im2Hands: sixteen small networks, one a bone (specification 6.2, step 6).

``PartDecoder`` holds the weights, stacked over bones, in the published layer form (with or without the image columns).
``FoldedParts`` is the same function for given hands: everything that does not depend on the query point is folded into
the first layer's bias, so a query costs three multiplications by 64 x 64 per bone it is asked of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE

HIDDEN = 64
BONE_CODE = 16
BONE_CODE_HIDDEN = 40
POSE_CODE = 8
POSE_INPUT = 3 * BONE_COUNT
IMAGE_FEATURES = 19
FIRST_INPUT = 3 + 1 + BONE_CODE + POSE_CODE
_SLOPE = 0.1


class PartDecoder(nn.Module):
    """Weights of the sixteen part networks.

    Args:
        image_features: columns of the third layer that read an image feature; 0 for HALO, 19 in Im2Hands.
    """

    def __init__(self, image_features: int = 0) -> None:
        super().__init__()
        self.image_features = image_features
        sizes = (
            (HIDDEN, FIRST_INPUT),
            (HIDDEN, HIDDEN),
            (HIDDEN, HIDDEN + image_features),
            (HIDDEN, HIDDEN),
            (1, HIDDEN),
        )
        self.weights = nn.ParameterList([nn.Parameter(_initial(BONE_COUNT, *size)) for size in sizes])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(BONE_COUNT, size[0])) for size in sizes])
        self.pose_weight = nn.Parameter(_initial(BONE_COUNT, POSE_CODE, POSE_INPUT))
        self.pose_bias = nn.Parameter(torch.zeros(BONE_COUNT, POSE_CODE))
        self.code_1 = nn.Linear(BONE_COUNT, BONE_CODE_HIDDEN)
        self.code_2 = nn.Linear(BONE_CODE_HIDDEN, BONE_CODE)

    def fold(self, transforms: Tensor, lengths: Tensor) -> FoldedParts:
        """The part networks of B hands.

        Args:
            transforms: (B, 16, 4, 4), the converter's ``W``. lengths: (B, 16) metres.

        Returns:
            Differentiable with respect to the weights.
        """
        transforms, lengths = transforms.to(self.pose_weight), lengths.to(self.pose_weight)
        pose = torch.einsum("bgi,ni->nbg", self.pose_weight, transforms[:, :, :3, 3].flatten(1)) + self.pose_bias
        code = self.code_2(functional.relu(self.code_1(lengths)))[:, None].expand(-1, BONE_COUNT, -1)
        fixed = torch.cat([lengths[..., None], code, pose], dim=-1)
        first = self.weights[0]
        bias = torch.einsum("bhi,nbi->nbh", first[:, :, 3:], fixed) + self.biases[0]
        return FoldedParts.stack(first[:, :, :3], bias, self.weights[1:], self.biases[1:], self.image_features)

    def published_state_dict(self) -> dict[str, Tensor]:
        """The weights under the published names (``lin{b}_{layer}``, ``global_proj{b}``, ``bone_encoder``)."""
        state = {}
        for bone in range(BONE_COUNT):
            state[f"global_proj{bone}.weight"] = self.pose_weight.detach()[bone].clone()
            state[f"global_proj{bone}.bias"] = self.pose_bias.detach()[bone].clone()
            for layer in range(len(self.weights)):
                state[f"lin{bone}_{layer}.weight"] = self.weights[layer].detach()[bone].clone()
                state[f"lin{bone}_{layer}.bias"] = self.biases[layer].detach()[bone].clone()
        for name, linear in (("linear1", self.code_1), ("linear2", self.code_2)):
            state[f"bone_encoder.{name}.weight"] = linear.weight.detach().clone()
            state[f"bone_encoder.{name}.bias"] = linear.bias.detach().clone()
        return state

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> PartDecoder:
        """Build a decoder from weights under the published names, without prefix.

        Raises:
            KeyError: a name is missing. ValueError: a shape does not fit.
        """
        columns = state["lin0_2.weight"].shape[-1] - HIDDEN
        decoder = cls(columns)
        expected = decoder.published_state_dict()
        for name, value in expected.items():
            if state[name].shape != value.shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}")
        with torch.no_grad():
            for bone in range(BONE_COUNT):
                decoder.pose_weight[bone] = state[f"global_proj{bone}.weight"]
                decoder.pose_bias[bone] = state[f"global_proj{bone}.bias"]
                for layer in range(len(decoder.weights)):
                    decoder.weights[layer][bone] = state[f"lin{bone}_{layer}.weight"]
                    decoder.biases[layer][bone] = state[f"lin{bone}_{layer}.bias"]
            for name, linear in (("linear1", decoder.code_1), ("linear2", decoder.code_2)):
                linear.weight.copy_(state[f"bone_encoder.{name}.weight"])
                linear.bias.copy_(state[f"bone_encoder.{name}.bias"])
        return decoder


def _initial(*shape: int) -> Tensor:
    """He-normal weights; the last axis is the fan-in."""
    return torch.randn(*shape) * (2.0 / shape[-1]) ** 0.5


def bone_local(transforms: Tensor, points: Tensor) -> Tensor:
    """Query points in every bone's straight frame.

    Args:
        transforms: (B, 16, 4, 4) ``W``. points: (B, N, 3) query space.

    Returns:
        (B, N, 16, 3) in query-space units, of ``points``' dtype.
    """
    turn, shift = transforms[:, :, :3, :3] / QUERY_SCALE, transforms[:, :, :3, 3]
    local = torch.einsum("bjcd,bnd->bnjc", turn.to(points), points)
    return local + shift.to(points)[:, None]


@dataclass
class FoldedParts:
    """The part networks of B hands, folded (see :meth:`PartDecoder.fold`).

    Args:
        first, bias: per bone (64, 3) and (B, 64). weights, biases: the four later layers, per bone (out, in) and
        (out,).
        image_features: columns of the third layer that read an image feature.
    """

    first: Sequence[Tensor]
    bias: Sequence[Tensor]
    weights: Sequence[Sequence[Tensor]]
    biases: Sequence[Sequence[Tensor]]
    image_features: int = 0

    @classmethod
    def stack(
        cls, first: Tensor, bias: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor], image_features: int = 0
    ) -> FoldedParts:
        """From tensors stacked over bones: (16, 64, 3), (B, 16, 64), and per layer (16, out, in) and (16, out)."""
        # Taken apart once: indexing a stack sixteen times would cost a full-size gradient each.
        return cls(
            first.unbind(0),
            bias.unbind(1),
            [w.unbind(0) for w in weights],
            [b.unbind(0) for b in biases],
            image_features,
        )

    def part_logits(self, bone: int, hand: Tensor | None, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Logits of one bone.

        Args:
            bone: 0 to 15. hand: (N,) int64, which of the B hands each row belongs to; None for the only one.
            local: (N, 3), in that bone's straight frame, query-space units. image: (N, 19) image features, if the
            network has any.

        Returns:
            (N,) logits.
        """
        bias = self.bias[bone][0] if hand is None else self.bias[bone][hand]
        # In place where only the result is wanted, also by the gradient.
        hidden = functional.leaky_relu_(torch.addmm(bias, local, self.first[bone].T), negative_slope=_SLOPE)
        for layer in range(3):
            weight, bias = self.weights[layer][bone], self.biases[layer][bone]
            base = hidden + bias
            if layer == 1 and self.image_features:
                if image is None:
                    raise ValueError("this part decoder needs image features")
                base.addmm_(image, weight[:, HIDDEN:].T)
            hidden = functional.leaky_relu_(base.addmm_(hidden, weight[:, :HIDDEN].T), negative_slope=_SLOPE)
        return hidden @ self.weights[3][bone][0] + self.biases[3][bone][0]

    def all_logits(self, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Logits of all bones at N points of each of the B hands: few large products, as accelerators like them.

        Args:
            local: (B, N, 16, 3), in the bones' straight frames, query-space units. image: (B, N, 19), if the network
                has image features.

        Returns:
            (B, N, 16) logits.
        """
        batch, count = local.shape[:2]

        by_bone = local.permute(2, 0, 1, 3).flatten(1, 2)
        bias = torch.stack(list(self.bias))[:, :, None].expand(-1, -1, count, -1).flatten(1, 2)
        first = torch.stack(list(self.first)).mT
        hidden = functional.leaky_relu_(torch.baddbmm(bias, by_bone, first), negative_slope=_SLOPE)
        for layer in range(3):
            weight = torch.stack(list(self.weights[layer])).mT
            base = hidden + torch.stack(list(self.biases[layer]))[:, None]
            if layer == 1 and self.image_features:
                if image is None:
                    raise ValueError("this part decoder needs image features")
                seen = image.flatten(0, 1).expand(BONE_COUNT, -1, -1)
                base = base.baddbmm_(seen, weight[:, HIDDEN:])
            hidden = functional.leaky_relu_(base.baddbmm_(hidden, weight[:, :HIDDEN]), negative_slope=_SLOPE)
        last, bias = torch.stack(list(self.weights[3])), torch.stack(list(self.biases[3]))
        return torch.baddbmm(bias[:, None], hidden, last.mT).view(BONE_COUNT, batch, count).movedim(0, -1)

    def pair_logits(self, bones: Tensor, hands: Tensor, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Logits of (point, bone) pairs that are sorted by bone.

        Args:
            bones: (P,) int64, ascending. hands: (P,) int64. local: (P, 3). image: (P, 19) or None.

        Returns:
            (P,) logits.
        """
        counts = torch.bincount(bones, minlength=BONE_COUNT).tolist()
        parts, start = [], 0
        for bone, count in enumerate(counts):
            if count:
                rows = slice(start, start + count)
                parts.append(self.part_logits(bone, hands[rows], local[rows], None if image is None else image[rows]))
            start += count
        return torch.cat(parts) if parts else local.new_zeros(0)
