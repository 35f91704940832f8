"""The options of a reconstruction: inputs, output and the table's options, with their checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.errors import InputError
from im2hands.core.options import OPTIONS, check_options, options_dataclass, options_of, with_quality
from im2hands.core.person_path import person_path

NO_SURFACES = "none"
"""The stage of a draft."""

_MOST_FRAMES = 64  # in a batch

_NOT_SETTINGS = ("inputs", "output", "edits", "resume", "overwrite", "executor", "batch")


class _ReconstructOptions:
    """The options of one reconstruction.

    Parameters
    ----------
    inputs : tuple of str
        Paths of pictures, folders, patterns, or one clip.
    output : str
        Folder of the take.
    **values : Any
        Options of ``options.toml`` by name.

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
        for path in (*self.inputs, self.output):
            person_path(path)
        for name, value in with_quality(asdict(self)).items():  # type: ignore[call-overload]
            object.__setattr__(self, name, value)
        check_options(asdict(self))  # type: ignore[call-overload]
        if self.batch != "auto" and not (
            self.batch.isascii() and self.batch.isdigit() and 1 <= int(self.batch[:9]) <= _MOST_FRAMES
        ):
            raise InputError(
                f"The option batch is {self.batch[:20]!r}, it must be auto or 1 to {_MOST_FRAMES}.",
                OPTIONS["batch"].hint,
            )

    @property
    def is_draft(self) -> bool:
        """Whether the frames get no surfaces."""
        return bool(self.stage == NO_SURFACES)

    @property
    def frames_at_once(self) -> int | None:
        """Frames in a batch; None if the memory of the device decides."""
        return None if self.batch == "auto" else int(self.batch)

    @property
    def keypoint_file(self) -> Path | None:
        """The keypoint file; None if ``keypoints`` names a method."""
        return None if self.keypoints in OPTIONS["keypoints"].values else Path(self.keypoints)

    @property
    def cleaning(self) -> CleanOptions:
        """The options of the clean phase."""
        return CleanOptions(**{one.name: getattr(self, one.name) for one in options_of("clean")})

    def settings(self) -> dict[str, Any]:
        """Return the options that influence the result, as the take stores them."""
        values: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return {name: value for name, value in values.items() if name not in _NOT_SETTINGS}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> ReconstructOptions:
        """Read the options from the fields of a ``reconstruct`` request.

        Parameters
        ----------
        request : mapping
            Fields of the request. Unknown options are ignored. An option that is None has its default.

        Returns
        -------
        ReconstructOptions
            The options.

        Raises
        ------
        InputError
            A field has the wrong type or its value is not possible. The message names the field.
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
        "reconstruct",
        _ReconstructOptions,
        before=(("inputs", tuple), ("output", str)),
    )
