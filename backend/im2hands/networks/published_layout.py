"""The part decoder under the published parameter names.

``part_decoder.PartDecoder`` stacks the weights of the sixteen bones. The published checkpoints hold
``lin{bone}_{layer}``, ``global_proj{bone}`` and ``bone_encoder`` instead. This module translates on saving and
loading, so a network that holds such a decoder has the published state_dict.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from im2hands.geometry.bones import BONE_COUNT

from .part_decoder import SHAPE_ENCODER, PartDecoder


def published_name(bone: int, stacked: str) -> str:
    """Return the published name of one bone's entry in a stacked parameter.

    Parameters
    ----------
    bone : int
        The bone, 0 to 15.
    stacked : str
        Name of the stacked parameter ("weights.2", "biases.0", "pose_weight").
    """
    kind, _, layer = stacked.partition(".")
    leaf = "weight" if kind in ("weights", "pose_weight") else "bias"
    return f"lin{bone}_{layer}.{leaf}" if layer else f"global_proj{bone}.{leaf}"


def shared_name(own: str) -> str:
    """Return the published name of a parameter that all bones share.

    Parameters
    ----------
    own : str
        Name in ``PartDecoder`` ("code_1.weight").
    """
    return own.replace("code_", "bone_encoder.linear")


def _is_shared(name: str) -> bool:
    """Whether a parameter of ``PartDecoder`` is that of all bones together."""
    return name.startswith(("code_", f"{SHAPE_ENCODER}."))


class PublishedPartDecoder(PartDecoder):
    """A part decoder whose state_dict has the published names."""

    # The arguments are those with which a parent module calls its children; PyTorch declares further overloads.
    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:  # type: ignore[override]
        """Return the state_dict under the published names; tensors of single bones are views of the stacks."""
        own = super().state_dict(prefix="", keep_vars=keep_vars)
        destination = {} if destination is None else destination
        for name, value in own.items():
            if _is_shared(name):
                destination[prefix + shared_name(name)] = value
                continue
            for bone in range(BONE_COUNT):
                destination[prefix + published_name(bone, name)] = value[bone]
        return destination

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for name, value in super().state_dict(prefix="").items():
            names = [shared_name(name)]
            if not _is_shared(name):
                names = [published_name(bone, name) for bone in range(BONE_COUNT)]
            given = [state_dict.pop(prefix + key, None) for key in names]
            shape = value.shape if _is_shared(name) else value.shape[1:]
            for key, tensor in zip(names, given, strict=True):
                if tensor is None:
                    missing_keys.append(prefix + key)
                elif tensor.shape != shape:
                    error_msgs.append(f"{prefix}{key} has shape {tuple(tensor.shape)}, expected {tuple(shape)}")
            fits = [tensor for tensor in given if tensor is not None and tensor.shape == shape]
            if len(fits) < len(names):  # reported above; keep the present values
                state_dict[prefix + name] = value
            else:
                state_dict[prefix + name] = fits[0] if _is_shared(name) else torch.stack(fits)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
