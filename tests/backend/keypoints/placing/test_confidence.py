"""Confidences: tables match the measurements and never fall; sources without measurements use another table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from im2hands.core.errors import SetupError
from im2hands.keypoints.placing.confidence import Calibration, bundled_calibration, source_key


def test_a_fitted_table_says_how_often_keypoints_lay_near() -> None:
    rng = np.random.default_rng(1)
    certainty = rng.uniform(0, 1, 20_000)
    near = rng.uniform(0, 1, 20_000) < 0.6 * certainty**2  # the certainty is far too high
    fitted = Calibration.fit({"mediapipe": (certainty.tolist(), near.tolist())})
    stated = fitted(certainty, "mediapipe", False)
    for low in (0.0, 0.1, 0.2, 0.3, 0.4):
        chosen = (stated >= low) & (stated < low + 0.1)
        assert abs(near[chosen].mean() - stated[chosen].mean()) < 0.03
    x = np.linspace(0, 1, 50)
    assert (np.diff(fitted(x, "mediapipe", False)) >= 0).all()


def test_noise_is_pooled_until_the_table_rises() -> None:
    rng = np.random.default_rng(2)
    fitted = Calibration.fit({"network": (rng.uniform(0, 1, 2000).tolist(), (rng.uniform(0, 1, 2000) < 0.3).tolist())})
    values = fitted(np.linspace(0, 1, 30), "network", True)
    assert (np.diff(values) >= 0).all() and np.all(np.abs(values - 0.3) < 0.12)


def test_sources_without_measurements_take_a_relatives_table_or_stay_as_they_are(tmp_path: Path) -> None:
    table = (np.array([0.0, 1.0]), np.array([0.1, 0.5]))
    agreed = (np.array([0.0, 1.0]), np.array([0.2, 0.9]))
    tables = Calibration({"mediapipe": table, "mediapipe+agreed": agreed})
    assert tables(np.array([1.0]), "crops", False).tolist() == [0.5]
    assert tables(np.array([1.0]), "crops", True).tolist() == [0.9]
    own = Calibration({**tables.tables, "crops": (np.array([0.0, 1.0]), np.array([0.0, 0.7]))})
    assert own(np.array([1.0]), "crops", True).tolist() == [0.7]
    assert tables(np.array([0.7]), "file", False).tolist() == [0.7]
    assert Calibration.fit({"mediapipe": ([0.5] * 5, [True] * 5)}).tables == {}  # too few measurements
    assert source_key("two_hand_network", True) == "two_hand_network"
    assert source_key("crops", True) == "crops+agreed"
    path = tmp_path / "table.json"
    path.write_text(tables.to_json({"scenes": 3}))
    again = Calibration.read(path)
    assert again(np.array([0.5]), "mediapipe", True).tolist() == [0.55]
    path.write_text('{"format": "else"}')
    with pytest.raises(SetupError, match="cannot be read"):
        Calibration.read(path)


def test_the_table_that_ships_is_sound() -> None:
    for x, y in bundled_calibration().tables.values():
        assert len(x) == len(y) >= 2 and (np.diff(x) > 0).all() and (np.diff(y) >= 0).all()
        assert y.min() >= 0 and y.max() <= 1
