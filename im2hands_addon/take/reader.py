"""Reads a take, the folder that the backend writes (numpy only, no bpy). See ``docs/take.md``.

Units and frames are those of the take: metres and pixels; the camera frame has x right, y down, z forward; pixel
(0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TakeError
from .arrays import LIMITS, SIDES, read_described, sides_of
from .contact import CONTACT, Contact, parse_contact
from .edits import EDITS_FILE
from .files import JOURNAL_FILE, read_shared, read_take_json
from .footage import find_copies, pattern_of
from .paths import check_paths
from .values import text, whole

FORMAT = "im2hands-take"
VERSION = 1
TAKE_FILE = "take.json"
FRAMES_FOLDER = "frames"
FOOTAGE_FOLDER = "footage"
TEMPLATE_FILE = "template.npz"
MOTION_FILE = "motion.npz"
LOCK_FILE = "take.lock"
"""Written by the backend while it works on a take; readers do not need it."""
OWN_FILES = (
    TAKE_FILE, JOURNAL_FILE, FRAMES_FOLDER, FOOTAGE_FOLDER, TEMPLATE_FILE, MOTION_FILE, LOCK_FILE, EDITS_FILE
)  # fmt: skip
STATUSES = ("ok", "partial", "empty", "failed")
KEYPOINT_NAMES = (
    "wrist", "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip", "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip", "little_mcp", "little_pip", "little_dip", "little_tip",
)  # fmt: skip
KEYPOINT_COUNT = len(KEYPOINT_NAMES)
LOW_CONFIDENCE = 0.5
"""A hand with a lower confidence is marked for a check."""


@dataclass(frozen=True)
class Intrinsics:
    """Intrinsics of a pinhole camera.

    Parameters
    ----------
    fx, fy : float
        Focal lengths, pixels.
    cx, cy : float
        Principal point, pixels.
    width, height : int
        Size of the picture, pixels.
    origin : str
        Source of the focal length: "file", "exif", "user" or "assumed".
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    origin: str = "assumed"

    def fitted(self, width: int, height: int) -> Intrinsics:
        """Return the camera of the picture scaled into a frame of another size.

        The picture is centred in the frame and as large as fits.

        Parameters
        ----------
        width, height : int
            Size of the frame, pixels.

        Returns
        -------
        Intrinsics
            Intrinsics in the pixels of the frame.
        """
        if (width, height) == (self.width, self.height):
            return self
        scale = min(width / self.width, height / self.height)
        left = (width - self.width * scale) / 2
        top = (height - self.height * scale) / 2
        cx, cy = (self.cx + 0.5) * scale - 0.5 + left, (self.cy + 0.5) * scale - 0.5 + top
        return Intrinsics(self.fx * scale, self.fy * scale, cx, cy, width, height, self.origin)


@dataclass(frozen=True)
class Hand:
    """One hand of one frame.

    Parameters
    ----------
    vertices : (V, 3) float32
        Vertices of the surface, camera frame, metres.
    faces : (F, 3) int32
        Triangles, counter-clockwise seen from outside.
    keypoints : (21, 3) float32
        Keypoints in file order, camera frame, metres.
    keypoints_2d : (21, 2) float32
        Keypoints in the picture, pixels. If the stored picture is a mirror image, these are pixels of the picture
        mirrored back.
    confidence : (21,) float32
        Confidence of the keypoints, 0 to 1.
    """

    vertices: np.ndarray
    faces: np.ndarray
    keypoints: np.ndarray
    keypoints_2d: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Record:
    """One frame as ``take.json`` lists it.

    Parameters
    ----------
    index : int
        Frame number in the source.
    status : str
        "ok", "partial" (one hand is missing), "empty" (no hands) or "failed".
    file : str
        Path of the frame's arrays inside the take; "" when there are none.
    confidence : dict
        Side of each present hand -> confidence in the hand, 0 to 1.
    message : str
        What went wrong, for the person; "" for nothing.
    image : str
        Path of the frame's picture; "" for a clip.
    camera : Intrinsics
        Camera of the frame's picture.
    time : float or None
        Time from the start of the source, seconds; None where the take does not tell it.
    sources : dict
        Side of each present hand -> whose keypoints these are, a word of ``docs/take.md``; "" where it is not told.
    has_surfaces : bool
        Whether the arrays have surfaces; those of a draft have only keypoints. False without arrays.
    contact : Contact or None
        How both hands met before they were parted; None without two hands, and in takes of earlier versions.
    """

    index: int
    status: str
    file: str
    confidence: dict[str, float]
    message: str
    image: str
    camera: Intrinsics
    time: float | None = None
    sources: dict[str, str] = field(default_factory=dict)
    has_surfaces: bool = True
    contact: Contact | None = None

    @property
    def doubt(self) -> str:
        """Why the person should check this frame, in a few words; "" when there is no reason."""
        if self.status == "failed":
            return "failed"
        if self.status == "empty":
            return "no hands"
        if self.status == "partial":
            missing = [side for side in SIDES if side not in self.confidence]
            return f"no {missing[0]} hand" if len(missing) == 1 else "one hand only"
        unsure = [side for side in SIDES if self.confidence.get(side, 1.0) < LOW_CONFIDENCE]
        return f"unsure {' and '.join(unsure)}" if unsure else ""


@dataclass(frozen=True)
class Take:
    """A take as it was on disk when it was read.

    Parameters
    ----------
    folder : Path
        The take's folder, absolute.
    kind : str
        Kind of the source: "images" or "video".
    files : tuple of str
        Paths of the pictures, or of the clip.
    step : int
        Distance between consecutive frames of the take, in frames of the source.
    fps : float
        Frame rate of the source, frames per second.
    camera : Intrinsics
        Camera of the first frame's picture.
    records : dict
        Frame number -> record, ascending.
    settings : dict
        Options of the reconstruction, as the backend wrote them.
    provenance : dict
        Program, weights and device of the reconstruction, as the backend wrote them.
    clean : dict
        Options and key of the clean motion; {} without clean motion.
    footage : str
        Path of the copies of the pictures inside the take, with ``%06d`` for the frame; "" without copies.
    inputs : tuple of str
        What the take was made from, as a person named it; () where the take does not tell.
    is_unfinished : bool
        Whether a run of the take has not come to its end.
    """

    folder: Path
    kind: str
    files: tuple[str, ...]
    step: int
    fps: float
    camera: Intrinsics
    records: dict[int, Record]
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    clean: dict[str, Any] = field(default_factory=dict)
    footage: str = ""
    inputs: tuple[str, ...] = ()
    is_unfinished: bool = False

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the first frame's picture, pixels."""
        return self.camera.width, self.camera.height

    @property
    def counts(self) -> dict[str, int]:
        """Number of frames of each status."""
        counts = dict.fromkeys(STATUSES, 0)
        for record in self.records.values():
            counts[record.status] += 1
        return counts

    def find_copies(self) -> dict[int, str]:
        """Return the copies of pictures that are shown in place of the source.

        Returns
        -------
        dict
            Frame -> path of its copy, ascending. The pictures are upright, and not mirrored.
        """
        return find_copies(self.folder, self.footage)

    def read_hands(self, index: int) -> dict[str, Hand]:
        """Read the hands of one frame.

        Parameters
        ----------
        index : int
            Frame number.

        Returns
        -------
        dict
            Side ("left", "right") -> hand, for the hands that are present.

        Raises
        ------
        TakeError
            There is no such frame, or its file is missing or damaged.
        """
        record = self.records.get(index)
        if record is None:
            raise TakeError(f"The take {self.name} has no frame {index}.")
        if not record.file:
            return {}
        path = self.folder / record.file
        try:
            arrays = read_described("frame", read_shared(path, most_bytes=LIMITS["frame_bytes"]))
        except (OSError, ValueError) as error:
            raise TakeError(f"Cannot read frame {index} ({path}): {error}.", "Reconstruct that frame again.") from error
        hands = {}
        for side in sides_of(arrays):
            hand = Hand(**{one.name: arrays[f"{side}_{one.name}"] for one in fields(Hand)})
            if self.settings.get("mirrored"):
                hand.keypoints_2d[:, 0] = record.camera.width - 1 - hand.keypoints_2d[:, 0]
            hands[side] = hand
        return hands


def read_take(path: str | Path) -> Take:
    """Read a take. It may be growing: finished frames in its journal are included.

    Parameters
    ----------
    path : str or Path
        The take's folder or its ``take.json``.

    Returns
    -------
    Take
        The take. The hands of its frames are read later, by :meth:`Take.read_hands`.

    Raises
    ------
    TakeError
        There is no take, it is damaged, a path in it leads out of the folder, or its version is too new.
    """
    path = Path(path)
    folder = path.parent if path.name == TAKE_FILE else path
    path = folder / TAKE_FILE
    check_paths(folder, ((None, name) for name in OWN_FILES))
    try:
        data = read_take_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TakeError(f"There is no take in {folder}.", f"A take is a folder with a {TAKE_FILE} in it.") from error
    except (OSError, ValueError) as error:
        raise TakeError(f"Cannot read {path}: {error}.", "The take is damaged; reconstruct it again.") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TakeError(f"{path} is not an Im2Hands take.", f'Its "format" must be "{FORMAT}".')
    version = data.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise TakeError(
            f"{path} is a take of version {version}; this add-on reads up to version {VERSION}.", "Update the add-on."
        )
    try:
        take = _parse_take(folder.absolute(), data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TakeError(f"{path} is damaged ({error!r}).", "Reconstruct it again.") from error
    check_paths(take.folder, ((record.index, record.file) for record in take.records.values() if record.file))
    if take.footage:
        check_paths(take.folder, [(None, take.footage)])
    return take


def _parse_take(folder: Path, data: Mapping[str, Any]) -> Take:
    source = data.get("source") or {}
    size = data.get("image_size") or (data["camera"]["width"], data["camera"]["height"])
    camera = _parse_camera(data["camera"], size)
    records = [_parse_record(entry, camera) for entry in data.get("frames", [])]
    fps = float(data.get("fps") or 25.0)
    if not 0.0 < fps < LIMITS["fps"]:
        raise ValueError(f"fps is {fps}")
    for part in (data.get("settings"), data.get("provenance"), data.get("clean")):
        text(json.dumps(part or {}, ensure_ascii=False))
    return Take(
        folder=folder,
        kind=text(source.get("kind", "images")),
        files=tuple(text(name) for name in source.get("files") or ()),
        step=max(1, whole("the step", source.get("step") or 1, LIMITS["last_frame"])),
        fps=fps,
        camera=camera,
        records={record.index: record for record in sorted(records, key=lambda record: record.index)},
        settings=dict(data.get("settings") or {}),
        provenance=dict(data.get("provenance") or {}),
        clean=dict(data.get("clean") or {}),
        footage=pattern_of(data.get("footage")),
        inputs=tuple(text(name) for name in source.get("inputs") or ()),
        is_unfinished=data.get("unfinished") is True,
    )


def _parse_camera(data: Mapping[str, Any], size: Any) -> Intrinsics:
    width, height = (whole("a side of the picture", value, LIMITS["picture_side"]) for value in size)
    numbers = [float(data[name]) for name in ("fx", "fy", "cx", "cy")]
    if max(map(abs, numbers)) > LIMITS["pixels"] or min(numbers[:2]) <= 0 or min(width, height) <= 0:
        raise ValueError(f"the camera {dict(data)} of a {width} x {height} picture")
    return Intrinsics(*numbers, width=width, height=height, origin=text(data.get("origin", "assumed")))


def _parse_record(data: Mapping[str, Any], camera: Intrinsics) -> Record:
    status = data["status"]
    if status not in STATUSES:
        raise ValueError(f"frame {data['index']} has the status {status!r}")
    size = data.get("image_size") or (camera.width, camera.height)
    if data.get("camera"):
        camera = _parse_camera(data["camera"], size)
    elif tuple(size) != (camera.width, camera.height):
        raise ValueError(f"frame {data['index']} has another picture size and no camera")
    hands = data.get("hands") or {}
    return Record(
        index=whole("a frame number", data["index"], LIMITS["last_frame"]),
        status=status,
        file=data.get("file") or "",
        confidence={side: float(hands[side].get("confidence", 1.0)) for side in SIDES if side in hands},
        message=text(data.get("message") or ""),
        image=text(data.get("image") or ""),
        camera=camera,
        has_surfaces=bool(data.get("file")) and data.get("surfaces") is not False,
        sources={side: text(hands[side].get("source") or "") for side in SIDES if side in hands},
        contact=parse_contact(data[CONTACT]) if CONTACT in data else None,
        time=float(time) if isinstance(time := data.get("time"), int | float) and np.isfinite(time) else None,
    )
