"""Interpreters of TFLite models on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from im2hands.core.errors import SetupError
from im2hands.core.native_log import quiet_start


class Interpreters:
    """Interpreters of one TFLite model, one thread each. Any number of threads may run the model at a time.

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

    def run(self, picture: np.ndarray, outputs: Sequence[int]) -> list[np.ndarray]:
        """Run the model on a picture, with an interpreter that is free.

        Parameters
        ----------
        picture : (H, W, 3) float32
            The input, RGB in [0, 1].
        outputs : sequence of int
            Indices of the output tensors to return.

        Returns
        -------
        list of array
            The output tensors.
        """
        interpreter = self._free.get()
        try:
            interpreter.set_tensor(self.input, picture[None])
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]
        finally:
            self._free.put(interpreter)
