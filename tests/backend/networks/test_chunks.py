"""Queries in chunks; the chunks shrink when a device's memory is too small."""

from __future__ import annotations

import logging

import pytest
import torch

from im2hands.networks.chunks import SMALLEST, Chunks

POINTS = torch.arange(6000.0)
CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
METAL_FULL = RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")


class Device:
    """A device with memory for a limited number of queries at once."""

    def __init__(self, memory: int, error: RuntimeError = CUDA_FULL) -> None:
        self.memory, self.asked, self.error = memory, [], error

    def __call__(self, rows: slice) -> torch.Tensor:
        points = POINTS[rows]
        self.asked.append(len(points))
        if len(points) > self.memory:
            raise self.error
        return points * 2


@pytest.mark.parametrize("size", [1, 7, 5999, 6000, 1 << 15])
def test_the_chunks_make_the_whole(size: int) -> None:
    assert torch.equal(Chunks().over(len(POINTS), size, Device(1 << 20)), POINTS * 2)


def test_no_queries() -> None:
    assert Chunks().over(0, 100, lambda rows: POINTS[:0][rows]).shape == (0,)


@pytest.mark.parametrize("error", [CUDA_FULL, METAL_FULL])
def test_smaller_chunks_where_memory_is_too_small(error: RuntimeError, caplog: pytest.LogCaptureFixture) -> None:
    chunks, device = Chunks(), Device(1000, error)
    with caplog.at_level(logging.WARNING, "im2hands"):
        assert torch.equal(chunks.over(len(POINTS), 1 << 15, device), POINTS * 2)
    assert device.asked[:4] == [6000, 3000, 1500, 750]
    assert [record.getMessage() for record in caplog.records][-1].endswith("memory; trying 750")
    # The smaller chunk is kept for the next call.
    device.asked.clear()
    caplog.clear()
    assert torch.equal(chunks.over(len(POINTS), 1 << 15, device), POINTS * 2)
    assert device.asked == [750] * 8 and not caplog.records


def test_nothing_fits() -> None:
    device = Device(SMALLEST - 1)
    with pytest.raises(torch.OutOfMemoryError):
        Chunks().over(len(POINTS), 4096, device)
    assert min(device.asked) == SMALLEST
    with pytest.raises(torch.OutOfMemoryError):
        Chunks().over(20, 4096, Device(19))
