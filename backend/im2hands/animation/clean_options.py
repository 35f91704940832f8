"""The options of the clean phase."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from im2hands.core.options import check_options, options_dataclass

VERSION = 8
"""Version of the clean phase's computations. A take that was cleaned by another version is cleaned again."""


class _CleanOptions:
    """How a take is cleaned: the options of ``im2hands clean`` in ``options.toml``.

    Parameters
    ----------
    **values : Any
        Options by name.

    Raises
    ------
    InputError
        A value is not possible.
    """

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    def __post_init__(self) -> None:
        check_options(self.settings())

    def settings(self) -> dict[str, Any]:
        """Return the options as ``take.json`` stores them."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


if TYPE_CHECKING:
    CleanOptions = _CleanOptions
else:
    CleanOptions = options_dataclass("CleanOptions", "clean", _CleanOptions)
