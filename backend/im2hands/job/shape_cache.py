"""The shape of a take's hands, kept in ``TAKE/cache`` so that another smoothing does not take measuring it again.

``template.npz`` has the same shape in single precision, with which the motion would differ a little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from im2hands.animation.template.rest import Rest
from im2hands.core.hands import Side

from .cached_arrays import NOT_CACHED, read_cached, write_cached

_NAMES = tuple(field.name for field in fields(Rest))


class ShapeCache:
    """The hands at rest of a take, in double precision.

    Parameters
    ----------
    folder : Path
        The cache folder. It is created when the shape is written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "shape.npz"

    def read(self, key: str, sides: Sequence[Side]) -> dict[Side, Rest] | None:
        """Return the hands at rest.

        Parameters
        ----------
        key : str
            Hash of everything that they depend on.
        sides : sequence of Side
            The hands of the take.

        Returns
        -------
        dict of Side to Rest or None
            None if they are not kept, damaged, or made from something else.
        """
        try:
            arrays = read_cached(self._path, key)
            return {side: Rest(**{name: arrays[f"{side}_{name}"] for name in _NAMES}) for side in sides}
        except NOT_CACHED:
            return None  # the shape is measured again

    def write(self, key: str, rests: Mapping[Side, Rest]) -> None:
        """Keep the hands at rest.

        Parameters
        ----------
        key : str
            Hash of everything that they depend on.
        rests : mapping of Side to Rest
            Right hands at rest, by the side they stand for.

        Raises
        ------
        TakeError
            The file cannot be written.
        """
        arrays = {f"{side}_{name}": getattr(rest, name) for side, rest in rests.items() for name in _NAMES}
        write_cached(self._path, key, arrays)
