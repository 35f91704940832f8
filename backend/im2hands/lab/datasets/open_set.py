"""Opening of whatever the trainings can read: scene sets, and splits in the prepared layout."""

from __future__ import annotations

from pathlib import Path

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
