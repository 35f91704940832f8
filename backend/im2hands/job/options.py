"""What a person may ask of a reconstruction: the options of the command line and of the protocol, with their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from im2hands.animation.clean_options import CleanOptions
from im2hands.core.errors import InputError
from im2hands.keypoints import PROVIDERS

# Checked before the networks are loaded: finer needs more memory than anyone has, coarser leaves no fingers.
VOXEL_MM_RANGE = (0.4, 10.0)
PALM_MM_RANGE = (20.0, 200.0)

STAGES = ("keypoints", "initial", "refined")


@dataclass(frozen=True)
class ReconstructOptions:
    """One reconstruction. Names and defaults are those of ``docs/protocol.md``.

    Args:
        inputs: pictures, folders, patterns or a clip. output: the take's folder.
        frames: indices as text; None for all. step: every so-manyth.
        keypoints: a provider's name or a keypoint file. hand_boxes: a file with a box per hand.
        crop_search: look for hands that touch in crops of the picture.
        mirrored: the pictures are mirror images, as selfies often are.
        keypoint_refinement: correct the keypoints of two hands, if the weights have the network for it.
        camera: a camera file; focal_px: pixels; fov: degrees over the longer side. At most one of the three.
        weights: "bundled" or a folder. stage: "keypoints", "initial", "refined", None for the best there is.
        voxel_mm: size of the surface's cells, millimetres. palm_mm: wrist to middle knuckle, millimetres.
        device: "auto", "cpu", "cuda", "mps". fps: frames a second, in place of the source's.
        resume: go on with a take that is there. overwrite: begin it anew.
        clean: make template hands and clean motion of the finished take; smoothing, gap, template_density: how, see
            :class:`.clean_options.CleanOptions`.

    Raises:
        InputError: a value that is impossible.
    """

    inputs: tuple[str, ...]
    output: str
    frames: str | None = None
    step: int = 1
    keypoints: str = "auto"
    hand_boxes: str | None = None
    crop_search: bool = True
    mirrored: bool = False
    camera: str | None = None
    focal_px: float | None = None
    fov: float | None = None
    weights: str = "bundled"
    stage: str | None = None
    voxel_mm: float = 1.7
    device: str = "auto"
    resume: bool = True
    overwrite: bool = False
    palm_mm: float = 88.0
    fps: float | None = None
    keypoint_refinement: bool = True
    clean: bool = True
    smoothing: float = 0.5
    gap: int = 12
    template_density: int = 1

    def __post_init__(self) -> None:
        if not self.inputs:
            raise InputError("No pictures or video given.", "Give files, a folder or a clip.")
        if not self.output:
            raise InputError("No output folder given.", "Give the folder of the take with --output.")
        if self.stage is not None and self.stage not in STAGES:
            raise InputError(f'There is no stage "{self.stage}".', f"Use {', '.join(STAGES[:-1])} or {STAGES[-1]}.")
        for name, (low, high) in (("voxel_mm", VOXEL_MM_RANGE), ("palm_mm", PALM_MM_RANGE)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value:g}, it must be {low:g} to {high:g}.", "It is in millimetres.")
        _ = self.cleaning

    @property
    def keypoint_file(self) -> Path | None:
        """The keypoint file, if ``keypoints`` is none of the providers' names."""
        return None if self.keypoints in PROVIDERS else Path(self.keypoints)

    @property
    def cleaning(self) -> CleanOptions:
        """The options of the clean phase.

        Raises:
            InputError: a value that is impossible.
        """
        return CleanOptions(self.smoothing, self.gap, self.template_density)

    def settings(self) -> dict[str, Any]:
        """What the take keeps of them: everything that shapes the result."""
        left_out = ("inputs", "output", "resume", "overwrite")
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> ReconstructOptions:
        """From the fields of a ``reconstruct`` request; unknown options are ignored, None means the default.

        Raises:
            InputError: a field of the wrong kind or an impossible value; the message names it.
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
        values = {}
        for option in fields(cls):
            if option.name not in ("inputs", "output") and given.get(option.name) is not None:
                values[option.name] = _typed(option.name, str(option.type), given[option.name])
        return cls(tuple(inputs), output, **values)


def _typed(name: str, kind: str, value: Any) -> Any:
    """``value`` as the type the field declares; JSON knows no difference between 2 and 2.0."""
    wanted = kind.split(" ")[0]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if wanted == "str" and isinstance(value, str):
        return value
    if wanted == "bool" and isinstance(value, bool):
        return value
    if wanted == "int" and number and float(value).is_integer():
        return int(value)
    if wanted == "float" and number:
        return float(value)
    words = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a number"}
    raise InputError(f"The option {name} is {value!r}, it must be {words[wanted]}.", "")
