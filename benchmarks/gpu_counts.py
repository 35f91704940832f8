"""What can be said of a graphics card without one: ``python benchmarks/gpu_counts.py``; prints Markdown.

Without an option it counts the waits and kernels of a frame on the card that the tests pretend. ``--share`` measures in
a run on the processor which share of a clip's CPU seconds a card would leave to it.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from gpu import jobs, row, single

from im2hands.app.cli.main import PROCESS_DEFAULTS


def main() -> None:
    """Run the measurement and print it."""
    os.environ.update(PROCESS_DEFAULTS)  # as the program does; it must precede the import of PyTorch
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", action="store_true", help="the processor's share of a clip, by a run on it")
    print("| measure | figure | target | result |\n| --- | --- | --- | --- |", flush=True)
    share() if parser.parse_args().share else pretended()


def pretended() -> None:
    """Count the waits and kernels of a frame on the card that the tests pretend."""
    import sys
    from pathlib import Path

    import torch

    from im2hands.surfaces.batch.frames import BatchReconstructor

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backend"))
    from pretended_device import pretended_device

    torch.set_num_threads(1)
    for frames in (1, 8):
        with pretended_device("cuda:0", bfloat16=True) as card:
            made = single(card.device, 0.0017)
            with BatchReconstructor(made, batch=frames, workers=0) as many:
                card.waits.clear(), card.kernels.clear()
                list(many.reconstruct(jobs(frames)))
        for what, counter in (("waits", card.waits), ("kernels", card.kernels)):
            row(f"{what} a frame at 1.7 mm, batch of {frames}, pretended", f"{counter.total() / frames:.1f}")


def share() -> None:
    """CPU seconds of a clip's frames by what a card would do, from a run on the processor with one thread."""
    import tempfile
    from pathlib import Path
    from unittest.mock import patch

    import torch

    from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions
    from im2hands.keypoints.choosing.judge import PairJudge
    from im2hands.keypoints.placing.lift import HandLifter
    from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
    from im2hands.keypoints.reading import network
    from im2hands.surfaces import from_picture, walked_lattice

    torch.set_num_threads(1)
    spent = {"device": 0.0, "back": 0.0}

    def timed(function: Any, where: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            began, inside = time.process_time(), spent["device"]
            try:
                return function(*given, **named)
            finally:
                took = time.process_time() - began
                spent[where] += took - (spent["device"] - inside if where == "device" else 0.0)

        return call

    moved = [  # these run on a card ...
        (network.LandmarkNetwork, "read_parts"), (network.LandmarkNetwork, "features"), (TwoHandReader, "_pairs"),
        (PairJudge, "__call__"), (HandLifter, "lift"), (from_picture.PictureReconstructor, "reconstruct"),
    ]  # fmt: skip
    kept = [  # ... but for these parts of them
        (network, "warp_crop"), (network, "pyramid"), (walked_lattice, "closed_mesh"), (from_picture, "even_points"),
        (from_picture, "crop_hands"), (from_picture, "hand_mesh"),
    ]  # fmt: skip
    clip = next((Path(__file__).parents[1] / "demo" / "clip").glob("*.avi"))
    with tempfile.TemporaryDirectory() as folder:
        options = ReconstructOptions((str(clip),), folder, frames="1-12", device="cpu")
        patches = [patch.object(owner, name, timed(getattr(owner, name), "device")) for owner, name in moved]
        patches += [patch.object(owner, name, timed(getattr(owner, name), "back")) for owner, name in kept]
        for one in patches:
            one.start()
        with patch.object(from_picture.PictureReconstructor, "concurrent", False, create=True):
            began = time.process_time()
            ReconstructJob(options, lambda event: None, lambda: False).run()
            total = time.process_time() - began
        for one in patches:
            one.stop()
    left = total - spent["device"] + spent["back"]
    row("CPU seconds a frame of a clip, 12 frames", f"{total / 12:.2f}")
    row("share of them that a card leaves to the processor", f"{left / total:.0%}", "35 %", left / total <= 0.35)


if __name__ == "__main__":
    main()
