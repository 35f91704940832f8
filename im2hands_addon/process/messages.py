"""The messages to and from the backend, one JSON object a line (see ``docs/protocol.md``)."""

from __future__ import annotations

import json
from typing import Any

from .options import Options

PROTOCOL = 1


def encode(message: dict[str, Any]) -> bytes:
    """Encode one message as a line.

    Parameters
    ----------
    message : dict
        The message.

    Returns
    -------
    bytes
        JSON in UTF-8, with a line feed at its end. A byte of a path that is not valid UTF-8 becomes a JSON escape,
        which decodes to the same path.
    """
    return json.dumps(message, ensure_ascii=False).encode("utf-8", errors="backslashreplace") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Decode one line.

    Parameters
    ----------
    line : bytes
        A line from the backend.

    Returns
    -------
    dict or None
        The message; None when the line is not a message, for example the output of a library.
    """
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be a message
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def hello(client: str) -> dict[str, Any]:
    """The first request, with the name of this program; the backend answers ``ready``."""
    return {"type": "hello", "id": "hello", "protocol": PROTOCOL, "client": client}


def reconstruct(inputs: list[str], output: str, options: Options) -> dict[str, Any]:
    """The request for a reconstruction. The sender adds a name for the job as "id"; messages about the job carry it.

    Parameters
    ----------
    inputs : list of str
        Pictures, folders or a clip; absolute paths.
    output : str
        The take's folder; an absolute path.
    options : Options
        Options of the reconstruction.

    Returns
    -------
    dict
        The message.
    """
    return {"type": "reconstruct", "inputs": inputs, "output": output, "options": options.to_dict()}


def rebuild(take: str, edits: dict[str, Any], known: str, frames: str | None = None) -> dict[str, Any]:
    """The request to make frames of a take again with a person's corrections.

    Parameters
    ----------
    take : str
        The take's folder; an absolute path.
    edits : dict
        The corrections, as ``edits.json`` has them; they replace those of the take.
    known : str
        The sha256 of the take's ``edits.json`` when it was read, or "": the backend refuses to replace another one.
    frames : str, optional
        The only frames to make, such as "12,20-24"; None for all that the corrections concern.

    Returns
    -------
    dict
        The message.
    """
    return {"type": "rebuild", "take": take, "edits": edits, "known": known, "frames": frames}


def clean(take: str, options: dict[str, Any]) -> dict[str, Any]:
    """The request to make template hands and motion of a take again.

    Parameters
    ----------
    take : str
        The take's folder; an absolute path.
    options : dict
        Options of the clean phase by name; the others have their defaults.

    Returns
    -------
    dict
        The message.
    """
    return {"type": "clean", "take": take, "options": options}


def cancel(job: str, *, rig: bool) -> dict[str, Any]:
    """The request to end a job early; finished frames are kept. ``rig``: after their hands were rigged."""
    return {"type": "cancel", "id": f"cancel-{job}", "job": job, "rig": rig}


def shutdown() -> dict[str, Any]:
    """The request to end the backend."""
    return {"type": "shutdown", "id": "shutdown"}
