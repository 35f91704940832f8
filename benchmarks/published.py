"""Cost of the published networks on one two-hand frame, by stage: ``python benchmarks/reconstruction.py --published``.

The weights are generated (``im2hands.lab.bench.weights``): the networks have the published sizes and the bundled part
decoders. The refined logit depends on the initial occupancy and on the features attended from the anchors, so that
rounding errors in both show in the result. Memory is measured in a separate process.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

PUBLISHED_VOXEL = 0.44 / 256
"""Lattice spacing of the published method, metres."""

SCENE = "touching"
"""Scene of ``im2hands.lab.bench.scenes`` that is measured."""


def run(arguments: argparse.Namespace) -> None:
    """Measure the costs and print them.

    Parameters
    ----------
    arguments : argparse.Namespace
        Options of ``benchmarks/reconstruction.py``.
    """
    import torch

    from im2hands.core.devices import choose_device, granted_cores

    device = choose_device(arguments.device)
    if arguments.memory_only:
        print(json.dumps(_memory(device)))
        return
    work = _Work(device)
    stages, total = work.best(arguments.repeat)
    flop, flop_by_type = work.flop()
    rates = _matrix_rates(device)
    floor = sum(count / rates[name] for name, count in flop_by_type.items())
    exact = _Work(device, precision="exact", network=work.network)
    _, exact_total = exact.best(max(arguments.repeat // 2, 1))
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {granted_cores()} cores, {device}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "scene": SCENE,
        "voxel_mm": PUBLISHED_VOXEL * 1000,
        "stages": {name: {**vars(cost), "flop": flop[name]} for name, cost in stages.items()},
        "seconds": total[0],
        "cpu_seconds": total[1],
        "matrix_rates": rates,
        "flop_by_type": flop_by_type,
        "floor_s": floor,
        "exact_seconds": exact_total[0],
        "exact_cpu_seconds": exact_total[1],
        "peak_memory_gb": _memory_elsewhere(arguments.device),
    }
    if device.type == "cpu":
        result["not_measured"] = "GPU: this machine has none, or --device cuda was not given"
    for name, asked in (("exact", arguments.exact), ("dense", arguments.dense)):
        if asked:
            result[name] = _agreement(work.network, device, arguments.scene, dense=name == "dense")
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    _print(result)


class _Work:
    """A reconstructor, and the measurement of its costs on one frame."""

    def __init__(self, device: Any, precision: str = "fast", network: Any = None, dense: bool = False) -> None:
        from im2hands.lab.bench import weights as bench
        from im2hands.surfaces.from_picture import PictureReconstructor

        self.device = device
        self.network = network or bench.refined(bias=0.8, attention=1.0)
        self.reconstructor = PictureReconstructor(
            self.network, device=device, voxel_m=PUBLISHED_VOXEL, refine=True,
            precision=precision, dense=dense,
        )  # fmt: skip

    def frame(self, scene: str = SCENE) -> Any:
        """Reconstruct the meshes of a scene."""
        import numpy as np

        from im2hands.core.camera import Camera
        from im2hands.lab.bench.scenes import scenes
        from im2hands.media.source import Frame

        picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        frame = Frame(1, 0.0, picture, scene)
        return self.reconstructor.reconstruct(frame, Camera.from_fov(50, 640, 480), scenes()[scene])

    def once(self, scene: str = SCENE) -> tuple[dict[str, Any], tuple[float, float], Any]:
        """Costs by stage, wall-clock and CPU seconds of one frame, and its meshes."""
        import torch

        costs = self.reconstructor.costs
        costs.stages.clear()
        began, began_cpu = time.perf_counter(), time.process_time()
        meshes = self.frame(scene)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return dict(costs.stages), (time.perf_counter() - began, time.process_time() - began_cpu), meshes

    def best(self, repeat: int) -> tuple[dict[str, Any], tuple[float, float]]:
        """Costs of the run with the shortest wall-clock time, after a warm-up run."""
        self.frame()
        runs = [self.once()[:2] for _ in range(repeat)]
        return min(runs, key=lambda run: run[1][0])

    def flop(self) -> tuple[dict[str, int], dict[str, int]]:
        """Floating-point operations of all matrix products and convolutions, by stage and by data type."""
        import torch
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils.flop_counter import flop_registry

        by_stage: Counter[str] = Counter()
        by_type: Counter[str] = Counter()
        costs, stage = self.reconstructor.costs, ["other"]
        in_place = {torch.ops.aten.addmm_: torch.ops.aten.addmm}

        class Count(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
                result = function(*args, **(kwargs or {}))
                packet = function._overloadpacket
                formula = flop_registry.get(in_place.get(packet, packet))
                if formula is not None:
                    number = formula(*args, **(kwargs or {}), out_val=result)
                    by_stage[stage[0]] += number
                    by_type[str(args[1].dtype).removeprefix("torch.")] += number
                return result

        measured = costs.stage

        def named(name: str) -> Any:
            stage[0] = name
            return measured(name)

        costs.stage = named  # type: ignore[method-assign]
        self.reconstructor.concurrent = False  # the counter only counts operations of this thread
        costs.stages.clear()  # so that earlier results of ``once`` are not added to
        try:
            with Count():
                self.frame()
        finally:
            costs.stage = measured  # type: ignore[method-assign]
            self.reconstructor.concurrent = True
        return {name: by_stage[name] for name in costs.stages}, dict(by_type)


def _matrix_rates(device: Any) -> dict[str, float]:
    """Floating-point operations per second of large matrix products on this machine, by data type; best of several."""
    import torch

    rates = {}
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        a, b = (torch.randn(2048, 2048, device=device).to(kind) for _ in range(2))
        seconds = []
        for _ in range(12):
            began = time.perf_counter()
            a @ b
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        rates[str(kind).removeprefix("torch.")] = 2 * 2048**3 / min(seconds)
    return rates


def _memory(device: Any) -> float | None:
    """Peak memory of the first frame, GB above the loaded weights; None where the system does not report it."""
    import torch

    work = _Work(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work.frame()
        return (torch.cuda.max_memory_allocated() - before) / 1e9
    gc.collect()
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        return None
    reset.write_text("5", encoding="ascii")  # resets the peak (VmHWM)
    before = _status("VmRSS")
    work.frame()
    return (_status("VmHWM") - before) / 1e6


def _status(name: str) -> int:
    """A memory figure of this process from Linux's /proc, kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _memory_elsewhere(device: str) -> float | None:
    """``_memory``, measured in a new process."""
    command = [sys.executable, str(Path(__file__).with_name("reconstruction.py")), "--published", "--memory-only"]
    done = subprocess.run([*command, "--device", device], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _agreement(network: Any, device: Any, only: str | None, *, dense: bool) -> dict[str, Any]:
    """Agreement with the same network in float32, and its cost: on the same lattice, or at every point of the lattice.

    The result is by scene, of all scenes if ``only`` is None; the figures are those of the worse hand.
    """
    from im2hands.lab.bench.scenes import scenes
    from im2hands.lab.bench.surface_agreement import agreement

    fast = _Work(device, network=network)
    reference = _Work(device, precision="exact", network=network, dense=dense)
    rows = {}
    for scene in [only] if only else scenes():
        _, (_, cpu), meshes = fast.once(scene)
        _, (_, reference_cpu), truth = reference.once(scene)
        found = [agreement(meshes[s].vertices, meshes[s].faces, truth[s].vertices, truth[s].faces) for s in truth]
        rows[scene] = {
            "iou": min(hand.iou for hand in found),
            "hausdorff_mm": max(hand.hausdorff for hand in found) * 1000,
            "cpu_seconds": cpu, "reference_cpu_seconds": reference_cpu,
        }  # fmt: skip
    return rows


def _print(result: dict[str, Any]) -> None:
    print(f"published networks, bench weights, {result['voxel_mm']:.3f} mm, {result['machine']}, {result['date']}")
    print(f"{'stage':<18}{'s':>8}{'CPU s':>8}{'queries':>10}{'GFLOP':>8}")
    for name, cost in result["stages"].items():
        numbers = f"{cost['seconds']:>8.3f}{cost['cpu_seconds']:>8.3f}{cost['queries']:>10,}{cost['flop'] / 1e9:>8.1f}"
        print(f"{name:<18}{numbers}")
    queries = sum(cost["queries"] for cost in result["stages"].values())
    flop = sum(cost["flop"] for cost in result["stages"].values()) / 1e9
    print(f"{'total':<18}{result['seconds']:>8.3f}{result['cpu_seconds']:>8.3f}{queries:>10,}{flop:>8.1f}")
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in result["matrix_rates"].items())
    print(f"floor: {result['floor_s']:.2f} s for these products at this machine's measured rates ({rates})")
    if result["peak_memory_gb"] is not None:
        print(f"peak memory: {result['peak_memory_gb']:.2f} GB above the weights")
    ratio = result["exact_cpu_seconds"] / result["cpu_seconds"]
    print(
        f"precision exact: {result['exact_seconds']:.2f} s, {result['exact_cpu_seconds']:.2f} CPU s ({ratio:.1f} times)"
    )
    if "not_measured" in result:
        print(f"not measured: {result['not_measured']}")
    for name in ("exact", "dense"):
        for scene, row in result.get(name, {}).items():
            print(
                f"{scene:<22} IoU {row['iou']:.5f}, Hausdorff {row['hausdorff_mm']:.3f} mm to the {name} lattice, "
                f"which takes {row['reference_cpu_seconds'] / row['cpu_seconds']:.1f} times the CPU seconds"
            )
