"""What a reconstruction is to do: inputs, output and the options of the table, with their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.errors import InputError
from im2hands.core.options import OPTIONS, check_options, options_dataclass, options_of

_NOT_SETTINGS = ("inputs", "output", "resume", "overwrite")


class _ReconstructOptions:
    """One reconstruction: ``inputs`` (paths), ``output`` (the take's folder), and every option of the table.

    Raises
    ------
    InputError
        A value is not possible.
    """

    if TYPE_CHECKING:

        def __init__(self, inputs: tuple[str, ...], output: str, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    def __post_init__(self) -> None:
        if not self.inputs:
            raise InputError("No pictures or video given.", "Give files, a folder or a clip.")
        if not self.output:
            raise InputError("No output folder given.", "Give the folder of the take with --output.")
        check_options(asdict(self))  # type: ignore[call-overload]

    @property
    def keypoint_file(self) -> Path | None:
        """The keypoint file; None where ``keypoints`` names a method."""
        return None if self.keypoints in OPTIONS["keypoints"].values else Path(self.keypoints)

    @property
    def cleaning(self) -> CleanOptions:
        """The options of the clean phase."""
        return CleanOptions(**{one.name: getattr(self, one.name) for one in options_of("clean")})

    def settings(self) -> dict[str, Any]:
        """What the take keeps of the options: everything that shapes the result."""
        values: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return {name: value for name, value in values.items() if name not in _NOT_SETTINGS}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> ReconstructOptions:
        """The options in the fields of a ``reconstruct`` request.

        Unknown options are ignored; None means the default.

        Raises
        ------
        InputError
            A field is of the wrong kind or its value is not possible; the message names it.
        """
        inputs, output = request.get("inputs"), request.get("output")
        if isinstance(inputs, str):
            inputs = [inputs]
        if not isinstance(inputs, list) or not all(isinstance(path, str) and path for path in inputs):
            raise InputError("inputs must be a list of paths.", 'Send "inputs": ["/path/photo.jpg"].')
        if not isinstance(output, str):
            raise InputError("output must be the path of the take.", 'Send "output": "/path/take".')
        given = request.get("options") or {}
        if not isinstance(given, Mapping):
            raise InputError("options must be an object.", 'Send "options": {"frames": "1-100"}.')
        values = {name: option.typed(given[name]) for name, option in OPTIONS.items() if given.get(name) is not None}
        return cls(tuple(inputs), output, **values)


if TYPE_CHECKING:
    ReconstructOptions = _ReconstructOptions
else:
    ReconstructOptions = options_dataclass(
        "ReconstructOptions",
        options_of("reconstruct"),
        _ReconstructOptions,
        before=(("inputs", tuple), ("output", str)),
    )
