"""The requests of the protocol (``docs/protocol.md``), as they come in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from im2hands.core.errors import Im2HandsError

PROTOCOL_VERSION = 1

REQUEST_TYPES = ("hello", "reconstruct", "cancel", "status", "shutdown")


class MessageError(Im2HandsError):
    """A request that is refused; ``code`` as in the protocol, ``request_id`` is echoed if there was one."""

    def __init__(self, code: str, message: str, hint: str = "", request_id: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = code  # type: ignore[misc]
        self.request_id = request_id


@dataclass(frozen=True)
class Request:
    """A request as it came in: its type (one of :data:`REQUEST_TYPES`), its id and all its fields."""

    type: str
    id: str
    fields: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """Read one line.

    Raises:
        MessageError: not a JSON object, without a type or an id, or of an unknown type.
    """
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
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
