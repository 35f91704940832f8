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
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically

from .scene import AGAIN, SET_FILE, Scene, SetInfo, read_info
from .scene_shards import ARRAYS, OPTIONAL, Shard, is_whole, pack, shape_of, shard_path

_OPEN_SHARDS = 32


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
            while is_whole(folder, whole, self.info):
                whole += 1
        self.count = whole * info.shard_size
        self._write_info()

    def append(self, scene: Scene) -> None:
        """Add a scene; writes a shard when there are enough.

        Raises:
            InputError: the disk is full. ValueError: an array of another shape.
        """
        for name in ARRAYS:
            value = getattr(scene, name)
            if value is None and name in OPTIONAL:
                continue
            if np.shape(value) != shape_of(name, self.info.points):
                raise ValueError(f"{name} is {np.shape(value)}, not {shape_of(name, self.info.points)}")
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
            np.savez(buffer, **pack(self._pending))  # type: ignore[arg-type]
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
            raise InputError(f"The scene set {folder} is empty.", AGAIN)
        self._open: OrderedDict[int, Shard] = OrderedDict()

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
            if field.name in ARRAYS:
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

    def _shard(self, number: int) -> Shard:
        shard = self._open.pop(number, None)
        if shard is None:
            shard = Shard(shard_path(self.folder, number), self.info)
            expected = min(self.info.shard_size, len(self) - number * self.info.shard_size)
            if shard.count < expected:
                raise InputError(f"{shard.path} holds {shard.count} scenes, not {expected}.", AGAIN)
        self._open[number] = shard
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard
