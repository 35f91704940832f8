"""Detection of takes whose frames follow each other in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.media.sequence import follow_each_other


def is_sequence(header: Mapping[str, Any]) -> bool:
    """Return whether the frames of a take follow each other in time, see ``media.sequence.follow_each_other``.

    Parameters
    ----------
    header : mapping
        Header of ``take.json``.

    Returns
    -------
    bool
        The same as ``media.source.Source.is_sequence`` of the source that the take was made from.
    """
    source = header.get("source") or {}
    return follow_each_other(str(source.get("kind")), [Path(str(path)) for path in source.get("files") or []])
