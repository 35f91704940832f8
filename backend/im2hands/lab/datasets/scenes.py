"""Sets of two-hand scenes on disk, format "im2hands-scenes" 1: pictures, keypoints, hand parameters, labelled points.

A set is a folder with ``set.json`` and shards ``shard_00000.npz`` … of S scenes each; the last may hold fewer. Files
are written atomically. The axis of 2 is the person's own left and right hand; an absent hand is NaN (0 for integers).
There are two frames: the camera frame of the picture (metres, x right, y down, z forward), and the canonical frame of
each hand's true keypoints.

=============  ==========================  ============================================================================
picture        uint8 bytes                 concatenated JPEG files; that of scene k ends at byte ``picture_end[k]``
labels         uint8 bytes                 concatenated PNG files (``labels_end``): 0 background, 1 left hand,
                                           2 right hand, 3 other objects, which may hide hands
keypoints      float32 (S, 2, 21, 3)       true keypoints, camera frame, file order, metres
visible        uint8 (S, 2, 21)            1: visible, 0: hidden
intrinsics     float32 (S, 3, 3)           of the picture, pixels
size           int32 (S, 2)                width and height of the picture, pixels
mode           int8 (S)                    index into ``modes`` of ``set.json``
components …   float32                     parameters of the hand model, see ``scene.Scene``
points         float16 (S, 2, P, 3)        labelled points, canonical frame, metres; P may be 0
distance       float16 (S, 2, P)           of the rounded points to the hand's uncut mesh, metres, negative inside
part           int8 (S, 2, P)              bone (0 to 15) of the nearest surface
other          float16 (S, 2, P)           signed distance of the same points to the other hand; NaN without one
detected       float32 (S, 2, 21, 3)       optional: detected keypoints, camera frame; NaN where none was found
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
    """Writer of a scene set, shard by shard; a context manager that flushes at its end.

    If the folder holds an unfinished set with the same settings, the writer continues it after its last full shard. A
    generator that derives each scene from the seed and the scene's number then continues at ``count``.

    Parameters
    ----------
    folder : Path
        Folder of the set; made if it does not exist.
    info : SetInfo
        Description of the set; ``scenes`` is ignored.

    Attributes
    ----------
    count : int
        Number of scenes in the set so far.

    Raises
    ------
    InputError
        The folder holds a set with other settings, or cannot be written.
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
        """Add a scene; write a shard when there are enough scenes.

        Raises
        ------
        InputError
            The shard cannot be written, for example because the disk is full.
        ValueError
            An array has a wrong shape.
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
        """Write the pending scenes. A shard that is not full ends the set; continuing the set later rewrites it.

        Raises
        ------
        InputError
            The shard cannot be written, for example because the disk is full.
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
    """B scenes, with their arrays stacked.

    Parameters
    ----------
    scenes : tuple of Scene
        The scenes.
    arrays : dict of str to ndarray
        Arrays of the module's table with a first axis B, without picture and labels; ``detected`` only if every scene
        has it.
    """

    scenes: tuple[Scene, ...]
    arrays: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @property
    def present(self) -> np.ndarray:
        """Which hands are present, (B, 2) bool."""
        return np.isfinite(self.arrays["keypoints"]).all(axis=(-1, -2))


class SceneSet:
    """A scene set on disk; its shards are opened when they are needed.

    Parameters
    ----------
    folder : Path
        Folder of the set.

    Raises
    ------
    InputError
        The folder holds no set, a set of another version, or an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.info = Path(folder), read_info(Path(folder))
        if self.info.scenes < 1:
            raise InputError(f"The scene set {folder} is empty.", AGAIN)
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        return self.info.scenes

    def scene(self, index: int) -> Scene:
        """Load scene ``index``.

        Raises
        ------
        IndexError
            There is no such scene.
        InputError
            The shard is missing, cut off or damaged, or does not belong to the set.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        number, row = divmod(int(index), self.info.shard_size)
        return self._shard(number).scene(row)

    def batch(self, indices: Sequence[int] | np.ndarray) -> SceneBatch:
        """Load the scenes of ``indices`` and stack their arrays; raises as :meth:`scene`."""
        scenes = tuple(self.scene(int(index)) for index in indices)
        arrays = {}
        for field in fields(Scene):
            if field.name in ARRAYS:
                values = [getattr(scene, field.name) for scene in scenes]
                if all(value is not None for value in values):
                    arrays[field.name] = np.stack(values)
        return SceneBatch(scenes, arrays)

    def present(self) -> np.ndarray:
        """Return which hands are present in each of the N scenes, (N, 2) bool; raises InputError as :meth:`scene`."""
        shards = [self._shard(number) for number in range(-(-len(self) // self.info.shard_size))]
        keypoints = np.concatenate([shard.arrays["keypoints"] for shard in shards])[: len(self)]
        return np.isfinite(keypoints).all(axis=(-1, -2))

    def check(self) -> None:
        """Open every shard once, to find damage before a long run.

        Raises
        ------
        InputError
            A shard is missing, cut off or damaged, or does not belong to the set.
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
