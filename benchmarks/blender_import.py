"""Cost of a take in Blender: import time, frame files read, meshes, size of the .blend file, and playback speed.

Compares clean rigged hands and takes without them, with surfaces left on disk and brought in (one object per hand and
frame), on generated takes. Runs in Blender's Python:

.venv/blender-5.0/bin/python benchmarks/blender_import.py --frames 100 2000

With --take FOLDER it imports that take only, and prints the time and the largest memory of the process.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "blender")]

import animated  # noqa: E402
import bpy  # noqa: E402
import numpy as np  # noqa: E402
import synthetic  # noqa: E402

from im2hands_addon import api  # noqa: E402
from im2hands_addon.take import files, keypoints, reader  # noqa: E402

SHAPES = 16
"""Corrective shapes of a clean hand."""

VERTICES = 6600
"""Least number of vertices of a clean hand."""

SURFACE_VERTICES = 17_600
"""Approximate number of vertices of an implicit surface at 1.7 mm."""

PLAYED_FRAMES = 200
"""Frames that are evaluated to measure the playback speed."""


def finer(example: animated.Example, count: int) -> animated.Example:
    """Subdivide the triangles of an example take until each hand has at least a number of vertices.

    Parameters
    ----------
    example : animated.Example
        Changed in place.
    count : int
        Least number of vertices of a hand.

    Returns
    -------
    animated.Example
        The same example.
    """
    while len(example.weights) < count:
        triangles = example.faces[:, :3]
        edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
        unique, places = np.unique(edges, axis=0, return_inverse=True)
        middle = len(example.weights) + places.reshape(3, -1).T
        a, b, c = triangles.T
        ab, bc, ca = middle.T
        parts = [np.stack(one, axis=1) for one in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        faces = np.concatenate(parts)
        example.faces = np.concatenate([faces, np.full((len(faces), 1), -1)], axis=1).astype(np.int32)
        example.uv = np.zeros((len(faces), 4, 2), np.float32)
        example.weights = np.concatenate([example.weights, example.weights[unique].mean(axis=1)])
        for hand in example.hands.values():
            hand.vertices = np.concatenate([hand.vertices, hand.vertices[unique].mean(axis=1)])
            hand.mean = np.concatenate([hand.mean, hand.mean[unique].mean(axis=1)])
            hand.basis = np.concatenate([hand.basis, hand.basis[:, unique].mean(axis=2)], axis=1)
    return example


def surface(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make a closed surface with as many vertices as a hand's implicit surface at 1.7 mm.

    Parameters
    ----------
    points : (21, 3) float
        Keypoints of the hand, metres; the surface surrounds the middle knuckle.

    Returns
    -------
    vertices : (V, 3) float32
        Metres.
    faces : (F, 3) int32
    """
    rows = int(np.sqrt(SURFACE_VERTICES))
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, rows, endpoint=False), np.linspace(-1, 1, rows))
    ring = np.sqrt(1.001 - height**2)
    bumps = 1 + 0.05 * np.sin(9 * angle + 40 * points[5, 0]) * ring
    vertices = np.stack([0.04 * ring * np.cos(angle), 0.09 * height, 0.02 * ring * np.sin(angle)], axis=-1)
    vertices = (vertices * bumps[..., None]).reshape(-1, 3) + points[9]
    index = np.arange(rows * rows).reshape(rows, rows)
    low, high = index[:-1], index[1:]
    low2, high2 = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    faces = np.stack([np.stack([low, low2, high2], -1), np.stack([low, high2, high], -1)]).reshape(-1, 3)
    return vertices.astype(np.float32), faces.astype(np.int32)


class Clock:
    """A stopwatch for wall-clock time and CPU time; other programs on the machine do not affect CPU time."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def passed(self) -> tuple[float, float]:
        """Return wall-clock and CPU seconds since the start."""
        return time.perf_counter() - self.start[0], time.process_time() - self.start[1]


def play(last: int) -> tuple[float, float]:
    """Evaluate frames of the scene in a scattered order.

    Parameters
    ----------
    last : int
        Number of frames of the take.

    Returns
    -------
    wall : float
        Frames per second of wall-clock time.
    cpu : float
        Frames per second of CPU time.
    """
    clock = Clock()
    for number in range(PLAYED_FRAMES):
        bpy.context.scene.frame_set(1 + number * 7 % last)
    wall, cpu = clock.passed()
    return PLAYED_FRAMES / wall, PLAYED_FRAMES / cpu


class Reads:
    """Counts the files of frames that are read, as a context manager."""

    def __enter__(self) -> Reads:
        self.count, self._read = 0, files.read_shared

        def counted(path: Path, *limits: object, **named: object) -> bytes:
            self.count += path.parent.name == reader.FRAMES_FOLDER
            return self._read(path, *limits, **named)

        reader.read_shared = keypoints.read_shared = counted
        return self

    def __exit__(self, *_: object) -> None:
        reader.read_shared = keypoints.read_shared = self._read


def measure(name: str, folder: Path, count: int, surfaces: str, shown_afterwards: bool = False) -> None:
    """Import a take, save it, play it, and print one row of the table.

    Parameters
    ----------
    name : str
        Name of the row.
    folder : Path
        Folder of the take.
    count : int
        Number of frames of the take.
    surfaces : str
        How implicit surfaces are imported, see ``im2hands_addon.api.import_take``.
    shown_afterwards : bool
        Whether Show Surfaces is pressed after the import; the row then has the cost of both.
    """
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    clock = Clock()
    with Reads() as reads:
        collection, _ = api.import_take(folder, surfaces=surfaces)
        if shown_afterwards:
            problems = api.show_surfaces(collection)
            assert not problems, problems
    wall, cpu = clock.passed()
    meshes = len(bpy.data.meshes)
    sizes = []
    for compress in (False, True):
        path = folder / "scene.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=compress)
        sizes.append(path.stat().st_size / 1e6)
        path.unlink()
    played = play(count)
    print(
        f"| {name} | {count} | {wall:.2f} ({cpu:.2f}) | {reads.count} | {meshes} | {sizes[0]:.0f} ({sizes[1]:.1f}) "
        f"| {played[0]:.0f} ({played[1]:.0f}) |",
        flush=True,
    )


def largest_memory() -> float:
    """Return the largest memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def import_only(folder: Path) -> None:
    """Import a take with the default options, and print time and memory."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    before = largest_memory()
    clock = Clock()
    _, problems = api.import_take(folder)
    peak = largest_memory()
    seconds, cpu = clock.passed()
    rigs = len(bpy.data.armatures)
    print(
        f"| imported, {rigs} rigs, Blender {bpy.app.version_string} | {seconds:.1f} s ({cpu:.2f} CPU s) "
        f"| {peak:.0f} MB, {before:.0f} MB before |",
        flush=True,
    )
    print("\n".join(problems), flush=True)


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 2000])
    parser.add_argument("--surfaces-up-to", type=int, default=100, help="longest take measured as an object per frame")
    parser.add_argument("--take", type=Path, help="a take that is there; benchmarks/long_take.py makes long ones")
    options = parser.parse_args()
    if options.take is not None:
        import_only(options.take)
        return
    print(f"Blender {bpy.app.version_string}")
    print(
        "| take | frames | seconds to import (CPU) | frame files read | meshes | MB (compressed) "
        "| frames per second (per CPU second) |"
    )
    synthetic.capsule_mesh = surface
    for count in options.frames:
        with tempfile.TemporaryDirectory() as name:
            all_shown = count <= options.surfaces_up_to
            example = finer(animated.make(count, shapes=SHAPES), VERTICES)
            folder = animated.write(Path(name) / "take", example)
            vertices = len(example.weights)
            measure(f"clean hands of {vertices} vertices, {SHAPES} correctives (default)", folder, count, "AUTO")
            if all_shown:
                measure("the same, then Show Surfaces", folder, count, "AUTO", shown_afterwards=True)
            (folder / "motion.npz").unlink()
            measure("no clean hands (default)", folder, count, "AUTO")
            if all_shown:
                measure("no clean hands, all surfaces", folder, count, "SHOW")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the bpy 4.2 module crashes when Python ends
