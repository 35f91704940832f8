"""Fixtures for the tests of keypoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from im2hands.keypoints.reading.network import LandmarkNetwork


@pytest.fixture(scope="session")
def network() -> Iterator[LandmarkNetwork]:
    """The landmark network, once for all tests."""
    made = LandmarkNetwork()
    yield made
    made.close()


@pytest.fixture(scope="session")
def shipped() -> Iterator[LandmarkNetwork]:
    """The reading network that ships, to which the judge that ships belongs."""
    made = LandmarkNetwork.bundled()
    yield made
    made.close()
