"""Opening of what the trainings can read: scene sets, and splits in the prepared layout; terms of what they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .interhand.layout import is_prepared
from .interhand.scenes import PreparedScenes
from .scenes import SceneSet


def open_scenes(folder: Path) -> SceneSet:
    """Open a set.

    Parameters
    ----------
    folder : Path
        Folder of a scene set (``im2hands synthesize``), or of a prepared split (``im2hands data prepare``).

    Returns
    -------
    SceneSet
        The set.

    Raises
    ------
    InputError
        The folder holds neither, or an empty or damaged set.
    """
    return PreparedScenes(folder) if is_prepared(Path(folder)) else SceneSet(folder)


def card_terms(data: Any) -> dict[str, str]:
    """Return the entries of a card about the terms of its training data.

    Parameters
    ----------
    data : Any
        Description of the data in the card: ``SetInfo`` objects as JSON, perhaps in further objects.

    Returns
    -------
    dict of str to str
        ``licence`` and ``sources``, in place of those of networks that learned from synthetic scenes alone. Empty
        if the data names no terms.
    """
    terms = sorted(set(_terms(data)))
    if not terms:
        return {}
    return {
        "licence": f"bound to the terms of the training data: {'; '.join(terms)}",
        "sources": "the sets under data, and the weights that the training began with",
    }


def _terms(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        for name, value in data.items():
            if name == "terms" and isinstance(value, str):
                yield value
            yield from _terms(value)
