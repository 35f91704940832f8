"""Checkpoints in the authors' layout, made from the tables. Each tensor repeats one number, so the files are small."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from im2hands.weights.layouts import TABLES, dtype_of

FILES = {
    "halo_baseline": "halo_baseline.pt",
    "initial_occupancy": "init_occ.pt",
    "refined_occupancy": "ref_occ.pt",
    "keypoint_refinement": "kpts_ref.pt",
    "intaghand_encoder": "intaghand_baseline.pth",
}


def table(network: str) -> dict[str, list[int]]:
    """Names and shapes in the authors' file, prefixes included."""
    return json.loads((TABLES / f"{Path(FILES[network]).stem}.json").read_text(encoding="utf-8"))


def tensors(network: str) -> dict[str, torch.Tensor]:
    """A state_dict with the authors' names; each tensor repeats a number of its own."""
    return {
        name: torch.tensor(index % 7, dtype=dtype_of(name)).expand(shape)
        for index, (name, shape) in enumerate(table(network).items())
    }


def counted(shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor of that shape whose values are all different."""
    return torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)


def wrapped(state: dict[str, torch.Tensor], **more: Any) -> dict[str, Any]:
    """A dictionary as the authors' training saves it."""
    optimizer = {
        "state": {0: {"step": 3, "exp_avg": torch.zeros(2)}},
        "param_groups": [{"lr": 1e-4, "params": [0], "betas": (0.9, 0.999)}],
    }
    best = np.float64(0.125)
    return {"epoch_it": 4, "it": 1234, "loss_val_best": best, "model": state, "optimizer": optimizer, **more}


def save(network: str, folder: Path, state: dict[str, torch.Tensor] | None = None, name: str = "") -> Path:
    """Write a checkpoint as the authors do: IntagHand's file is a bare state_dict, the others are wrapped."""
    path = folder / (name or FILES[network])
    state = tensors(network) if state is None else state
    if network == "intaghand_encoder":
        extra = {"module.decoder.avg_head.bias": torch.zeros(1), "module.mid_model.x.weight": torch.zeros(2, 2)}
        torch.save({**state, **extra}, path)
    else:
        torch.save(wrapped(state), path)
    return path
