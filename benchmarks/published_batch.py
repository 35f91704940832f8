"""Throughput of the published networks in batches: ``benchmarks/reconstruction.py --published --frames N``.

Uses the networks of ``published`` and all scenes of ``im2hands.lab.bench.scenes``, several frames at once. If there is
a GPU, the meshes are made in other processes. Stage times are measured in a run that waits for the device after each
stage; the frames per second are measured in a run without these waits.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from datetime import date
from typing import Any

PUBLISHED_VOXEL_MM = 0.44 / 256 * 1000
"""Lattice spacing of the published method, millimetres."""


def run(arguments: argparse.Namespace) -> None:
    """Measure the throughput and print it.

    Parameters
    ----------
    arguments : argparse.Namespace
        Options of ``benchmarks/reconstruction.py``.
    """
    import torch

    from im2hands.core.devices import choose_device, granted_cores
    from im2hands.lab.bench import weights as bench
    from im2hands.surfaces.batch.frames import BatchReconstructor
    from im2hands.surfaces.from_picture import PictureReconstructor

    device = choose_device(arguments.device)
    voxel_mm = arguments.voxel_mm or PUBLISHED_VOXEL_MM
    single = PictureReconstructor(
        bench.refined(bias=0.8, attention=1.0), device=device, voxel_m=voxel_mm / 1000, refine=True
    )
    jobs = _jobs(arguments.frames)
    for job in jobs[:2]:
        single.reconstruct(*job)
    seconds, cpu = _timed(lambda: [single.reconstruct(*job) for job in jobs], device)
    launch = "compile" if arguments.compile else arguments.launch
    with BatchReconstructor(single, batch=arguments.batch, launch=launch, workers=arguments.workers) as many:
        for _ in range(1 if many.launch == "eager" else 3):  # shapes are recorded or compiled at their second use
            list(many.reconstruct(jobs))
        runs = [_timed(lambda: list(many.reconstruct(jobs)), device) for _ in range(arguments.repeat)]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            single.costs.wait = torch.cuda.synchronize
        single.costs.stages.clear()
        many.mesh_workers.cpu_seconds = 0.0
        staged, _ = _timed(lambda: list(many.reconstruct(jobs)), device)
        result: dict[str, Any] = {
            "date": date.today().isoformat(),
            "machine": f"{platform.processor() or platform.machine()}, {granted_cores()} cores, {_name(device)}",
            "torch": torch.__version__,
            "frames": len(jobs),
            "batch": arguments.batch,
            "voxel_mm": voxel_mm,
            "launch": many.launch,
            "workers": many.mesh_workers.count,
            "seconds_alone": seconds,
            "cpu_seconds_alone": cpu,
            "seconds": min(wall for wall, _ in runs),
            "cpu_seconds": min(processor for _, processor in runs),
            "staged_seconds": staged,
            "stages": {name: vars(cost) for name, cost in single.costs.stages.items()},
            "mesh_cpu_seconds": many.mesh_workers.cpu_seconds,
            "peak_memory_gb": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
        }
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    _print(result)


def _jobs(count: int) -> list[Any]:
    """Frames with their camera and hands: the bench scenes in turn, each with another random picture."""
    import numpy as np

    from im2hands.core.camera import Camera
    from im2hands.lab.bench.scenes import scenes
    from im2hands.media.source import Frame

    names, camera = list(scenes().items()), Camera.from_fov(50, 640, 480)
    pictures = np.random.default_rng(0).integers(0, 255, (count, 480, 640, 3), dtype=np.uint8)
    return [
        (Frame(k, 0.0, picture, names[k % len(names)][0]), camera, names[k % len(names)][1])
        for k, picture in enumerate(pictures)
    ]


def _timed(work: Any, device: Any) -> tuple[float, float]:
    """Wall-clock seconds, and CPU seconds of this process."""
    import torch

    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, time.process_time() - began_cpu


def _name(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _print(result: dict[str, Any]) -> None:
    frames, seconds = result["frames"], result["seconds"]
    print(
        f"{frames} two-hand frames in batches of {result['batch']}, {result['voxel_mm']:.3f} mm, {result['machine']}, "
        f"torch {result['torch']}, {result['date']}; launch mode: {result['launch']}; processes for meshes: "
        f"{result['workers']}"
    )
    print(f"{'stage (synchronised)':<28}{'s':>8}{'CPU s':>8}{'queries':>11}{'ms a frame':>12}")
    for name, cost in result["stages"].items():
        print(
            f"{name:<28}{cost['seconds']:>8.3f}{cost['cpu_seconds']:>8.3f}{cost['queries']:>11,}"
            f"{1000 * cost['seconds'] / frames:>12.1f}"
        )
    print(f"{'total':<28}{result['staged_seconds']:>8.3f}")
    meshes, waited = result["mesh_cpu_seconds"], result["stages"]["meshes"]["seconds"]
    workers = result["workers"]
    share = meshes / workers / seconds if workers else meshes / result["cpu_seconds"]
    whose = f"the time of each of {workers} processes" if workers else "all CPU seconds"
    print(
        f"meshes (marching cubes): {meshes:.2f} CPU s, {1000 * meshes / frames:.0f} ms a frame, {share:.1%} of "
        f"{whose}; waiting for them: {waited:.3f} s"
    )
    print(f"{frames / seconds:.2f} frames a second in batches ({seconds:.3f} s, {result['cpu_seconds']:.3f} CPU s)")
    print(
        f"{frames / result['seconds_alone']:.2f} frames a second one by one ({result['seconds_alone']:.3f} s, "
        f"{result['cpu_seconds_alone']:.3f} CPU s): batches take {seconds / result['seconds_alone']:.2f} of its time, "
        f"{result['cpu_seconds'] / result['cpu_seconds_alone']:.2f} of its CPU time"
    )
    if result["peak_memory_gb"] is not None:
        print(f"peak memory on the device: {result['peak_memory_gb']:.2f} GB, weights included")
    if not result["machine"].split(", ")[-1].startswith("NVIDIA"):
        print("not measured: GPU (this machine has none, or --device cuda was not given); targets on a GPU: 10 frames")
        print("a second at a resolution of 256 cubed, 30 at --voxel-mm 2.2")
