"""Speed of the synthesis of pictures, by stage: ``python benchmarks/synthesis.py``.

Runs in one process; start it with ``taskset -c 0`` (Linux) to measure one core. Folders of skins and environments can
be given.
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


def main() -> None:
    """Run the benchmark and print the table."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    import numpy as np
    import torch
    from scipy.spatial.transform import Rotation

    from im2hands.core.camera import Camera
    from im2hands.core.devices import granted_cores, limit_threads
    from im2hands.core.hands import SIDES
    from im2hands.geometry.hand_model import HandModel
    from im2hands.lab.synthesis.poses import random_rotations, random_shape
    from im2hands.lab.synthesis.rendering import Assets, Renderer, random_look
    from im2hands.lab.synthesis.rendering.camera_effects import apply_effects, compressed
    from im2hands.lab.synthesis.scene import build_hands

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--skins", type=Path)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    limit_threads()
    count, size = arguments.pictures, arguments.size

    model = HandModel()
    assets = Assets.load(arguments.skins, arguments.environments)
    renderer = Renderer(assets, arguments.samples)
    # Two hands side by side that fill the picture.
    camera = Camera(1.7 * size, 1.7 * size, (size - 1) / 2, (size - 1) / 2, size, size)
    wall: dict[str, float] = {}
    processor: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        began, began_processor = time.perf_counter(), time.process_time()
        result = work()
        wall[name] = wall.get(name, 0.0) + time.perf_counter() - began
        processor[name] = processor.get(name, 0.0) + time.process_time() - began_processor
        return result

    for number in range(-10, count):  # ten warm-up pictures, for textures and shaders
        if number == 0:
            # Load all skins and environments, because the time of loading does not belong to a stage.
            for index in range(assets.skin_count):
                assets.skin(index)
            for index in range(assets.environment_count):
                assets.environment(index)
            wall.clear()
            processor.clear()
        generator, rng = torch.Generator().manual_seed(number + 10), np.random.default_rng(number + 10)
        shape = random_shape(2, generator)
        rotations = timed("pose", lambda: random_rotations(model, model.rest(shape)[1], generator))  # noqa: B023
        turn = torch.from_numpy(Rotation.random(2, random_state=number + 10).as_matrix())
        shift = torch.tensor([[-0.05, 0.0, 0.55], [0.05, 0.0, 0.55]], dtype=torch.float64)
        sides = torch.tensor([0, 1])
        vertices, _ = timed("skinning", lambda: build_hands(model, shape, rotations, turn, shift, sides))  # type: ignore[misc]  # noqa: B023
        hands = [(side, vertices[k].numpy()) for k, side in enumerate(SIDES)]
        look = timed("look", lambda: random_look(rng, assets))  # noqa: B023
        drawn = timed("raster", lambda: renderer.draw(hands, camera, look))  # noqa: B023
        image = timed("effects", lambda: apply_effects(drawn.image, look.camera, drawn.depth))  # noqa: B023
        timed("JPEG", lambda: compressed(image, 90))  # noqa: B023

    for stages in (wall, processor):
        stages["all"] = sum(stages.values())
    report = {
        "pictures_per_second": count / wall["all"],
        "wall_ms": {name: 1000 * value / count for name, value in wall.items()},
        "processor_ms": {name: 1000 * value / count for name, value in processor.items()},
        "size": size,
        "samples": arguments.samples,
        "driver": renderer.driver,
        "cores": granted_cores(),
        "machine": platform.platform(),
        "date": date.today().isoformat(),
    }
    if arguments.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{renderer.driver}; {granted_cores()} core(s); {size} x {size}, {arguments.samples} sample(s) a pixel")
    print(f"{'stage':<10} {'wall ms':>9} {'per s':>8} {'processor ms':>13} {'per s':>8}")
    for name in wall:
        a, b = wall[name] / count, processor[name] / count
        print(f"{name:<10} {1000 * a:9.2f} {1 / a:8.1f} {1000 * b:13.2f} {1 / b:8.1f}")


if __name__ == "__main__":
    main()
