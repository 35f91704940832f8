"""Accuracy and cost of placing hands in space: ``python benchmarks/placing.py [SET]``.

Without SET the hands of the demo clip are found and placed twice: each frame as a photo, and all frames together, as a
reconstruction does. With SET, the last scenes of a set of rendered scenes with two hands are placed as photos. Prints
means: the keypoints' error with the wrists aligned, their distance from the true ones in the picture (palm lengths),
the error of the distance between the wrists (also the median), the jitter (mean length of the third differences, with
that of the truth), and CPU time of the placing alone, in one thread. Hands with the wrong side do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from im2hands.app.cli.main import NO_NETWORK, PROCESS_DEFAULTS

if TYPE_CHECKING:
    import numpy as np

    from im2hands.core.camera import Camera
    from im2hands.core.hands import TwoHands

CLIP = Path(__file__).resolve().parent.parent / "demo" / "clip" / "hands_clip.avi"


def report(name: str, hands: Sequence[TwoHands], truth: np.ndarray, cameras: Sequence[Camera], seconds: float) -> None:
    """Print the errors of F pairs of hands.

    Parameters
    ----------
    name : str
        Name of the road.
    hands : sequence of TwoHands
        The placed hands.
    truth : (F, 2, 21, 3) float
        The true keypoints, left hands first, metres, camera frame.
    cameras : sequence of Camera
        The camera of each.
    seconds : float
        CPU time of the placing.
    """
    import numpy as np

    from im2hands.core.hands import WRIST
    from im2hands.lab.evaluation.keypoints import palm_pixels

    nothing = np.full((21, 3), np.nan)
    found = np.array([[nothing if h is None else h.positions for h in (two.left, two.right)] for two in hands])
    error = np.linalg.norm((found - found[:, :, :1]) - (truth - truth[:, :, :1]), axis=-1)
    beside = [
        np.linalg.norm(camera.project(found[k, side]) - camera.project(truth[k, side]), axis=-1).mean()
        / palm_pixels(truth[k, side], camera)
        for k, camera in enumerate(cameras) for side in range(2)
    ]  # fmt: skip
    way = np.linalg.norm(np.diff(found[:, :, WRIST] - truth[:, :, WRIST], axis=1)[:, 0], axis=-1)
    shakes = [np.nanmean(np.linalg.norm(np.diff(x, n=3, axis=0), axis=-1)) * 1000 for x in (found, truth)]
    jitter = f"{shakes[0]:.2f} ({shakes[1]:.2f})" if len(hands) > 3 and name != "scenes" else "-"
    print(
        f"{name:<12}{np.nanmean(error) * 1000:>10.2f}{np.nanmean(beside):>10.3f}{np.nanmean(way) * 1000:>10.1f}"
        f"{np.nanmedian(way) * 1000:>10.1f}{jitter:>16}{seconds / max(len(hands), 1) * 1000:>10.1f}",
        flush=True,
    )


def timed(make: Callable[[], list[TwoHands]]) -> tuple[list[TwoHands], float]:
    """Return what ``make`` makes and the CPU seconds that it took."""
    started = time.process_time()
    made = make()
    return made, time.process_time() - started


def main() -> None:
    """Find, place and print."""
    os.environ.update({**PROCESS_DEFAULTS, **NO_NETWORK})  # as the program does; it must precede the import of PyTorch
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np

    from im2hands.core.camera import Camera
    from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
    from im2hands.keypoints.placing.clip import place_clip
    from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
    from im2hands.keypoints.sources import make_provider
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels
    from im2hands.media.source import Frame, open_source

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, nargs="?", help="a set of scenes (default: the demo clip)")
    parser.add_argument("--scenes", type=int, default=100, help="use the last N scenes of the set (default 100)")
    arguments = parser.parse_args()
    provider = make_provider("auto")
    heads = ("keypoints", "picture", "way", "median", "jitter (true)", "CPU ms")
    print(f"{'':<12}{heads[0]:>10}{heads[1]:>10}{heads[2]:>10}{heads[3]:>10}{heads[4]:>16}{heads[5]:>10}")
    if arguments.set is not None:
        data = SceneSet(arguments.set)
        scenes = [data.scene(row) for row in range(max(0, len(data) - arguments.scenes), len(data))]
        scenes = [scene for scene in scenes if scene.present.all()]
        cameras = [camera_of(scene) for scene in scenes]
        truth = np.array([scene.keypoints for scene in scenes], np.float64)
        palms = np.linalg.norm(truth[:, :, MIDDLE_MCP] - truth[:, :, WRIST], axis=-1).mean(axis=1)
        seen = [provider.detect(Frame(k, 0.0, scene.image(), str(k))) for k, scene in enumerate(scenes, 1)]
        right = []
        for k, hands in enumerate(seen):
            found = [(hand.pixels, truth[k, SIDES.index(hand.side)]) for hand in hands]
            gaps = [
                np.linalg.norm(pixels - cameras[k].project(true), axis=1).mean() / palm_pixels(true, cameras[k])
                for pixels, true in found
            ]
            right += [k] if len(hands) == 2 and max(gaps) < 1.0 else []
        print(f"{len(right)} of {len(scenes)} pairs have both hands within a palm length.")
        placed, seconds = timed(lambda: [place_hands(seen[k], cameras[k], float(palms[k])) for k in right])
        report("scenes", placed, truth[right], [cameras[k] for k in right], seconds)
    else:
        source = open_source([CLIP])
        frames = [frame for _, frame in source.read(source.entries) if isinstance(frame, Frame)]
        camera = Camera(**json.loads(CLIP.with_name("hands_clip_camera.json").read_text("utf-8")))
        with np.load(CLIP.with_name("hands_clip_truth.npz")) as file:
            truth = np.array([[file[f"{frame.index:06d}_{side}"] for side in SIDES] for frame in frames], np.float64)
        seen, times = provider.detect_clip(frames), [frame.time for frame in frames]
        cameras = [camera] * len(frames)
        roads: dict[str, Callable[[], list[TwoHands]]] = {
            "photos": lambda: [place_hands(hands, camera, DEFAULT_PALM_M) for hands in seen],
            "clip": lambda: place_clip(seen, cameras, times, DEFAULT_PALM_M),
        }
        half = len(frames) // 2
        for name, road in roads.items():
            placed, seconds = timed(road)
            report(name, placed, truth, cameras, seconds)
            share = seconds / len(frames) * (len(frames) - half)
            report(f"{name}, 2nd", placed[half:], truth[half:], cameras[half:], share)
    provider.close()


if __name__ == "__main__":
    main()
