"""Small trainings for the tests."""

from __future__ import annotations

from pathlib import Path

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
    """A TOML file for networks that a processor trains in seconds."""
    path = folder / "small.toml"
    path.write_text(SMALL + extra, encoding="utf-8")
    return path


def rows(folder: Path) -> list[str]:
    """The rows of a run's log."""
    return (folder / "log.csv").read_text(encoding="utf-8").splitlines()
