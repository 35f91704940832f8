"""The options of cleaning a take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from im2hands.core.options import check_options, options_dataclass, options_of

VERSION = 6
"""Version of what the clean phase computes; a take of another version is cleaned anew."""


class _CleanOptions:
    """How a take is cleaned: the options of ``im2hands clean`` in the table of options.

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
        """The options as they stand in ``take.json``."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


if TYPE_CHECKING:
    CleanOptions = _CleanOptions
else:
    CleanOptions = options_dataclass("CleanOptions", options_of("clean"), _CleanOptions)
