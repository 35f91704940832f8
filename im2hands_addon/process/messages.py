"""The lines that go to and come from the backend (``docs/protocol.md``)."""

from __future__ import annotations

import json
from typing import Any

from .options import Options

PROTOCOL = 1


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line; a byte of a path that is no UTF-8 goes as a JSON escape, and comes back as it was."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", errors="backslashreplace") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The message in a line, or None when the line holds none (something else wrote to the pipe)."""
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def hello(client: str) -> dict[str, Any]:
    """The first request; answered by ``ready``."""
    return {"type": "hello", "id": "hello", "protocol": PROTOCOL, "client": client}


def reconstruct(job: str, inputs: list[str], output: str, options: Options) -> dict[str, Any]:
    """The request for a job; ``inputs`` and ``output`` are absolute paths."""
    return {"type": "reconstruct", "id": job, "inputs": inputs, "output": output, "options": options.to_dict()}


def cancel(job: str) -> dict[str, Any]:
    """The request to end a job and keep what is finished."""
    return {"type": "cancel", "id": f"cancel-{job}", "job": job}


def shutdown() -> dict[str, Any]:
    """The request to end the backend."""
    return {"type": "shutdown", "id": "shutdown"}
