"""Small training recipes and weights, shared by the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from im2hands.networks.configuration import Configuration
from im2hands.weights.compact import save_encoder, save_network

SMALL = """
base = "compact"
[network]
side = 64
channels = 16
[recipe]
batch = 2
steps = 12
log_every = 2
checkpoint_every = 4
validate_every = 6
held_out = 2
warmup = 2
[recipe.initial-occupancy]
points = 64
[recipe.refined-occupancy]
points = 64
"""


def small_config(folder: Path, extra: str = "") -> Path:
    """Write a TOML file for networks that a CPU trains in seconds; ``extra`` is appended."""
    path = folder / "small.toml"
    path.write_text(SMALL + extra, encoding="utf-8")
    return path


def rows(folder: Path) -> list[str]:
    """Rows of a run's ``log.csv``."""
    return (folder / "log.csv").read_text(encoding="utf-8").splitlines()


def untrained_initial(folder: Path, sizes: Configuration) -> Path:
    """Write the files of an untrained initial network and its encoder; return the folder."""
    torch.manual_seed(0)
    encoder = sizes.make_encoder()
    assert encoder is not None
    digest = save_encoder(encoder, sizes, folder, {})
    save_network("initial_occupancy", sizes.make_initial(encoder), sizes, digest, folder, {})
    return folder
