"""Detection of takes whose frames follow each other in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.media.sequence import follow_each_other


def is_sequence(header: Mapping[str, Any]) -> bool:
    """Return whether the frames of a take follow each other in time.

    The take says so in ``source.sequence``. For an older take, ``media.sequence.follow_each_other`` decides.

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
    kind, files = str(source.get("kind")), [Path(str(path)) for path in source.get("files") or []]
    told = source.get("sequence")
    if isinstance(told, bool):
        return told and (kind == "video" or len(files) > 1)
    return follow_each_other(kind, files)
