"""Whether the frames of a take follow each other in time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_NUMBER = re.compile(r"\d+")


def is_sequence(header: Mapping[str, Any]) -> bool:
    """Whether a take's frames come from a clip or a numbered sequence, and not from unrelated pictures.

    Args:
        header: ``take.json``'s.
    """
    source = header.get("source") or {}
    if source.get("kind") == "video":
        return True
    names = [PurePath(str(path)) for path in source.get("files") or []]
    patterns = {(name.parent, _NUMBER.sub("#", name.stem), name.suffix) for name in names}
    return len(names) > 1 and len(patterns) == 1 and "#" in next(iter(patterns))[1]
