"""The requests of the protocol (``docs/protocol.md``), and their parser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from im2hands.core.errors import Im2HandsError
from im2hands.core.unpacking import parse_json

PROTOCOL_VERSION = 1

REQUEST_TYPES = ("hello", "reconstruct", "rebuild", "clean", "cancel", "status", "shutdown")


class MessageError(Im2HandsError):
    """A request that is refused.

    Parameters
    ----------
    code : str
        Kind of the error in the protocol.
    message : str
        What is wrong.
    hint : str
        What to do about it.
    request_id : str, optional
        Id of the request, which the answer repeats; None if the request has none.
    """

    def __init__(self, code: str, message: str, hint: str = "", request_id: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = code  # type: ignore[misc]
        self.request_id = request_id


@dataclass(frozen=True)
class Request:
    """A request of a client.

    Parameters
    ----------
    type : str
        One of :data:`REQUEST_TYPES`.
    id : str
        Id that the client chose.
    fields : mapping
        All fields of the request.
    """

    type: str
    id: str
    fields: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """Parse one line of the protocol.

    Parameters
    ----------
    line : bytes
        JSON in UTF-8.

    Returns
    -------
    Request
        The request.

    Raises
    ------
    MessageError
        The line is not a JSON object, has no type or no id, or has an unknown type.
    """
    try:
        data = parse_json(line)
    except ValueError as error:
        raise MessageError(
            "bad_message", f"A line is not JSON: {error}.", "Send one JSON object a line, UTF-8."
        ) from error
    if not isinstance(data, dict):
        raise MessageError("bad_message", "A line is JSON but no object.", 'Send {"type": ..., "id": ...}.')
    identifier, kind = data.get("id"), data.get("type")
    if not isinstance(identifier, str) or not identifier:
        raise MessageError("bad_message", "A request has no id.", 'Send an "id" of your choice, a text.')
    if not isinstance(kind, str):
        raise MessageError("bad_message", "A request has no type.", f"Known are {_known()}.", identifier)
    if kind not in REQUEST_TYPES:
        raise MessageError(
            "unknown_type", f'There is no request of type "{kind}".', f"Known are {_known()}.", identifier
        )
    return Request(kind, identifier, data)


def _known() -> str:
    return ", ".join(REQUEST_TYPES)
