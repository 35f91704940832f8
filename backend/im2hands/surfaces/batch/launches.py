"""The same calls again and again with few launches: recorded as CUDA graphs or compiled, where that is possible.

On an accelerator a small operation costs more to launch than to compute, and a call to these networks is hundreds of
them. A CUDA graph holds them all and is launched at once, but on the same addresses each time: what a call depends on,
its *state*, must stay where it was. So the first state of some shapes is kept, and later ones are copied into it.
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
    """The tensors that a state holds, in a fixed order: in tuples, lists, mappings and objects; not in modules."""
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
    """Copy the tensors of one state into those of another of the same shapes."""
    for own, new in zip(tensors_of(target), tensors_of(source), strict=True):
        if own.data_ptr() != new.data_ptr():  # weights belong to both
            own.copy_(new)


class GraphRecorder:
    """Makes CUDA graphs of functions for inputs of some shapes.

    The graphs share the memory of what they compute on the way: they are launched one after another, and an answer is
    copied before the next.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Function, inputs: tuple[Tensor, ...]) -> Function:
        """The graph of a function.

        Raises:
            RuntimeError: the function does what cannot be recorded.
        """
        own = tuple(value.clone() for value in inputs)
        stream = torch.cuda.Stream()  # libraries set themselves up at the first calls
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
    """A function compiled for inputs of these shapes.

    Raises:
        RuntimeError: it cannot be compiled here.
    """
    fast: Function = torch.compile(function, dynamic=False)
    fast(*inputs)
    return fast


def choose_launch(wanted: Literal["auto", "eager", "graphs", "compile"], device: torch.device) -> Launch:
    """How to launch: "auto" records on CUDA; "graphs" where there is no CUDA is "eager"."""
    if device.type != "cuda" and wanted in ("auto", "graphs"):
        return "eager"
    return "graphs" if wanted == "auto" else wanted


class Launches:
    """Functions of a state and of tensors.

    Shapes of states and inputs that come for the second time are recorded or compiled. Where that fails, once and for
    all the functions are called as they are, and the log says so.

    Args:
        functions: by name; the state first, then tensors. launch: how. plain: names of functions that cannot be
            recorded, because what they launch depends on values. recorder: makes the fast function; None is the
            launch's own.
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
        """Ask this state from now on."""
        self._state, self._fast = state, None
        if self.launch == "eager":
            return
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors_of(state))
        if shapes not in self._kept:
            self._kept[shapes] = None  # it may be the only one
            return
        kept = self._kept[shapes]
        if kept is None:
            kept = self._kept[shapes] = (state, {})
        else:
            copy_tensors(kept[0], state)
        self._state, self._fast = kept

    def __call__(self, name: str, *inputs: Tensor) -> Tensor:
        """What a function says of the present state and these tensors."""
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
                _log.warning("%s: not possible here, called as usual: %s", self.launch, str(error).split("\n")[0])
                self.launch, self._fast = "eager", None
                return function(*inputs)
        return self._fast[shapes](*inputs)
