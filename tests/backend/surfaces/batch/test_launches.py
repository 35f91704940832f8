"""Recorded and compiled calls: states stay in place, and the fallback where recording is not possible."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from im2hands.surfaces.batch.launches import Launches, choose_launch, copy_tensors, tensors_of
from recorded import record_operations


@dataclass(frozen=True)
class Table:
    """A state with tensors at several depths, beside weights, numbers and names."""

    rows: Tensor
    parts: dict[str, tuple[Tensor, ...]]
    layer: nn.Linear
    name: str = "table"
    scale: float = 2.0

    def ask(self, points: Tensor) -> Tensor:
        return self.layer(points @ self.rows) * self.scale + self.parts["bias"][0]


LAYER = nn.Linear(4, 4)
FUNCTIONS = {"ask": Table.ask, "sum": lambda table, points: points.sum() + table.rows.sum()}


def _table(seed: int, rows: int = 3) -> Table:
    generator = torch.Generator().manual_seed(seed)
    bias = torch.randn(4, generator=generator)
    return Table(torch.randn(rows, 4, generator=generator), {"bias": (bias,)}, LAYER)


def _points(rows: int, columns: int = 3) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


@torch.no_grad()
def test_recorded_calls_follow_the_state() -> None:
    recorded = []

    def recorder(function, inputs):
        recorded.append([tuple(value.shape) for value in inputs])
        return record_operations(function, inputs)

    calls = Launches(FUNCTIONS, "graphs", recorder=recorder)
    for seed in range(4):
        calls.begin(_table(seed))
        for rows in (5, 8, 5):
            points = _points(rows) + seed
            expected = _table(seed).ask(points)
            assert torch.equal(calls("ask", points), expected)
            assert torch.allclose(calls("sum", points), points.sum() + _table(seed).rows.sum(), atol=1e-5)
    # The first state is called directly; from the second on, each function and shape is recorded once.
    assert recorded == [[(5, 3)], [(5, 3)], [(8, 3)], [(8, 3)]]
    assert calls.launch == "graphs"


@torch.no_grad()
def test_states_of_other_shapes_have_their_own_recordings() -> None:
    count = []
    calls = Launches(FUNCTIONS, "graphs", recorder=lambda f, i: count.append(1) or record_operations(f, i))
    for seed in range(6):
        rows = 3 + seed % 2
        calls.begin(_table(seed, rows))
        points = _points(5, rows)
        assert torch.equal(calls("ask", points), _table(seed, rows).ask(points))
    assert len(count) == 2


@torch.no_grad()
def test_plain_functions_are_not_recorded() -> None:
    calls = Launches(FUNCTIONS, "graphs", plain=("ask",), recorder=pytest.fail)
    for seed in range(3):
        calls.begin(_table(seed))
        assert torch.equal(calls("ask", _points(5)), _table(seed).ask(_points(5)))


@torch.no_grad()
@pytest.mark.parametrize("error", [RuntimeError("operation not permitted when stream is capturing"), ImportError("no")])
def test_what_cannot_be_recorded_is_called(caplog, error) -> None:
    tried = []

    def recorder(function, inputs):
        tried.append(1)
        raise error

    calls = Launches(FUNCTIONS, "graphs", recorder=recorder)
    for seed in range(4):
        calls.begin(_table(seed))
        assert torch.equal(calls("ask", _points(5)), _table(seed).ask(_points(5)))
    assert tried == [1] and calls.launch == "eager"
    assert "graphs: not possible here, continuing without" in caplog.text and str(error) in caplog.text


@torch.no_grad()
def test_memory_that_is_too_small_is_for_others_to_mend() -> None:
    def recorder(function, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    calls = Launches(FUNCTIONS, "graphs", recorder=recorder)
    calls.begin(_table(0))
    calls.begin(_table(0))
    with pytest.raises(torch.OutOfMemoryError):
        calls("ask", _points(5))
    assert calls.launch == "graphs"


@torch.no_grad()
def test_compiling_falls_back(monkeypatch, caplog) -> None:
    def refuse(function, **_):
        raise RuntimeError("Compiler: cl is not found.\nand so on")

    monkeypatch.setattr(torch, "compile", refuse)
    calls = Launches(FUNCTIONS, "compile")
    for seed in range(3):
        calls.begin(_table(seed))
        assert torch.equal(calls("ask", _points(5)), _table(seed).ask(_points(5)))
    assert "compile: not possible here, continuing without: Compiler: cl is not found.\n" in caplog.text + "\n"


@torch.no_grad()
def test_compiled_functions_are_kept(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: made.append(function) or function)
    calls = Launches(FUNCTIONS, "compile")
    for seed in range(4):
        calls.begin(_table(seed))
        assert torch.equal(calls("ask", _points(5)), _table(seed).ask(_points(5)))
    assert len(made) == 1


def test_tensors_of_a_state() -> None:
    table, other = _table(1), _table(2)
    assert [tensor.shape for tensor in tensors_of(table)] == [(3, 4), (4,)]  # without the weights
    copy_tensors(table, other)
    assert torch.equal(table.rows, other.rows) and torch.equal(table.parts["bias"][0], other.parts["bias"][0])
    with pytest.raises(ValueError, match=r"longer|shorter"):
        copy_tensors(table, {"rows": other.rows})


def test_how_to_launch() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [choose_launch(how, cpu) for how in ("auto", "eager", "graphs", "compile")] == [
        "eager", "eager", "eager", "compile",
    ]  # fmt: skip
    assert [choose_launch(how, cuda) for how in ("auto", "eager", "graphs", "compile")] == [
        "graphs", "eager", "graphs", "compile",
    ]  # fmt: skip


@torch.no_grad()
def test_graphs_where_there_is_no_cuda(monkeypatch, caplog) -> None:
    def refuse(*_):
        raise RuntimeError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", refuse)
    calls = Launches(FUNCTIONS, "graphs")
    for seed in range(3):
        calls.begin(_table(seed))
        assert torch.equal(calls("ask", _points(5)), _table(seed).ask(_points(5)))
    assert calls.launch == "eager" and "graphs: not possible here" in caplog.text
