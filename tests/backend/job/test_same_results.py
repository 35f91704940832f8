"""Results of photos and a clip: the recorded bits on the same processor, similar values on others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kept_results
import pytest

# Another processor rounds sums differently, so that a surface may have a few vertices more or fewer.
MEAN_TOLERANCE = 0.02
COUNT_TOLERANCE = 0.05


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads(kept_results.KEPT.read_text("utf-8"))


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return kept_results.reconstruct(tmp_path_factory.mktemp("same_results"))


def test_bundled_weights_are_the_recorded_ones(kept: dict[str, Any]) -> None:
    assert kept_results.weights() == kept["weights"]


@pytest.mark.parametrize("name", ["photos", "clip"])
def test_arrays_are_the_recorded_ones(name: str, kept: dict[str, Any], takes: dict[str, Path]) -> None:
    found, wanted = kept_results.described(takes[name]), kept["takes"][name]
    assert sorted(found) == sorted(wanted)
    if kept_results.machine() == kept["machine"]:
        changed = [key for key in wanted if found[key]["sha256"] != wanted[key]["sha256"]]
        assert not changed
        return
    for key, entry in wanted.items():
        assert found[key]["dtype"] == entry["dtype"], key
        assert len(found[key]["shape"]) == len(entry["shape"]), key
        for have, want in zip(found[key]["shape"], entry["shape"], strict=True):
            assert abs(have - want) <= COUNT_TOLERANCE * max(want, 1), key
        if "mean" in entry:
            assert abs(found[key]["mean"] - entry["mean"]) <= MEAN_TOLERANCE * max(entry["spread"], 1e-3), key
