"""What a graphics card does: ``python benchmarks/gpu.py``, in less than six minutes; prints Markdown for RESULTS.md.

Compares meshes and keypoints with the processor's, measures frames and pictures a second, batch sizes, memory, waits,
kernels, and a training step of each network. Nothing is downloaded. ``--device cpu --quick`` is a dry run on the
processor: it shows that the script works, and no speed.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from typing import Any

from im2hands.app.cli.main import PROCESS_DEFAULTS

LIMIT_S = 330.0
"""Seconds after which no further measurement begins. Each takes a few seconds."""

PUBLISHED_VOXEL_M = 0.44 / 256
_IOU = 0.999


@dataclass
class Plan:
    """What is measured.

    Parameters
    ----------
    device : torch.device
        The device.
    frames : int
        Frames of a clip.
    batches : tuple of int
        Sizes of batches.
    voxels : tuple of float
        Lattice spacings, metres.
    photos : int
        How often the photos are looked at.
    """

    device: Any
    frames: int
    batches: tuple[int, ...]
    voxels: tuple[float, ...]
    photos: int


def main() -> None:
    """Run the measurements and print them."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    import torch

    from im2hands.core.devices import choose_device, granted_cores, limit_threads
    from im2hands.core.gpu import compute_exactly, nvidia_cards

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="few frames on a coarse lattice: a dry run")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    limit_threads()
    if device.type == "cuda":
        compute_exactly()
    plan = Plan(device, 64, (1, 2, 4, 8, 16), (0.0022, PUBLISHED_VOXEL_M), 4)
    if arguments.quick:
        plan = Plan(device, 2, (1, 2), (0.007,), 1)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    drivers = ", ".join(sorted({card.driver for card in nvidia_cards()})) or "none"
    print(f"### Graphics card: {name}\n")
    print(
        f"`python benchmarks/gpu.py --device {arguments.device}{' --quick' if arguments.quick else ''}`, "
        f"{date.today().isoformat()}, PyTorch {torch.__version__}, NVIDIA driver {drivers}, {granted_cores()} cores.\n"
    )
    if device.type == "cpu":
        print("A dry run on the processor: no figure below says anything of a graphics card.\n")
    print("| measure | figure | target | result |\n| --- | --- | --- | --- |", flush=True)
    measure(measurements(plan))


def measurements(plan: Plan) -> dict[str, Callable[[], None]]:
    """All measurements by name, the most important ones first."""
    made: dict[str, Callable[[], None]] = {"meshes": partial(meshes, plan), "keypoints": partial(keypoints, plan)}
    made |= {
        f"waits, batch of {count}": partial(waits, plan, count) for count in ((1, 8) if plan.frames >= 8 else (1,))
    }
    for voxel_m, target in zip(plan.voxels, (30, 10), strict=False):
        for batch in plan.batches:
            name = f"two-hand frames, {1000 * voxel_m:.2f} mm, batch of {batch}"
            made[name] = partial(clip, plan, voxel_m, batch, target if batch == 8 else None)
    made |= {f"training step, {name}": partial(training, plan, name) for name in TRAININGS}
    made |= {f"published sizes, {1000 * voxel_m:.2f} mm": partial(published, plan, voxel_m) for voxel_m in plan.voxels}
    return made


def measure(works: Mapping[str, Callable[[], None]], clock: Callable[[], float] = time.perf_counter) -> None:
    """Make measurements until the time is up. One failure must not cost the other figures of a lent card."""
    began = clock()
    for name, work in works.items():
        if clock() - began > LIMIT_S:
            print(f"| {name} | not measured: out of time | | |")
            continue
        try:
            work()
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "")
            print(f"| {name} | failed: {type(error).__name__}: {reason} | | |", flush=True)
    print(f"\n{clock() - began:.0f} s in all.")


def row(measure: str, figure: str, target: str = "", met: bool | None = None) -> None:
    """Print a row of the table."""
    print(f"| {measure} | {figure} | {target} | {'' if met is None else 'met' if met else 'missed'} |", flush=True)


def single(device: Any, voxel_m: float) -> Any:
    """The bundled networks of the refined stage."""
    from im2hands.surfaces.from_picture import load_picture_reconstructor

    return load_picture_reconstructor("bundled", device=device, voxel_m=voxel_m, stage="refined")


@cache
def bench_scenes() -> dict[str, Any]:
    """The bench scenes, made once."""
    from im2hands.lab.bench.scenes import scenes

    return scenes()


def jobs(count: int) -> list[Any]:
    """Frames with their camera and hands: the bench scenes in turn, each with another random picture."""
    import numpy as np

    from im2hands.core.camera import Camera
    from im2hands.media.source import Frame

    names, camera = list(bench_scenes().items()), Camera.from_fov(50, 640, 480)
    pictures = np.random.default_rng(0).integers(0, 255, (count, 480, 640, 3), dtype=np.uint8)
    return [
        (Frame(k, 0.0, picture, names[k % len(names)][0]), camera, names[k % len(names)][1])
        for k, picture in enumerate(pictures)
    ]


def seconds(work: Callable[[], object], device: Any) -> float:
    """Wall-clock seconds of a call, the device's work included."""
    import torch

    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def meshes(plan: Plan) -> None:
    """Meshes of a batch against those that the processor makes one by one."""
    import torch
    from scipy.spatial import cKDTree

    from im2hands.lab.bench.surface_agreement import agreement
    from im2hands.surfaces.batch.frames import BatchReconstructor

    voxel_m = plan.voxels[-1]
    given = jobs(min(plan.frames, 4))
    with BatchReconstructor(single(plan.device, voxel_m), batch=len(given)) as many:
        made = list(many.reconstruct(given))
    own, worst, apart = single(torch.device("cpu"), voxel_m), 1.0, 0.0
    for job, found in zip(given, made, strict=True):
        for side, mesh in own.reconstruct(*job).items():
            other = found[side]
            worst = min(worst, agreement(mesh.vertices, mesh.faces, other.vertices, other.faces).iou)
            apart = max(apart, float(cKDTree(mesh.vertices).query(other.vertices)[0].max()))
    row(f"least IoU with the processor's meshes, {1000 * voxel_m:.2f} mm", f"{worst:.5f}", f"{_IOU}", worst >= _IOU)
    row("farthest vertex from the processor's mesh", f"{1e6 * apart:.1f} µm", "20 µm in float32")


def keypoints(plan: Plan) -> None:
    """Keypoints of the bundled photos against the processor's, and pictures a second."""
    import numpy as np

    from im2hands.app.selftest import bundled_photo
    from im2hands.keypoints.hand_geometry import palm_length
    from im2hands.keypoints.sources import make_provider
    from im2hands.media.images import read_picture
    from im2hands.media.source import Frame

    paths = sorted(bundled_photo().parent.glob("*.jpg"))
    frames = [Frame(k, 0.0, read_picture(path), path.name, path) for k, path in enumerate(paths)]
    finders = [make_provider(device=name) for name in ("cpu", str(plan.device))]
    try:
        worst, same = 0.0, True
        for frame in frames:
            here, there = ({hand.side: hand for hand in finder.detect(frame)} for finder in finders)
            same &= here.keys() == there.keys()
            for side in here.keys() & there.keys():
                gap = np.linalg.norm(here[side].pixels - there[side].pixels, axis=1).max()
                worst = max(worst, float(gap / palm_length(here[side].pixels)))
        row("the same hands as on the processor", "yes" if same else "no", "yes", same)
        row("farthest keypoint from the processor's", f"{worst:.4f} palm", "0.01 palm", worst <= 0.01)
        for finder, name in zip(finders, ("processor", "device"), strict=True):
            took = seconds(lambda f=finder: [f.detect(one) for one in frames * plan.photos], plan.device)
            rate = len(frames) * plan.photos / took
            target = ("60 a second", rate >= 60) if name == "device" else ("", None)
            row(f"photos, keypoints on the {name}", f"{rate:.1f} a second", *target)
    finally:
        for finder in finders:
            finder.close()


@contextmanager
def counted(device: Any) -> Iterator[dict[str, int]]:
    """Count waits and kernels of a CUDA device; elsewhere operations."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    found: dict[str, int] = {}

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            found["operations"] = found.get("operations", 0) + (not function.is_view)
            return function(*arguments, **(named or {}))

    if device.type != "cuda":
        with Operations():
            yield found
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
                yield found
        found["waits"] = sum("synchroniz" in str(one.message) for one in caught)
        found["kernels"] = sum(event.count for event in profile.key_averages())
    finally:
        torch.cuda.set_sync_debug_mode("default")


def waits(plan: Plan, count: int) -> None:
    """Waits and kernels of a frame, alone and in a batch."""
    from im2hands.surfaces.batch.frames import BatchReconstructor

    limits = {1: {"waits": 60, "kernels": 4000}, 8: {"waits": 15, "kernels": 800}}[count]
    with BatchReconstructor(single(plan.device, plan.voxels[-1]), batch=count, workers=0) as many:
        list(many.reconstruct(jobs(count)))
        with counted(plan.device) as found:
            list(many.reconstruct(jobs(count)))
    for what, number in found.items():
        limit = limits.get(what)
        row(
            f"{what} a frame, batch of {count}", f"{number / count:.0f}", "" if limit is None else f"{limit}",
            None if limit is None else number / count <= limit,
        )  # fmt: skip


def clip(plan: Plan, voxel_m: float, batch: int, target: int | None) -> None:
    """Frames a second of the bundled networks by size of the batch, and the memory that they take."""
    _clip(plan, single(plan.device, voxel_m), "bundled", batch, target)


def published(plan: Plan, voxel_m: float) -> None:
    """Frames a second of networks of the published sizes, with generated weights."""
    from im2hands.lab.bench import weights
    from im2hands.surfaces.from_picture import PictureReconstructor

    network = weights.refined(bias=0.8, attention=1.0)
    made = PictureReconstructor(network, device=plan.device, voxel_m=voxel_m, refine=True)
    _clip(plan, made, "published sizes", plan.batches[-2], None)


def _clip(plan: Plan, made: Any, name: str, batch: int, target: int | None) -> None:
    import torch

    from im2hands.surfaces.batch.frames import BatchReconstructor

    given = jobs(plan.frames)
    with BatchReconstructor(made, batch=batch) as many:
        list(many.reconstruct(given[: 2 * batch]))  # starts the processes
        if plan.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(plan.device)
        began = time.process_time()
        took = seconds(lambda: list(many.reconstruct(given)), plan.device)
        cpu = time.process_time() - began
    memory = ""
    if plan.device.type == "cuda":
        memory = f", {torch.cuda.max_memory_allocated(plan.device) / 2**30:.2f} GB of the card"
    rate = plan.frames / took
    row(
        f"two-hand frames, {name}, {1000 * made.voxel_m:.2f} mm, batch of {batch}",
        f"{rate:.2f} a second, {cpu / plan.frames:.3f} CPU s a frame{memory}",
        "" if target is None else f"{target} a second", None if target is None else rate >= target,
    )  # fmt: skip


def training(plan: Plan, name: str) -> None:
    """A step of a network with random input: forward, backward, and the optimiser."""
    import torch

    device, count = plan.device, 16 if plan.frames > 2 else 2
    network, loss = TRAININGS[name](count, device)
    network.to(device).train()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-5)

    def step() -> None:
        optimiser.zero_grad()
        loss(network).backward()
        optimiser.step()

    step()
    row(f"training step, {name}, float32", f"{1000 * seconds(step, device):.1f} ms")


Trained = tuple[Any, Callable[[Any], Any]]
"""A network and its loss."""


def _encoder(count: int, device: Any) -> Trained:
    import torch

    from im2hands.networks.configuration import COMPACT

    return COMPACT.make_encoder(), lambda net: net(torch.rand(count, 3, 256, 256, device=device)).dense[-1].mean()


def _reading(count: int, device: Any) -> Trained:
    import torch

    from im2hands.networks.reading_network import ReadingNetwork

    return ReadingNetwork(), lambda net: net(torch.rand(count, 3, 224, 224, device=device)).pixels.mean()


def _two_hand(count: int, device: Any) -> Trained:
    import torch

    from im2hands.networks.two_hand_network import TwoHandNetwork

    return TwoHandNetwork(), lambda net: net(255 * torch.rand(count, 3, 256, 256, device=device)).heat.mean()


def _lifting(count: int, device: Any) -> Trained:
    from im2hands.networks.lifting_network import LiftingNetwork

    return LiftingNetwork(), lambda net: _lifted(net, count, device)


def _refinement(count: int, device: Any) -> Trained:
    from im2hands.networks.configuration import COMPACT

    network = COMPACT.make_refined(COMPACT.make_encoder())
    return network, lambda net: _refined(net, max(count // 4, 1), device)


TRAININGS: dict[str, Callable[[int, Any], Trained]] = {
    "image encoder": _encoder, "reading network": _reading, "two-hand network": _two_hand,
    "lifting network": _lifting, "refinement network": _refinement,
}  # fmt: skip


def _lifted(network: Any, count: int, device: Any) -> Any:
    import torch

    from im2hands.networks.lifting_network import HAND_FEATURES, POINT_FEATURES, LiftingInput
    from im2hands.networks.reading_network import FEATURES
    from im2hands.networks.two_hand_network import EMBEDDING, PYRAMID_CHANNELS

    widths = ((21, POINT_FEATURES), (HAND_FEATURES,), (EMBEDDING,), (21, 3 * PYRAMID_CHANNELS), (FEATURES,))
    own = [torch.rand(count, *width, device=device) for width in (*widths, *widths, (3,))]
    return network(LiftingInput._make([*own, torch.ones(count, device=device)])).shape.mean()


def _refined(network: Any, count: int, device: Any) -> Any:
    import numpy as np
    import torch

    from im2hands.core.hands import SIDES
    from im2hands.geometry.bones import bones_from_keypoints
    from im2hands.networks.two_hand_picture import View

    both = bench_scenes()["touching"]
    positions = {side: torch.from_numpy(np.stack([both.get(side).positions] * count)) for side in SIDES}
    bones = {side: bones_from_keypoints(positions[side], [side] * count) for side in SIDES}
    view = View(
        torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 3),
        torch.tensor([[300.0, 0, 128], [0, 300, 128], [0, 0, 1]]).repeat(count, 1, 1),
    )  # fmt: skip
    anchors = {
        side: positions[side][:, torch.arange(256) % 21].float() + 1e-3 * torch.rand(count, 256, 3) for side in SIDES
    }
    points = {side: (bones[side], 0.1 * torch.rand(count, 384, 3, device=device)) for side in SIDES}
    image = torch.rand(count, 3, 256, 256, device=device)
    return sum(value.mean() for value in network(image, points, view, anchors).values())


if __name__ == "__main__":
    main()
