"""Generation of sets of synthetic scenes by several processes; the same seed gives the same set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cache, partial
from multiprocessing.util import Finalize
from pathlib import Path

import torch

from im2hands.core.errors import InputError
from im2hands.core.processes import in_processes
from im2hands.lab.datasets.scene import SET_FILE, SetInfo, read_info
from im2hands.lab.datasets.scene import Scene as StoredScene
from im2hands.lab.datasets.scenes import SceneSet, SceneWriter

from .blocks import BlockMaker, Report
from .settings import Settings


def generate(
    folder: Path,
    scenes: int,
    settings: Settings,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write a scene set, or continue one.

    Parameters
    ----------
    folder : Path
        Folder of the set.
    scenes : int
        Number of scenes when the set is complete.
    settings : Settings
        Settings of the set.
    workers : int
        Number of processes.
    resume : bool
        Continue the set that is in the folder.
    progress : callable or None
        Called with the number of written scenes and the total.

    Returns
    -------
    Report
        Counts and times of the scenes made in this run.

    Raises
    ------
    InputError
        Settings or folders that cannot be used, a set that exists already or has other settings, or a full disk.
    SetupError
        There is no graphics driver or no Blender, or a package is missing.
    """
    settings = settings.checked()
    if scenes < 1 or workers < 1:
        raise InputError(f"{scenes} scenes by {workers} workers cannot be made.", "Give at least one of each.")
    folder = Path(folder)
    info = settings.info()
    if (folder / SET_FILE).exists():
        if not resume:
            raise InputError(f"There is a scene set in {folder}.", "Choose another folder, or give --resume.")
        _check_same(folder, info)
    elif folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Choose another place for the set.")
    elif folder.is_dir() and any(folder.glob("*.npz")):
        raise InputError(f"{folder} holds other files.", "Choose an empty or a new folder.")
    begun = time.perf_counter()
    report = Report()
    if resume and (folder / SET_FILE).exists() and read_info(folder).scenes >= scenes and _whole(folder):
        return report
    try:
        with SceneWriter(folder, info) as writer:
            first = writer.count
            blocks = [
                (k, min(settings.block, scenes - k * settings.block))
                for k in range(first // settings.block, -(-scenes // settings.block))
            ]
            for made, part in _run(settings, blocks, workers):
                report.add(part)
                for scene in made:
                    writer.append(scene)
                if progress:
                    progress(writer.count, scenes)
    except BaseException:
        _take_away_if_empty(folder)
        raise
    report.wall = time.perf_counter() - begun
    return report


def _take_away_if_empty(folder: Path) -> None:
    """Remove a set without scenes, so that a failed start (a missing renderer, say) does not block the next one."""
    with suppress(InputError, OSError):
        if read_info(folder).scenes == 0:
            (folder / SET_FILE).unlink()
            folder.rmdir()


def _whole(folder: Path) -> bool:
    """Whether the set can be read completely."""
    try:
        SceneSet(folder).check()
    except InputError:
        return False
    return True


def _check_same(folder: Path, info: SetInfo) -> None:
    """Raise InputError if the set in the folder has other settings."""
    there = replace(read_info(folder), scenes=0)
    if there == info:
        return
    differing = [n for n in ("seed", "points", "picture", "shard_size", "modes", "generator") if
                 getattr(there, n) != getattr(info, n)]  # fmt: skip
    raise InputError(
        f"The scene set in {folder} was made with other settings ({', '.join(differing)}).",
        "Give the same ones, or choose another folder.",
    )


def _run(settings: Settings, blocks: list[tuple[int, int]], workers: int) -> Iterator[tuple[list[StoredScene], Report]]:
    """Yield the results of the blocks in order."""
    if workers == 1 or len(blocks) == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # results must not depend on the number of cores
        try:
            with closing(BlockMaker(settings)) as maker:
                for number, count in blocks:
                    yield maker.block(number, count)
        finally:
            torch.set_num_threads(threads)
        return
    yield from in_processes(partial(_block, settings), blocks, workers, "Use fewer --workers, and go on with --resume.")


@cache
def _maker(settings: Settings) -> BlockMaker:
    """The block maker of this worker, built once. A finalizer closes it, since workers run no exit functions."""
    maker = BlockMaker(settings)
    Finalize(None, maker.close, exitpriority=1)
    return maker


def _block(settings: Settings, block: tuple[int, int]) -> tuple[list[StoredScene], Report]:
    """The scenes of a block; runs in a worker."""
    return _maker(settings).block(*block)
