"""Evaluation of keypoints: ``im2hands evaluate keypoints``.

``--data SET`` measures the keypoint providers on scene sets. ``--truth PATH`` compares keypoints in files, of any
system, with true ones (``keypoint_files``).

A true hand counts as found if the detected keypoints lie, on average, less than half a palm length from the true ones
in the picture. A second hand is invented in a scene with one hand if two hands are detected there. MPJPE is measured on
found hands with the right side, lifted with their true palm length, with both wrists at the origin. The error of the
distance between the hands is that of the vector between the wrists; for it, both hands are lifted with their mean palm
length.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, partial
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.farm import add_executor, on_cluster
from im2hands.core.files import write_atomically
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST, Side
from im2hands.keypoints.choosing.prior import HANDS
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.confidence import LIFTED, WITHIN_M, Calibration, source_key, table_path
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.sources import make_provider
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.media.source import Frame

from .keypoint_figures import Measured
from .keypoint_files import add_file_arguments, run_files

FOUND = 0.5
"""Largest mean keypoint distance in the picture at which a hand counts as found, in palm lengths."""

PROVIDERS = ("mediapipe", "network", "auto")
"""Keypoint providers that can be evaluated."""

_UNCALIBRATED = Calibration({})


def evaluate(
    provider: HandFinder, scenes: Sequence[Scene], progress: Callable[[int, int], None] = lambda *_: None
) -> Measured:
    """Run a provider on scenes, each treated as a separate photo.

    Parameters
    ----------
    provider : HandFinder
        Provider to evaluate.
    scenes : sequence of Scene
        Scenes with their true keypoints.
    progress : callable
        Called with the number of scenes done and their total.

    Returns
    -------
    Measured
    """
    measured = Measured()
    for number, scene in enumerate(scenes):
        measured.add(_measure(provider, (number, scene)))
        progress(number + 1, len(scenes))
    return measured


def _measure(provider: HandFinder, job: tuple[int, Scene]) -> Measured:
    """Run a provider on a scene."""
    number, scene = job
    measured = Measured()
    frame = Frame(number + 1, 0.0, scene.image(), f"scene {number}")
    started = time.perf_counter()
    hands = provider.detect(frame)
    measured.seconds.append(time.perf_counter() - started)
    _judge(measured, scene, hands)
    return measured


@dataclass(frozen=True)
class _Provider:
    """Arguments of ``make_provider``."""

    name: str
    hands: str
    weights: Path | None

    def make(self) -> HandFinder:
        return make_provider(self.name, hands=self.hands, two_hand_weights=self.weights)


def _evaluate_on_cluster(
    provider: _Provider, scenes: Sequence[Scene], progress: Callable[[int, int], None]
) -> Measured:  # fmt: skip
    """As ``evaluate``, on a Ray cluster. All figures but the seconds are the same."""
    import torch

    there = provider if provider.weights is None else replace(provider, weights=provider.weights.absolute())
    advice = "Run the same command again, or compute with --executor local."
    measured = Measured()
    jobs = list(enumerate(scenes))
    for number, one in enumerate(
        on_cluster(partial(_measure_there, there), jobs, advice, threads=torch.get_num_threads())
    ):  # fmt: skip
        measured.add(one)
        progress(number + 1, len(scenes))
    return measured


@lru_cache(maxsize=1)
def _provider(provider: _Provider) -> HandFinder:
    """The provider of a worker process. ``Finalize`` closes it, because a worker runs no ``atexit`` functions."""
    made = provider.make()
    Finalize(None, made.close, exitpriority=1)
    return made


def _measure_there(provider: _Provider, job: tuple[int, Scene]) -> Measured:
    return _measure(_provider(provider), job)


def _judge(measured: Measured, scene: Scene, hands: Sequence[HandDetection]) -> None:
    """Add one scene's detections to the results."""
    camera = camera_of(scene)
    keypoints = scene.keypoints.astype(np.float64)
    present: dict[Side, np.ndarray] = {side: keypoints[k] for k, side in enumerate(SIDES) if scene.present[k]}
    matched = _match(present, hands, camera)
    measured.hands += len(present)
    measured.found += len(matched)
    measured.invented += len(hands) - len(matched)
    right = {side for side, hand in matched.items() if hand.side == side}
    if len(present) == 1:
        measured.single += 1
        measured.doubled += len(hands) == 2
    if len(present) == 2:
        measured.pairs += 1
        measured.both += len(matched) == 2
        measured.right += len(right) == 2
    lengths = {side: float(np.linalg.norm(true[MIDDLE_MCP] - true[WRIST])) for side, true in present.items()}
    for side, hand in matched.items():
        gap = np.linalg.norm(hand.pixels - camera.project(present[side]), axis=1).mean()
        measured.picture_error.append(float(gap) / palm_pixels(present[side], camera))
        key = source_key(hand.source, hand.wrist_offset is not None) if hand.lifted is None else LIFTED
        measured.sources[key] = measured.sources.get(key, 0) + 1
        if hand.side != side:
            continue
        for calibration in (_UNCALIBRATED, None):
            lifted = place_hands([hand], camera, lengths[side], calibration).get(side)
            if lifted is None:
                break
            miss = np.linalg.norm(_rooted(lifted.positions) - _rooted(present[side]), axis=1)
            near = [bool(value < WITHIN_M) for value in miss[1:]]  # without the wrist, whose error is 0
            sure = [float(value) for value in lifted.confidence[1:]]
            if calibration is None:
                measured.error.append(float(miss.mean()))
                measured.confidence += sure
                measured.within += near
            else:
                table = measured.certainty.setdefault(key, ([], []))
                table[0].extend(sure)
                table[1].extend(near)
    if len(right) == 2:
        both = place_hands(list(matched.values()), camera, float(np.mean(list(lengths.values()))))
        if both.left is not None and both.right is not None:
            way = both.right.positions[WRIST] - both.left.positions[WRIST]
            miss = way - (present["right"][WRIST] - present["left"][WRIST])
            measured.distance.append(float(np.linalg.norm(miss)))
            measured.depth.append(float(abs(miss[2])))


def camera_of(scene: Scene) -> Camera:
    """Return the camera of a scene's picture."""
    k = scene.intrinsics.astype(np.float64)
    width, height = (int(value) for value in scene.size)
    return Camera(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height)


def _rooted(points: np.ndarray) -> np.ndarray:
    return points - points[WRIST]


def palm_pixels(true: np.ndarray, camera: Camera) -> float:
    """Palm length of a hand in the picture.

    Parameters
    ----------
    true : (21, 3) float
        Keypoints, camera frame, metres.
    camera : Camera
        Camera of the picture.

    Returns
    -------
    float
        Pixels, for a palm parallel to the picture at the mean depth of the keypoints.
    """
    return float(np.linalg.norm(true[MIDDLE_MCP] - true[WRIST]) * camera.fx / true[:, 2].mean())


def _match(
    present: dict[Side, np.ndarray], hands: Sequence[HandDetection], camera: Camera
) -> dict[Side, HandDetection]:
    """Assign each true hand at most one detection, nearest pairs first, whatever side the detection states.

    A wrong side counts as extra distance: where hands overlap, the detection with the right side is preferred.
    """
    pairs = []
    for side, true in present.items():
        seen = camera.project(true)
        for number, hand in enumerate(hands):
            gap = float(np.linalg.norm(hand.pixels - seen, axis=1).mean()) / palm_pixels(true, camera)
            if gap < FOUND:
                pairs.append((gap + 0.15 * (hand.side != side), side, number))
    found: dict[Side, HandDetection] = {}
    taken: set[int] = set()
    for _, side, number in sorted(pairs):
        if side not in found and number not in taken:
            found[side] = hands[number]
            taken.add(number)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands evaluate keypoints`` to a parser."""
    add = parser.add_argument
    add("--data", type=Path, nargs="+", metavar="SET", help="scene sets")
    add_file_arguments(parser, required=False)
    add("--scenes", type=int, default=100, help="use the last N scenes of each set (default 100)")
    add("--providers", nargs="+", default=list(PROVIDERS), choices=PROVIDERS)
    add("--hands", default="auto", choices=HANDS, help="what is known of the hands (default auto)")
    add("--weights", type=Path, help="weights file of another two-hand network")
    text = "fit the confidence table to these scenes and write it (default: replace the bundled table)"
    add("--write-calibration", type=Path, nargs="?", const=table_path(), metavar="FILE", help=text)
    add_executor(parser)
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands evaluate keypoints``.

    Parameters
    ----------
    arguments : argparse.Namespace
        Parsed options, see ``add_arguments``.

    Returns
    -------
    int
        Exit code.
    """
    if (arguments.data is None) == (arguments.truth is None):
        raise InputError("There is nothing to measure on.", "Give either --data SET or --truth PATH.")
    if arguments.truth is not None:
        return run_files(arguments, video=False)
    scenes: list[Scene] = []
    for folder in arguments.data:
        data = SceneSet(folder)
        scenes += [data.scene(row) for row in range(max(0, len(data) - arguments.scenes), len(data))]
    results: dict[str, Measured] = {}
    for name in arguments.providers:
        provider = _Provider(name, arguments.hands, arguments.weights)

        def progress(done: int, total: int, name: str = name) -> None:
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{name}: {done}/{total} ")

        if arguments.executor == "ray":
            results[name] = _evaluate_on_cluster(provider, scenes, progress)
        else:
            with closing(provider.make()) as made:
                results[name] = evaluate(made, scenes, progress)
    if arguments.write_calibration is not None:
        write_calibration(arguments.write_calibration, results, len(scenes))
    reports = {name: result.report() for name, result in results.items()}
    write = sys.stdout.write
    if arguments.json:
        sets = [str(folder.name) for folder in arguments.data]
        about = {"sets": sets, "scenes": len(scenes), "hands": arguments.hands}
        write(json.dumps({**about, "providers": reports}, indent=1) + "\n")
        return 0
    write("provider    both  right sides  hands  invented  second  MPJPE mm  2D palms  way mm  depth mm  s/picture\n")
    for name, report in reports.items():
        names = ("both_found", "both_found_right_sides", "hands_found", "second_hand_invented")
        shares = [_shown(report[key], "{:.0%}") for key in names]
        errors = ("mpjpe_mm", "picture_error_palms", "hand_distance_error_mm", "hand_depth_error_mm", "seconds")
        numbers = [_shown(report[key], "{:.2f}") for key in errors]
        write(
            f"{name:<10}{shares[0]:>6}{shares[1]:>13}{shares[2]:>7}{report['invented_hands']:>10}"
            f"{shares[3]:>8}{numbers[0]:>10}"
            f"{numbers[1]:>10}{numbers[2]:>8}{numbers[3]:>10}{numbers[4]:>11}\n"
        )
    for name, report in reports.items():
        write(f"\nconfidence, {name}: stated, keypoints, within {WITHIN_M * 1000:.0f} mm\n")
        for row in report["calibration"]:
            write(f"{row['stated']:>6.0%}{row['keypoints']:>8}{row['within_10_mm']:>8.0%}\n")
    return 0


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def write_calibration(path: Path, results: dict[str, Measured], scenes: int) -> None:
    """Fit the confidence calibration to measured keypoints and write it.

    Parameters
    ----------
    path : Path
        JSON file to write.
    results : dict of str to Measured
        Results by provider name.
    scenes : int
        Number of scenes, stored in the file for information.
    """
    measured: dict[str, tuple[list[float], list[bool]]] = {}
    for result in results.values():
        for key, (certainty, near) in result.certainty.items():
            table = measured.setdefault(key, ([], []))
            table[0].extend(certainty)
            table[1].extend(near)
    about = {
        "command": "im2hands evaluate keypoints --write-calibration",
        "scenes": scenes,
        "keypoints": {key: len(values[0]) for key, values in sorted(measured.items())},
        "date": date.today().isoformat(),
    }
    write_atomically(path, Calibration.fit(measured).to_json(about).encode("utf-8"))
