"""A replacement for CUDA graphs on the processor: records operations and repeats them on the same memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

Function = Callable[..., Tensor]


def record_operations(function: Function, inputs: tuple[Tensor, ...]) -> Function:
    """Record the operations of a call, as ``surfaces.batch.launches.GraphRecorder`` does.

    Tensors that are not inputs keep their addresses. Branches and shapes stay those of the recording, and no Python
    code of the function runs again.

    Parameters
    ----------
    function : callable
        A function of tensors that returns a tensor.
    inputs : tuple of Tensor
        Inputs of the recorded call.

    Returns
    -------
    callable
        Repeats the recorded operations on other inputs of the same shapes.
    """
    own = tuple(value.clone() for value in inputs)
    graph = make_fx(function)(*own)

    def replay(*given: Tensor) -> Tensor:
        assert [value.shape for value in given] == [value.shape for value in own]
        with torch.no_grad():
            return graph(*given)

    return replay
