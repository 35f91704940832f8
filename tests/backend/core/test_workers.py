"""Threads for frames: results in order, one PyTorch thread each, and nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from im2hands.core.workers import Workers


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_calls_run_at_once_with_one_torch_thread_each_and_come_in_order(two_threads: None) -> None:
    barrier = threading.Barrier(2, timeout=20)

    def work(number: int) -> tuple[int, int]:
        if number < 2:
            barrier.wait()  # passes only if another call runs at the same time
        return number, torch.get_num_threads()

    with Workers(2) as workers:
        made = [(item, future.result()) for item, future in workers.ahead(work, range(5))]
    assert made == [(number, (number, 1)) for number in range(5)]
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert torch.get_num_threads() == 2 and seen == [2]


def test_only_a_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with Workers(2, with_torch=False) as workers:
        for number, future in workers.ahead(lambda item: item, items()):
            assert future.result() == number and len(taken) <= number + 3
    assert len(taken) == 10


def test_an_error_belongs_to_its_item_alone() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise ValueError("no hand")
        return number

    with Workers(2, with_torch=False) as workers:
        made = [future.exception() or future.result() for _, future in workers.ahead(work, range(3))]
    assert made[0] == 0 and made[2] == 2 and isinstance(made[1], ValueError)
