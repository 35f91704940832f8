"""What can be said of a graphics card without one: ``python benchmarks/gpu_counts.py``; prints Markdown.

Without an option it counts the waits and kernels of a frame on the card that the tests pretend. ``--share`` measures in
a run on the processor which share of a clip's CPU seconds a card would leave to it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from gpu import jobs, row, single

from im2hands.app.cli.main import PROCESS_DEFAULTS

FRAMES = 12
"""Frames of the clip whose CPU seconds are counted."""

ON_CARD = "on the card:"
SEARCHES = f"{ON_CARD} searches of the template fit"
OTHER = "everything else"


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
    """CPU seconds of a clip's frames by the work they are spent on, from a run on the processor with one thread."""
    import tempfile
    from contextlib import ExitStack
    from pathlib import Path
    from unittest.mock import patch

    import torch

    from im2hands.core.workers import Workers
    from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions

    if hasattr(os, "sched_setaffinity"):  # pools then have one thread, so that each second belongs to one work
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    clip = next((Path(__file__).parents[1] / "demo" / "clip").glob("*.avi"))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        options = ReconstructOptions((str(clip),), folder, frames=f"1-{FRAMES}", device="cpu")
        stack.enter_context(patch.object(Workers, "ahead", at_once))
        for work, places in parts().items():
            for owner, name in places:
                stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), work)))
        clock.timed(ReconstructJob(options, lambda event: None, lambda: False).run, OTHER)()
    total = sum(clock.spent.values())
    left = sum(spent for work, spent in clock.spent.items() if not work.startswith(ON_CARD))
    row(f"CPU seconds a frame of a clip, {FRAMES} frames", f"{total / FRAMES:.2f}")
    row("share of them that a card leaves to the processor", f"{left / total:.0%}", "35 %", left / total <= 0.35)
    for work, spent in clock.spent.most_common():
        row(work, f"{spent / FRAMES:.3f} s, {spent / total:.1%}")


def at_once(workers: Any, work: Any, items: Iterable[Any]) -> Iterator[tuple[Any, Future[Any]]]:
    """Stand in for ``Workers.ahead``: the clock counts the whole process, so no two threads may work at a time."""
    for item in items:
        future: Future[Any] = Future()
        future.set_result(work(item))
        yield item, future


class Clock:
    """CPU seconds by work. Work within other work is not counted twice."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._within: list[str] = []
        self._last = time.process_time()

    def timed(self, function: Any, work: str) -> Any:
        """Return a function that counts its seconds as ``work``."""

        def call(*given: Any, **named: Any) -> Any:
            self._count()
            self._within.append(work)
            try:
                made = function(*given, **named)
                # A search is prepared first and done later.
                return self.timed(made, work) if work == SEARCHES and callable(made) else made
            finally:
                self._count()
                self._within.pop()

        return call

    def _count(self) -> None:
        now = time.process_time()
        if self._within:
            self.spent[self._within[-1]] += now - self._last
        self._last = now


def parts() -> dict[str, list[tuple[Any, str]]]:
    """Functions by the work they do. ``ON_CARD`` begins the names of what runs on a card."""
    from im2hands.animation.template import fit, untangle
    from im2hands.geometry import surface_target
    from im2hands.geometry.searches import Searches
    from im2hands.job import clean_phase, frame_surfaces
    from im2hands.job.components import Components
    from im2hands.keypoints import looking
    from im2hands.keypoints.choosing.judge import PairJudge
    from im2hands.keypoints.placing import lift
    from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
    from im2hands.keypoints.proposing.two_hand_network import TwoHandReader
    from im2hands.keypoints.reading import network
    from im2hands.surfaces import from_picture, walked_lattice
    from im2hands.take.take import Take

    landmarks = network.LandmarkNetwork
    return {
        f"{ON_CARD} reading of crops": [(landmarks, "read_parts"), (landmarks, "features")],
        f"{ON_CARD} two-hand network": [(TwoHandReader, "_pairs")],
        f"{ON_CARD} pair judge": [(PairJudge, "__call__")],
        f"{ON_CARD} lifting network": [(lift.HandLifter, "lift")],
        f"{ON_CARD} surfaces": [(from_picture.PictureReconstructor, "reconstruct")],
        SEARCHES: [(Searches, "nearest"), (Searches, "pairs"), (Searches, "overlapping")],
        "loading of networks": [(Components, "reconstructor"), (Components, "provider"), (Components, "refiner")],
        "MediaPipe's detectors": [
            (MediaPipeProvider, "detect"), (looking, "suspect_palms"), (looking, "suspect_around_hands"),
        ],
        "cutting of crops": [(network, "warp_crop"), (network, "pyramid"), (from_picture, "crop_hands")],
        "features of judge and lifting network": [(looking, "features"), (lift, "lifting_features")],
        "placing": [(Components, "lift_clip")],
        "marching cubes and anchors": [
            (walked_lattice, "closed_mesh"), (from_picture, "even_points"), (from_picture, "hand_mesh"),
        ],
        "contact": [(frame_surfaces, "parted"), (fit, "parted")],
        "reading and writing of the take": [
            (Take, "write_frame"), (Take, "add_arrays"), (Take, "write_record"), (Take, "save"), (Take, "read_arrays"),
            (clean_phase, "read_raw"),
        ],
        "template fit, but its searches": [(fit.Fitter, "fit"), (surface_target.SurfaceTarget, "__init__")],
        "template fit, fingers apart": [(untangle.Untangler, "untangle")],
        "clean-up and motion": [(clean_phase.CleanPhase, "run")],
    }  # fmt: skip


if __name__ == "__main__":
    main()
