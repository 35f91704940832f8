"""Parity data: the golden files, and the rule that fills a network with reproducible weights."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

_REPOSITORY_FOLDER = Path(__file__).resolve().parents[1] / "golden"
_STEP, _MIX_1, _MIX_2 = (np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def golden_folder() -> Path:
    """The folder of the golden files: ``IM2HANDS_GOLDEN_DIR`` if it is set, else ``tests/golden``."""
    return Path(os.environ.get("IM2HANDS_GOLDEN_DIR") or _REPOSITORY_FOLDER)


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of the golden file ``name`` (without ``.npz``)."""
    with np.load(golden_folder() / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def state_table(network: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state_dict of ``network`` ("init_occ", "ref_occ", "kpts_ref")."""
    table = json.loads((_REPOSITORY_FOLDER / f"state_dict_{network}.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, (shape, _) in table.items()}


def image_tensor(rgb: np.ndarray) -> torch.Tensor:
    """A crop (256, 256, 3) uint8 RGB as the networks' input (1, 3, 256, 256) float32, ImageNet-normalised."""
    mean, deviation = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    picture = (rgb.astype(np.float32) / np.float32(255) - mean) / deviation
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def fill_values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of the parameter ``name`` of a network: SplitMix64 with the CRC of the name as its state.

    They have the given shape; int64 for ``num_batches_tracked``, else float32.
    """
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    count = int(np.prod(shape, dtype=np.int64))
    z = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z *= _STEP
        z += np.uint64(zlib.crc32(name.encode()))
        z ^= z >> np.uint64(30)
        z *= _MIX_1
        z ^= z >> np.uint64(27)
        z *= _MIX_2
    z ^= z >> np.uint64(31)
    r = (z >> np.uint64(11)).astype(np.float64)
    r *= 2.0**-52
    r -= 1.0
    if leaf == "running_mean":
        r *= 0.1
    elif leaf == "running_var":
        r = 1 + 0.5 * r
    elif len(shape) == 1:
        r = 1 + 0.1 * r if leaf == "weight" else 0.1 * r
    else:
        gain = 0.75 if "trans_enc." in name else 6.0 if "decoder.lin" in name else 3.0
        r *= np.sqrt(gain / np.prod(shape[1:]))
    return r.astype(np.float32).reshape(shape)


def fill(module: torch.nn.Module, rename: Callable[[str], str] | None = None) -> None:
    """Fill every entry of a module's state_dict by the rule of ``fill_values``.

    Parameters
    ----------
    module : nn.Module
        The network, or a part of it.
    rename : callable or None
        From a name in ``module`` to the full name in the published network. None if ``module`` is that network.
    """
    state = {
        name: torch.from_numpy(fill_values(rename(name) if rename else name, tuple(value.shape)))
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(state)


def worst(found: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference; the shapes must be equal."""
    values = found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else found
    assert values.shape == expected.shape, f"{values.shape} instead of {expected.shape}"
    return float(np.abs(values.astype(np.float64) - expected.astype(np.float64)).max(initial=0.0))
