"""Fixtures for the tests of keypoints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.looking import Readers
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.sources import make_provider


@pytest.fixture(scope="session")
def network() -> Iterator[LandmarkNetwork]:
    """MediaPipe's landmark network, made once for all tests."""
    made = LandmarkNetwork()
    yield made
    made.close()


@pytest.fixture(scope="session")
def shipped() -> Iterator[HandFinder]:
    """The finder with all networks that ship, made once for all tests."""
    made = make_provider()
    yield made
    made.close()


@pytest.fixture(scope="session")
def readers(shipped: HandFinder) -> Readers:
    """The networks that ship, for finders of a test's own."""
    return shipped._readers
