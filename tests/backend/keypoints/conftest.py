"""Fixtures for the tests of keypoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from im2hands.keypoints.reading.network import LandmarkNetwork


@pytest.fixture(scope="session")
def network() -> Iterator[LandmarkNetwork]:
    """MediaPipe's landmark network, made once for all tests."""
    made = LandmarkNetwork()
    yield made
    made.close()


@pytest.fixture(scope="session")
def shipped() -> Iterator[LandmarkNetwork]:
    """The reading network that ships, on which the pair judge that ships was trained."""
    made = LandmarkNetwork.bundled()
    yield made
    made.close()
