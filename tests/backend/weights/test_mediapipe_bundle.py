"""The hand bundle: error messages when it is missing or damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from im2hands.core.errors import SetupError
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.weights.mediapipe_bundle import LANDMARK_NETWORK, PALM_DETECTOR, read_bundle


def test_the_shipped_bundle_is_whole() -> None:
    bundle = read_bundle()
    assert bundle.task[:2] == b"PK" and bundle.landmark_network[4:8] == b"TFL3"


def damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.task"
    task = bytearray(read_bundle().task)
    if kind == "truncated":
        task = task[: len(task) // 2]
    elif kind == "flipped":
        task[len(task) // 2] ^= 0xFF
    elif kind == "text":
        task = bytearray(b"not found")
    elif kind == "other":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(PALM_DETECTOR, b"x")
        return path
    elif kind == "missing":
        return path
    path.write_bytes(task)
    return path


@pytest.mark.parametrize("kind", ["missing", "truncated", "flipped", "text", "other"])
def test_a_missing_or_damaged_bundle_is_an_environment_error_that_says_what_to_do(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    for use in (
        lambda: read_bundle(path),
        lambda: LandmarkNetwork(path),
        lambda: MediaPipeProvider(bundle=path),
    ):
        with pytest.raises(SetupError) as caught:
            use()
        assert path.name in caught.value.message and "Install" in caught.value.hint


def test_a_network_that_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "nonsense.task"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(PALM_DETECTOR, b"x" * 100)
        archive.writestr(LANDMARK_NETWORK, b"x" * 100)
    with pytest.raises(SetupError):
        LandmarkNetwork(path)
    with pytest.raises(SetupError):
        MediaPipeProvider(bundle=path)
