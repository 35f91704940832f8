"""Queries of many hands in padded blocks: every query gets its own result."""

from __future__ import annotations

import pytest
import torch

from im2hands.networks.chunks import SMALLEST
from im2hands.surfaces.batch.padded import PaddedQueries

COUNTS = (3000, 0, 1, 700)
HANDS = torch.arange(4).repeat_interleave(torch.tensor(COUNTS))
POINTS = torch.randn(sum(COUNTS), 3, generator=torch.Generator().manual_seed(0))
FACTORS = torch.rand(sum(COUNTS), generator=torch.Generator().manual_seed(1))
EXPECTED = (POINTS * FACTORS[:, None]).sum(-1) + HANDS


class Device:
    """Evaluates blocks of all hands; runs out of memory above a number of queries."""

    def __init__(self, memory: int = 1 << 30) -> None:
        self.memory, self.shapes = memory, []

    def __call__(self, points: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        self.shapes.append(points.shape[1])
        assert points.shape == (4, *factors.shape[1:], 3)
        if points.shape[1] > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return (points * factors[..., None]).sum(-1) + torch.arange(4)[:, None]


@pytest.mark.parametrize("few_sizes", [True, False])
@pytest.mark.parametrize("block", [SMALLEST, 2048, 4096])
def test_every_query_gets_its_own_answer(few_sizes, block) -> None:
    device = Device()
    padded = PaddedQueries(4, block=block, few_sizes=few_sizes)
    assert torch.equal(padded.over(HANDS, (POINTS, FACTORS), device), EXPECTED)
    assert sum(device.shapes) >= max(COUNTS)
    if few_sizes:
        assert set(device.shapes) <= {256, 1024, block}
    else:
        assert sum(device.shapes) == max(COUNTS)


def test_one_size_for_few_queries() -> None:
    device = Device()
    padded = PaddedQueries(4)
    few = (HANDS == 3).nonzero()[:, 0]
    for count in (1, 17, 255, 256, 300):
        rows = few[:count]
        assert torch.equal(padded.over(HANDS[rows], (POINTS[rows], FACTORS[rows]), device), EXPECTED[rows])
    assert device.shapes == [256, 256, 256, 256, 1024]


def test_smaller_blocks_where_memory_is_too_small(caplog) -> None:
    device = Device(memory=900)
    padded = PaddedQueries(4)
    assert torch.equal(padded.over(HANDS, (POINTS, FACTORS), device), EXPECTED)
    assert "too many for this device's memory" in caplog.text
    device.shapes.clear()
    assert torch.equal(padded.over(HANDS, (POINTS, FACTORS), device), EXPECTED)
    assert max(device.shapes) <= 900  # the limit is remembered
    with pytest.raises(torch.OutOfMemoryError):
        PaddedQueries(4).over(HANDS, (POINTS, FACTORS), Device(memory=SMALLEST - 1))
