"""The part decoder of HALO and Im2Hands: sixteen small networks, one for each bone.

``PartDecoder`` holds the weights, stacked over bones, in the published layer form, with or without the image columns
of Im2Hands. ``folded_parts.FoldedParts`` is the same function for given hands.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, THICKNESS_COUNT, Bones

from .folded_parts import HIDDEN, FoldedParts
from .shape_encoder import ShapeCode, ShapeEncoder, skeleton_of

BONE_CODE = 16
BONE_CODE_HIDDEN = 40
POSE_CODE = 8
POSE_INPUT = 3 * BONE_COUNT
IMAGE_FEATURES = 19
FIRST_INPUT = 3 + 1 + BONE_CODE + POSE_CODE
SHAPE_ENCODER = "shape_encoder"
"""Prefix of the shape encoder's weights."""


class PartDecoder(nn.Module):
    """Weights of the sixteen part networks.

    With ``t`` the bone-local point, bone length, bone-length code and pose code, and ``u`` the image features, the
    network of a bone is

        h0 = act(lin_0 t)                   h1 = act(lin_1 h0 + h0)
        h2 = act(lin_2 [h1, u] + h1)        h3 = act(lin_3 h2 + h2)        logit = lin_4 h3

    where ``act`` is LeakyReLU with slope 0.1.

    A shape encoder reads the hand's skeleton and thickness. Its output, for each bone, is added to ``lin_0 t``, and
    maps the bone-local point affinely before that. Both are the same for all queries of a hand.

    Parameters
    ----------
    image_features : int
        Columns of the third layer that read image features: 0 for HALO, 19 for Im2Hands.
    shape : bool
        Whether there is a shape encoder. The published networks have none.
    """

    def __init__(self, image_features: int = 0, *, shape: bool = False) -> None:
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
        self.shape_encoder = ShapeEncoder(HIDDEN) if shape else None

    def of_hands(self, bones: Bones) -> tuple[FoldedParts, Tensor, Tensor]:
        """Prepare the part networks for given hands; a shape encoder reads the thickness that ``bones`` state.

        Parameters
        ----------
        bones : Bones
            Bones of B hands. A shape encoder needs their joints.

        Returns
        -------
        folded : FoldedParts
            The networks of the B hands.
        turn : (B, 16, 3, 3) float64
            Linear parts of the maps from query space to the points that the networks of the bones read.
        shift : (B, 16, 3) float64
            Translations of these maps, query-space units.
        """
        if self.shape_encoder is None:
            return self.fold(bones.transforms, bones.lengths), *bones.straight_frames()
        skeletons = skeleton_of(bones)
        thickness = bones.thickness
        code = self.shape_encoder(
            skeletons, skeletons.new_zeros(len(skeletons), THICKNESS_COUNT) if thickness is None else thickness.log()
        )
        folded = self.fold(bones.transforms, bones.lengths, code)
        return folded, *code.fitted(*bones.straight_frames())

    def fold(self, transforms: Tensor, lengths: Tensor, shape: ShapeCode | None = None) -> FoldedParts:
        """Fold the part networks for given hands.

        Parameters
        ----------
        transforms : (B, 16, 4, 4) float
            Bone transforms ``W``; see ``geometry.bones``.
        lengths : (B, 16) float
            Bone lengths, metres.
        shape : ShapeCode, optional
            The hands' shapes.

        Returns
        -------
        FoldedParts
            The networks of the B hands, differentiable with respect to the weights.
        """
        transforms, lengths = transforms.to(self.pose_weight), lengths.to(self.pose_weight)
        pose = torch.einsum("bgi,ni->nbg", self.pose_weight, transforms[:, :, :3, 3].flatten(1)) + self.pose_bias
        code = self.code_2(functional.relu(self.code_1(lengths)))[:, None].expand(-1, BONE_COUNT, -1)
        fixed = torch.cat([lengths[..., None], code, pose], dim=-1)
        first = self.weights[0]
        bias = torch.einsum("bhi,nbi->nbh", first[:, :, 3:], fixed) + self.biases[0]
        if shape is not None:
            bias = bias + shape.offset
        return FoldedParts.stack(first[:, :, :3], bias, self.weights[1:], self.biases[1:], self.image_features)

    def published_state_dict(self) -> dict[str, Tensor]:
        """Return copies of the weights under the published names (``lin{b}_{layer}``, ``global_proj{b}``, ...)."""
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
        if self.shape_encoder is not None:
            for name, value in self.shape_encoder.state_dict(prefix=f"{SHAPE_ENCODER}.").items():
                state[name] = value.clone()
        return state

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> PartDecoder:
        """Make a decoder from weights under the published names.

        Parameters
        ----------
        state : mapping of str to Tensor
            Weights, names without prefix.

        Raises
        ------
        KeyError
            A name is missing.
        ValueError
            A tensor has the wrong shape.
        """
        columns = state["lin0_2.weight"].shape[-1] - HIDDEN
        decoder = cls(columns, shape=f"{SHAPE_ENCODER}.mean" in state)
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
            if decoder.shape_encoder is not None:
                for name, value in decoder.shape_encoder.state_dict(prefix=f"{SHAPE_ENCODER}.").items():
                    value.copy_(state[name])
        return decoder


def _initial(*shape: int) -> Tensor:
    """He-normal weights; the last axis is the fan-in."""
    return torch.randn(*shape) * (2.0 / shape[-1]) ** 0.5


def bone_local(transforms: Tensor, points: Tensor) -> Tensor:
    """Convert query points to every bone's straight frame.

    Parameters
    ----------
    transforms : (B, 16, 4, 4) float
        Bone transforms ``W``; see ``geometry.bones``.
    points : (B, N, 3) float
        Points, query space.

    Returns
    -------
    (B, N, 16, 3) float
        Points in the bones' straight frames, query-space units, of the dtype of ``points``.
    """
    turn, shift = transforms[:, :, :3, :3] / QUERY_SCALE, transforms[:, :, :3, 3]
    local = torch.einsum("bjcd,bnd->bnjc", turn.to(points), points)
    return local + shift.to(points)[:, None]
