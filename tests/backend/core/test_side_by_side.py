"""Hands in parallel threads: order of results, errors, and thread settings that are restored."""

from __future__ import annotations

import threading

import pytest
import torch

from im2hands.core.side_by_side import side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_both_run_at_once_without_gradients_in_their_share_of_the_cores(two_threads) -> None:
    barrier = threading.Barrier(2, timeout=20)
    weight = torch.ones(2, requires_grad=True)

    def work(number: int) -> tuple[int, int, bool]:
        barrier.wait()  # passes only if the other call runs at the same time
        return number, torch.get_num_threads(), (weight * 2).requires_grad

    assert side_by_side([lambda: work(1), lambda: work(2)], CPU) == [(1, 1, False), (2, 1, False)]
    assert torch.get_num_threads() == 2


def test_an_error_comes_through_and_threads_are_given_back(two_threads) -> None:
    def fail() -> int:
        raise ValueError("no surface")

    with pytest.raises(ValueError, match="no surface"):
        side_by_side([fail, lambda: 1], CPU)
    assert torch.get_num_threads() == 2


def test_elsewhere_one_after_the_other(two_threads) -> None:
    seen = [threading.get_ident()]
    side_by_side([lambda: seen.append(threading.get_ident())] * 2, torch.device("cuda"))
    assert set(seen) == {seen[0]}
