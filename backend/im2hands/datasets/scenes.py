"""Sets of two-hand scenes on disk, format "im2hands-scenes" 1: pictures, keypoints, hand parameters, labelled points.

A set is a folder with ``set.json`` and shards ``shard_00000.npz`` … of S scenes each (the last may hold fewer), written
whole or not at all. Axis 2 is (left, right), the person's own; an absent hand is NaN (integers 0). Frames: the camera
frame of the picture (metres, x right, y down, z forward) and each hand's exact canonical frame (specification 2.2).

=============  ==========================  ============================================================================
picture        uint8 bytes                 JPEG files one after the other; scene k ends at byte ``picture_end[k]``
labels         uint8 bytes                 PNG files likewise (``labels_end``): 0 background, 1 left, 2 right, 3 before
keypoints      float32 (S, 2, 21, 3)       camera frame, file order
visible        uint8 (S, 2, 21)            1: seen, 0: hidden
intrinsics     float32 (S, 3, 3)           of the picture, pixels
size           int32 (S, 2)                width and height of the picture
mode           int8 (S)                    index into ``modes`` of ``set.json``
components …   float32                     the hand model's parameters, see :class:`Scene`
points         float16 (S, 2, P, 3)        exact canonical frame, metres; P may be 0
distance       float16 (S, 2, P)           of the rounded points to the hand's whole mesh, metres, negative inside
part           int8 (S, 2, P)              bone (0 to 15) of the nearest surface
other          float16 (S, 2, P)           distance of the same points to the other hand; NaN without one
detected       float32 (S, 2, 21, 3)       optional: what a detector found, camera frame; NaN where it found none
=============  ==========================  ============================================================================
"""

from __future__ import annotations

import io
import json
import mmap
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..hands import KEYPOINT_COUNT
from ..take import write_atomically

FORMAT = "im2hands-scenes"
VERSION = 1
BACKGROUND, LEFT, RIGHT, IN_FRONT = 0, 1, 2, 3
"""Values of the label image."""

SET_FILE = "set.json"
_OPEN_SHARDS = 32
_AGAIN = "Make the set again, or go on with the command that made it: it writes broken and missing shards anew."


@dataclass(frozen=True)
class Scene:
    """One scene; arrays as in the module's table without the axis S.

    Args:
        picture: a JPEG file, RGB (see :func:`encode_picture`). labels: a PNG file (see :func:`encode_labels`).
        keypoints: (2, 21, 3). visible: (2, 21). intrinsics: (3, 3). size: (2,) width, height. mode: ().
        components, length, thickness: (2, 20), (2, 22), (2, 22), the shape
            (:class:`~im2hands.synthesis.hand_model.HandShape`).
        rotations: (2, 22, 3, 3) for :meth:`~im2hands.synthesis.hand_model.HandModel.pose`. turn, shift: (2, 3, 3) and
            (2, 3) metres, from the model's frame (for the left hand after x is mirrored) to the camera frame.
        points, distance, part, other: (2, P, 3), (2, P), (2, P), (2, P), see :func:`.scene_points.label_points`.
        detected: (2, 21, 3) or None.
    """

    picture: bytes
    labels: bytes
    keypoints: np.ndarray
    visible: np.ndarray
    intrinsics: np.ndarray
    size: np.ndarray
    mode: np.ndarray
    components: np.ndarray
    length: np.ndarray
    thickness: np.ndarray
    rotations: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    points: np.ndarray
    distance: np.ndarray
    part: np.ndarray
    other: np.ndarray
    detected: np.ndarray | None = None

    def image(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8 RGB.

        Raises:
            InputError: it is damaged.
        """
        return cv2.cvtColor(_decode(self.picture, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    def label_image(self) -> np.ndarray:
        """The label image, (H, W) uint8.

        Raises:
            InputError: it is damaged.
        """
        return _decode(self.labels, cv2.IMREAD_GRAYSCALE)

    @property
    def present(self) -> np.ndarray:
        """(2,) bool: which hands are there."""
        return np.isfinite(self.keypoints).all(axis=(-1, -2))


# Type and shape of one scene's entry of each array; P stands for the number of points.
_P = -1
_ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {
    "keypoints": (np.float32, (2, KEYPOINT_COUNT, 3)),
    "visible": (np.uint8, (2, KEYPOINT_COUNT)),
    "intrinsics": (np.float32, (3, 3)),
    "size": (np.int32, (2,)),
    "mode": (np.int8, ()),
    "components": (np.float32, (2, 20)),
    "length": (np.float32, (2, 22)),
    "thickness": (np.float32, (2, 22)),
    "rotations": (np.float32, (2, 22, 3, 3)),
    "turn": (np.float32, (2, 3, 3)),
    "shift": (np.float32, (2, 3)),
    "points": (np.float16, (2, _P, 3)),
    "distance": (np.float16, (2, _P)),
    "part": (np.int8, (2, _P)),
    "other": (np.float16, (2, _P)),
    "detected": (np.float32, (2, KEYPOINT_COUNT, 3)),
}
_OPTIONAL = ("detected",)
_FILES = ("picture", "labels")


def encode_picture(image: np.ndarray, quality: int = 92) -> bytes:
    """An image (H, W, 3) uint8 RGB as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def encode_labels(labels: np.ndarray) -> bytes:
    """A label image (H, W) uint8 as PNG."""
    done, data = cv2.imencode(".png", labels)
    assert done
    return data.tobytes()


def _decode(data: bytes, kind: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), kind) if data else None
    if image is None:
        raise InputError("A picture of the scene set is damaged.", _AGAIN)
    return image


@dataclass(frozen=True)
class SetInfo:
    """What ``set.json`` says.

    Args:
        seed: of the generator. shard_size: scenes of a whole shard. picture: pixels a side of the pictures. points: P.
        modes: names of the scene modes. generator: how the scenes were made, for the record. scenes: in the set.
    """

    seed: int
    shard_size: int
    picture: int
    points: int
    modes: tuple[str, ...]
    generator: dict[str, Any]
    scenes: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"format": FORMAT, "version": VERSION, **vars(self), "modes": list(self.modes)}


def read_info(folder: Path) -> SetInfo:
    """The set's ``set.json``.

    Raises:
        InputError: the folder holds no set, a damaged one, or one of another version.
    """
    path = folder / SET_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no scene set: there is no {SET_FILE}.", "Give a folder that `im2hands synthesize` wrote."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read {path}: {error}.", _AGAIN) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} does not describe a scene set.", f'Its format must be "{FORMAT}".')
    if data.get("version") != VERSION:
        raise InputError(
            f"{folder} is a scene set of version {data.get('version')}; this program reads version {VERSION}.",
            "Make the set again with this program.",
        )
    try:
        return SetInfo(
            int(data["seed"]), int(data["shard_size"]), int(data["picture"]), int(data["points"]),
            tuple(map(str, data["modes"])), dict(data["generator"]), int(data["scenes"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is incomplete: {error}.", _AGAIN) from error


def shard_path(folder: Path, number: int) -> Path:
    """Where shard ``number`` of a set lies."""
    return folder / f"shard_{number:05}.npz"


class SceneWriter:
    """Writes a set, shard by shard; a set that was begun is gone on with.

    Args:
        folder: of the set; made if it is not there. info: of the set; ``scenes`` is ignored.

    Attributes:
        count: scenes in the set so far. A writer begins after the last whole shard that lies in the folder, so a
            generator that derives each scene from the seed and its number goes on at ``count``.

    Raises:
        InputError: the folder holds a set made otherwise, or cannot be written.
    """

    def __init__(self, folder: Path, info: SetInfo) -> None:
        self.folder, self.info = folder, replace(info, scenes=0)
        self._pending: list[Scene] = []
        whole = 0
        if (folder / SET_FILE).exists():
            if replace(read_info(folder), scenes=0) != self.info:
                raise InputError(f"{folder} holds a scene set made with other settings.", "Choose another folder.")
            while _is_whole(folder, whole, self.info):
                whole += 1
        self.count = whole * info.shard_size
        self._write_info()

    def append(self, scene: Scene) -> None:
        """Add a scene; writes a shard when there are enough.

        Raises:
            InputError: the disk is full. ValueError: an array of another shape.
        """
        for name in _ARRAYS:
            value = getattr(scene, name)
            if value is None and name in _OPTIONAL:
                continue
            if np.shape(value) != _shape(name, self.info.points):
                raise ValueError(f"{name} is {np.shape(value)}, not {_shape(name, self.info.points)}")
        self._pending.append(scene)
        self.count += 1
        if len(self._pending) == self.info.shard_size:
            self.flush()

    def flush(self) -> None:
        """Write what is pending. A shard that is not whole ends the set: going on later writes it anew.

        Raises:
            InputError: the disk is full.
        """
        if self._pending:
            number = (self.count - 1) // self.info.shard_size
            buffer = io.BytesIO()
            np.savez(buffer, **_pack(self._pending))  # type: ignore[arg-type]
            write_atomically(shard_path(self.folder, number), buffer.getvalue())
            whole = len(self._pending) == self.info.shard_size
            self._write_info()
            self._pending = [] if whole else self._pending

    def __enter__(self) -> SceneWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.flush()

    def _write_info(self) -> None:
        text = json.dumps(replace(self.info, scenes=self.count).to_json(), indent=1) + "\n"
        write_atomically(self.folder / SET_FILE, text.encode("utf-8"))


def _shape(name: str, points: int) -> tuple[int, ...]:
    return tuple(points if size == _P else size for size in _ARRAYS[name][1])


def _pack(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name in _FILES:
        files = [getattr(scene, name) for scene in scenes]
        arrays[name] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{name}_end"] = np.cumsum([len(data) for data in files], dtype=np.int64)
    for name, (dtype, _) in _ARRAYS.items():
        values = [getattr(scene, name) for scene in scenes]
        if all(value is None for value in values):
            continue
        missing = np.full(_shape(name, 0), np.nan)
        arrays[name] = np.stack([missing if value is None else value for value in values]).astype(dtype)
    return arrays


def _is_whole(folder: Path, number: int, info: SetInfo) -> bool:
    try:
        return _Shard(shard_path(folder, number), info).count == info.shard_size
    except InputError:
        return False


class _Shard:
    """An open shard: the arrays lie in the file, mapped into memory, and only what is used is read."""

    def __init__(self, path: Path, info: SetInfo) -> None:
        try:
            self.arrays = _map_arrays(path)
        except FileNotFoundError as error:
            raise InputError(f"The shard {path} is missing.", _AGAIN) from error
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"The shard {path} is cut off or damaged: {error}.", _AGAIN) from error
        self.path = path
        self.count = len(self.arrays["mode"]) if "mode" in self.arrays else 0
        problem = self._problem(info)
        if problem:
            raise InputError(f"{path} is no shard of this set: {problem}.", _AGAIN)

    def _problem(self, info: SetInfo) -> str:
        for name, (dtype, _) in _ARRAYS.items():
            array = self.arrays.get(name)
            if array is None:
                if name in _OPTIONAL:
                    continue
                return f"the array {name} is missing"
            expected = (self.count, *_shape(name, info.points))
            if array.dtype != dtype or array.shape != expected:
                return f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {expected}"
        for name in _FILES:
            data, end = self.arrays.get(name), self.arrays.get(f"{name}_end")
            if data is None or end is None or end.dtype != np.int64 or end.shape != (self.count,):
                return f"{name} is missing or damaged"
            if data.dtype != np.uint8 or (np.diff(end, prepend=0) < 0).any() or (self.count and end[-1] != len(data)):
                return f"{name} is damaged"
        return ""

    def scene(self, row: int) -> Scene:
        values: dict[str, Any] = {}
        for name in _FILES:
            end = self.arrays[f"{name}_end"]
            values[name] = self.arrays[name][end[row - 1] if row else 0 : end[row]].tobytes()
        for name in _ARRAYS:
            values[name] = self.arrays[name][row].copy() if name in self.arrays else None
        return Scene(**values)


def _map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed npz file without reading them."""
    arrays = {}
    with open(path, "rb") as handle, zipfile.ZipFile(handle) as archive:
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            # The local header ends with a name and an extra field, whose lengths stand at 26 and 28.
            handle.seek(member.header_offset + 26)
            lengths = np.frombuffer(handle.read(4), "<u2")
            handle.seek(member.header_offset + 30 + int(lengths.sum()))
            version = np.lib.format.read_magic(handle)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(handle)
            if fortran or dtype.hasobject:
                raise ValueError(f"{member.filename} is not a plain array")
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(mapped, dtype, count, handle.tell())
            arrays[member.filename.removesuffix(".npy")] = flat.reshape(shape)
    return arrays


@dataclass(frozen=True)
class SceneBatch:
    """B scenes; arrays of :class:`Scene` with an axis in front.

    Args:
        scenes: the scenes themselves. arrays: by the names of the module's table, without picture and labels;
            ``detected`` only if every scene has it.
    """

    scenes: tuple[Scene, ...]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def present(self) -> np.ndarray:
        """(B, 2) bool: which hands are there."""
        return np.isfinite(self.arrays["keypoints"]).all(axis=(-1, -2))


class SceneSet:
    """A set on disk; shards are opened when they are needed.

    Args:
        folder: of the set.

    Raises:
        InputError: no set, a set of another version, or an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.info = Path(folder), read_info(Path(folder))
        if self.info.scenes < 1:
            raise InputError(f"The scene set {folder} is empty.", _AGAIN)
        self._open: OrderedDict[int, _Shard] = OrderedDict()

    def __len__(self) -> int:
        return self.info.scenes

    def scene(self, index: int) -> Scene:
        """Scene ``index``.

        Raises:
            IndexError: there is no such scene. InputError: its shard is missing, cut off or damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        number, row = divmod(int(index), self.info.shard_size)
        return self._shard(number).scene(row)

    def batch(self, indices: Sequence[int] | np.ndarray) -> SceneBatch:
        """The scenes of those indices together; errors as :meth:`scene`."""
        scenes = tuple(self.scene(int(index)) for index in indices)
        arrays = {}
        for field in fields(Scene):
            if field.name in _ARRAYS:
                values = [getattr(scene, field.name) for scene in scenes]
                if all(value is not None for value in values):
                    arrays[field.name] = np.stack(values)
        return SceneBatch(scenes, arrays)

    def present(self) -> np.ndarray:
        """(N, 2) bool: which hands are in which scene; errors as :meth:`scene`."""
        shards = [self._shard(number) for number in range(-(-len(self) // self.info.shard_size))]
        keypoints = np.concatenate([shard.arrays["keypoints"] for shard in shards])[: len(self)]
        return np.isfinite(keypoints).all(axis=(-1, -2))

    def check(self) -> None:
        """Open every shard once.

        Raises:
            InputError: one is missing, cut off or damaged.
        """
        for number in range(-(-len(self) // self.info.shard_size)):
            self._shard(number)

    def _shard(self, number: int) -> _Shard:
        shard = self._open.pop(number, None)
        if shard is None:
            shard = _Shard(shard_path(self.folder, number), self.info)
            expected = min(self.info.shard_size, len(self) - number * self.info.shard_size)
            if shard.count < expected:
                raise InputError(f"{shard.path} holds {shard.count} scenes, not {expected}.", _AGAIN)
        self._open[number] = shard
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard
