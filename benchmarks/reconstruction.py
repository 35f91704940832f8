"""Time of the stages and queries per second for one two-hand frame: ``python benchmarks/reconstruction.py``.

Prints the times of the stages from photo to two meshes (after start-up), the time of the surfaces from keypoints alone,
and the query rate of the occupancy network. ``--dense`` also prints how many times longer the dense lattice takes than
the coarse-to-fine one with the same result. ``--published`` measures the published networks. ``benchmarks/gpu.py``
measures batches of frames on a graphics card.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from im2hands.app.cli.main import PROCESS_DEFAULTS


def best(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Run a function several times.

    Parameters
    ----------
    work : callable
        The function.
    repeat : int
        Number of runs.

    Returns
    -------
    wall : float
        Shortest wall-clock time, seconds.
    cpu : float
        Shortest CPU time of this process, seconds.
    """
    wall, cpu = [], []
    for _ in range(repeat):
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return min(wall), min(cpu)


def main() -> None:
    """Run the benchmark and print the table."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    import torch

    from im2hands.app.selftest import bundled_photo
    from im2hands.core.devices import choose_device, granted_cores
    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
    from im2hands.keypoints.sources import make_provider
    from im2hands.media.camera_choice import CameraChoice
    from im2hands.media.images import PictureInfo, read_picture
    from im2hands.media.source import Frame
    from im2hands.surfaces.dense_lattice import extract_surfaces
    from im2hands.surfaces.load import load_reconstructor

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a photo of two hands (default: a bundled one)")
    parser.add_argument("--hands", default="auto", choices=HANDS, help="what is known of the hands (default: auto)")
    parser.add_argument("--voxel-mm", type=float, help="default: 1.7")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dense", action="store_true", help="also evaluate the dense lattice (slow)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--published", action="store_true", help="the published networks, with generated weights")
    parser.add_argument("--exact", action="store_true", help="with --published: agreement with float32 on the lattice")
    parser.add_argument("--scene", help="with --published --dense or --exact: only this scene")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.published:
        import published

        published.run(arguments)
        return

    arguments.voxel_mm = arguments.voxel_mm or 1.7
    photo, device = arguments.photo or bundled_photo(), choose_device(arguments.device)
    began = time.perf_counter()
    voxel_m = arguments.voxel_mm / 1000
    reconstructor = load_reconstructor("bundled", device=device, voxel_m=voxel_m, stage="keypoints")
    refining = load_reconstructor("bundled", device=device, voxel_m=voxel_m)
    provider = make_provider("auto", hands=arguments.hands)
    image = read_picture(photo)
    frame = Frame(1, 0.0, image, photo.name, photo)
    camera = CameraChoice().for_picture(PictureInfo(image.shape[1], image.shape[0]))
    seen = provider.detect(frame)
    start_up = time.perf_counter() - began
    hands = place_hands(seen, camera, DEFAULT_PALM_M)
    present = hands.present()

    field = reconstructor.field(torch.stack([torch.from_numpy(hand.positions) for hand in present]).numpy(),
                                [hand.side for hand in present])  # fmt: skip
    surfaces = extract_surfaces(field, reconstructor.voxel_m, device)
    queries = sum(surface.queries for surface in surfaces)
    points = torch.cat([torch.from_numpy(s.vertices).float() for s in surfaces]).to(device)
    owner = torch.cat([torch.full((len(s.vertices),), k) for k, s in enumerate(surfaces)]).to(device)

    stages = {
        "read picture": best(lambda: read_picture(photo), arguments.repeat),
        "keypoints": best(lambda: provider.detect(frame), arguments.repeat),
        "placement": best(lambda: place_hands(seen, camera, DEFAULT_PALM_M), arguments.repeat),
        "surfaces": best(lambda: refining.reconstruct(frame, camera, hands), arguments.repeat),
    }
    from_keypoints = best(lambda: reconstructor.reconstruct(frame, camera, hands), arguments.repeat)
    network = best(lambda: field.logits(owner, points), arguments.repeat)
    result = {
        "date": date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, {granted_cores()} cores, {device}",
        "torch": torch.__version__,
        "photo": photo.name,
        "hands": len(present),
        "voxel_mm": arguments.voxel_mm,
        "start_up_s": start_up,
        "stages": {name: {"seconds": wall, "cpu_seconds": cpu} for name, (wall, cpu) in stages.items()},
        "photo_to_meshes_s": sum(wall for wall, _ in stages.values()),
        "surfaces_from_keypoints_s": from_keypoints[0],
        "queries": queries,
        "queries_per_second": len(points) / network[0],
        "triangles": sum(len(surface.faces) for surface in surfaces),
    }
    if arguments.dense:
        voxel = reconstructor.voxel_m
        dense = best(lambda: extract_surfaces(field, voxel, device, dense=True), 1)
        fine = best(lambda: extract_surfaces(field, voxel, device), 1)
        result["dense_over_coarse_to_fine"] = dense[0] / fine[0]
    provider.close()
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"{result['photo']}, {result['hands']} hands, {arguments.voxel_mm:g} mm, {result['machine']}, {result['date']}"
    )
    print(f"start-up {start_up:.2f} s (once)")
    print(f"{'stage':<16}{'s':>8}{'CPU s':>8}")
    for name, (wall, cpu) in stages.items():
        print(f"{name:<16}{wall:>8.3f}{cpu:>8.3f}")
    print(f"{'photo to meshes':<16}{result['photo_to_meshes_s']:>8.3f}")
    print(f"surfaces from keypoints alone (--stage keypoints): {from_keypoints[0]:.3f} s")
    rate = f"{result['queries_per_second']:,.0f} queries a second"
    print(f"{queries} queries a frame, {rate}, {result['triangles']} triangles")
    if "dense_over_coarse_to_fine" in result:
        print(f"the dense lattice takes {result['dense_over_coarse_to_fine']:.1f} times as long")


if __name__ == "__main__":
    main()
