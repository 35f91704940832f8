"""How exactly the published networks are computed: as the weights are, or as fast as the error allows."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["exact", "fast"]


def pair_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type for the attention between points; None is the weights' own.

    bfloat16 where the device multiplies it in hardware: elsewhere it is slower than float32, and as inexact.
    """
    if precision == "exact":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return torch.bfloat16 if device.type == "cpu" and _processor_has_bfloat16() else None


def _processor_has_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
