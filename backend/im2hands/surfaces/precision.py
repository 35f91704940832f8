"""Numeric precision of the published networks: the weights' own type, or bfloat16 where the error allows it."""

from __future__ import annotations

from typing import Literal

import torch

from im2hands.core.gpu import has_bfloat16

Precision = Literal["exact", "fast"]


def pair_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type for the attention between points.

    It is bfloat16 where the device multiplies bfloat16 in hardware. Elsewhere bfloat16 is slower than float32 and less
    exact.

    Parameters
    ----------
    precision : {"exact", "fast"}
        "exact" always uses the weights' own type.
    device : torch.device
        Where the networks run.

    Returns
    -------
    torch.dtype or None
        None is the weights' own type.
    """
    if precision == "exact":
        return None
    return torch.bfloat16 if has_bfloat16(device) else None
