"""Repeated network calls with few kernel launches: recorded as CUDA graphs or compiled, where that is possible.

On an accelerator a small operation costs more to launch than to compute, and one call of these networks consists of
hundreds of them. A CUDA graph is launched at once, but reads and writes the same memory addresses each time. The
tensors a call depends on (its *state*) must therefore stay in place: the first state of each shape is kept, and later
states are copied into it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

Launch = Literal["eager", "graphs", "compile"]
Function = Callable[..., Tensor]
Recorder = Callable[[Function, tuple[Tensor, ...]], Function]

_log = logging.getLogger(__name__)


def tensors_of(state: Any) -> Iterator[Tensor]:
    """The tensors in a state, in a fixed order.

    Tuples, lists, mappings and attributes of objects are searched; modules (their weights) are not.

    Parameters
    ----------
    state : Any
        The state.

    Yields
    ------
    Tensor
        Each tensor of the state.
    """
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, nn.Module | str):
        return
    elif isinstance(state, Mapping):
        for value in state.values():
            yield from tensors_of(value)
    elif isinstance(state, tuple | list):
        for value in state:
            yield from tensors_of(value)
    elif hasattr(state, "__dict__") and not callable(state):
        yield from tensors_of(vars(state))


@torch.no_grad()
def copy_tensors(target: Any, source: Any) -> None:
    """Copy the tensors of one state into another state of the same shapes.

    Parameters
    ----------
    target : Any
        The state whose tensors are overwritten.
    source : Any
        The state whose tensors are read.

    Raises
    ------
    ValueError
        The states hold different numbers of tensors.
    """
    for own, new in zip(tensors_of(target), tensors_of(source), strict=True):
        if own.data_ptr() != new.data_ptr():  # weights are shared by both states
            own.copy_(new)


class GraphRecorder:
    """Records functions as CUDA graphs for inputs of given shapes.

    All graphs share the memory of their intermediate results. They are launched one after another, and each result is
    copied before the next launch.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> Function:
        """Record a function.

        Parameters
        ----------
        function : callable
            Maps tensors to a tensor.
        inputs : tuple of Tensor
            Inputs of the shapes the graph is recorded for.

        Returns
        -------
        callable
            Replays the graph for inputs of the same shapes.

        Raises
        ------
        RuntimeError
            The function contains operations that cannot be recorded.
        """
        own = tuple(value.clone() for value in inputs)
        stream = torch.cuda.Stream()  # warm-up: libraries initialise themselves at the first calls
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                function(*own)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            answer = function(*own)

        def replay(*given: Tensor) -> Tensor:
            for target, value in zip(own, given, strict=True):
                target.copy_(value)
            graph.replay()
            return answer.clone()

        return replay


def compiled(function: Function, inputs: tuple[Tensor, ...]) -> Function:
    """Compile a function for inputs of given shapes.

    Parameters
    ----------
    function : callable
        Maps tensors to a tensor.
    inputs : tuple of Tensor
        Inputs of the shapes it is compiled for.

    Returns
    -------
    callable
        The compiled function.

    Raises
    ------
    RuntimeError
        It cannot be compiled on this machine.
    """
    fast: Function = torch.compile(function, dynamic=False)
    fast(*inputs)
    return fast


def choose_launch(wanted: Literal["auto", "eager", "graphs", "compile"], device: torch.device) -> Launch:
    """The way to launch on a device: "auto" is "graphs" on CUDA; without CUDA, "auto" and "graphs" are "eager".

    Parameters
    ----------
    wanted : {"auto", "eager", "graphs", "compile"}
        The requested way.
    device : torch.device
        Where the networks run.

    Returns
    -------
    Launch
        The way that is used.
    """
    if device.type != "cuda" and wanted in ("auto", "graphs"):
        return "eager"
    return "graphs" if wanted == "auto" else wanted


class Launches:
    """Functions of a state and of tensors, recorded or compiled when their shapes repeat.

    A function is recorded the second time that a state of the same shapes begins; later calls with the same input
    shapes replay it. If recording fails, all functions are called directly from then on, and a warning is logged.

    Parameters
    ----------
    functions : mapping of str to callable
        The functions by name. Their arguments are the state, then tensors.
    launch : Launch
        How the functions are launched.
    plain : collection of str
        Names of functions that cannot be recorded, because their operations depend on values.
    recorder : callable, optional
        Makes the fast function; None is the recorder that belongs to ``launch``.
    """

    def __init__(
        self, functions: Mapping[str, Function], launch: Launch, *, plain: Collection[str] = (),
        recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        self.launch: Launch = launch
        self._functions, self._plain = functions, plain
        self._recorder = recorder
        self._state: Any = None
        self._kept: dict[Any, tuple[Any, dict[Any, Function]] | None] = {}
        self._fast: dict[Any, Function] | None = None

    def begin(self, state: Any) -> None:
        """Use a state for the following calls.

        Parameters
        ----------
        state : Any
            The state; the first argument of every function.
        """
        self._state, self._fast = state, None
        if self.launch == "eager":
            return
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(state))
        if shapes not in self._kept:
            self._kept[shapes] = None  # recording pays off only if these shapes come again
            return
        kept = self._kept[shapes]
        if kept is None:
            kept = self._kept[shapes] = (state, {})
        else:
            copy_tensors(kept[0], state)
        self._state, self._fast = kept

    def __call__(self, name: str, *inputs: Tensor) -> Tensor:
        """Call a function with the present state.

        Parameters
        ----------
        name : str
            Name of the function.
        *inputs : Tensor
            Its tensors.

        Returns
        -------
        Tensor
            Its result.

        Raises
        ------
        torch.OutOfMemoryError
            The device's memory is too small for these inputs.
        """
        asked, state = self._functions[name], self._state

        def function(*given: Tensor) -> Tensor:
            return asked(state, *given)

        if self._fast is None or name in self._plain:
            return function(*inputs)
        shapes = (name, *(tensor.shape for tensor in inputs))
        if shapes not in self._fast:
            try:
                if self._recorder is None:
                    self._recorder = GraphRecorder() if self.launch == "graphs" else compiled
                self._fast[shapes] = self._recorder(function, inputs)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ImportError) as error:
                reason = str(error).split("\n")[0]
                _log.warning("%s: not possible here, continuing without: %s", self.launch, reason)
                self.launch, self._fast = "eager", None
                return function(*inputs)
        return self._fast[shapes](*inputs)
