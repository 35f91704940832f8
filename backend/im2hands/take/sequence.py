"""Whether the frames of a take follow each other in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.media.sequence import follow_each_other


def is_sequence(header: Mapping[str, Any]) -> bool:
    """Whether a take's frames follow each other; see :func:`follow_each_other`.

    Parameters
    ----------
    header
        Of ``take.json``.

    Returns
    -------
    bool
        The same as :attr:`.frames.Source.is_sequence` of the source the take was made from.
    """
    source = header.get("source") or {}
    return follow_each_other(str(source.get("kind")), [Path(str(path)) for path in source.get("files") or []])
