"""Interpreters of TFLite models on the processor."""

from __future__ import annotations

from typing import Any

from im2hands.core.errors import SetupError
from im2hands.core.native_log import quiet_start


def interpreters(model: bytes, count: int) -> list[Any]:
    """Make interpreters of a TFLite model, one thread each, ready to run.

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
    """
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
        raise SetupError(f"The hand landmark network cannot be started: {error}.", "Install im2hands again.") from error
    return made
