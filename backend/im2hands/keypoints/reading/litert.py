"""Interpreters of TFLite models on the processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from im2hands.core.errors import SetupError
from im2hands.core.native_log import quiet_start


class Interpreters:
    """Interpreters of one TFLite model, one thread each. Any threads may ask for one of them at a time.

    Parameters
    ----------
    model : bytes
        The TFLite file.
    count : int
        Number of interpreters.

    Raises
    ------
    SetupError
        ai-edge-litert is not installed, or the model is damaged.

    Attributes
    ----------
    input : int
        Index of the model's input tensor.
    outputs : list of dict
        Details of its output tensors, with ``name``, ``index`` and ``shape``.
    """

    def __init__(self, model: bytes, count: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise SetupError(
                f"ai-edge-litert cannot be loaded: {error}.", "Install the backend's requirements again."
            ) from error
        try:
            made = [Interpreter(model_content=model, num_threads=1) for _ in range(count)]
            with quiet_start():
                for interpreter in made:
                    interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise SetupError(f"MediaPipe's networks cannot be started: {error}.", "Install im2hands again.") from error
        self.input: int = made[0].get_input_details()[0]["index"]
        self.outputs: list[dict[str, Any]] = made[0].get_output_details()
        self._free: SimpleQueue[Any] = SimpleQueue()
        for interpreter in made:
            self._free.put(interpreter)

    @contextmanager
    def one(self) -> Iterator[Any]:
        """Lend an interpreter; wait until one is free."""
        interpreter = self._free.get()
        try:
            yield interpreter
        finally:
            self._free.put(interpreter)
