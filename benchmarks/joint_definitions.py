"""MediaPipe's keypoints beside the joints of the bundled hand: ``python benchmarks/joint_definitions.py SET...``.

SET is a folder of rendered scenes (``im2hands synthesize --kind crop``). Only hands that hide nothing of each other
and that the landmark network sees well are measured. Prints, for each keypoint, the median way from the true joint to
MediaPipe's, along the bone that leads to it (the wrist: from the middle knuckle) and across, in palm lengths, over
bones that are seen lengthwise. ``ALONG`` of ``joint_definitions`` is the first column with the other sign.

With ``--errors`` it lifts every hand that is read within half a palm, with its true side and palm length, once as it
is and once brought to the bundled hand's joints, and prints how far the keypoints lie from the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

READ = 0.5
MODES = ("apart", "near", "single", "pinch")
SMALLEST_PIXELS = 60.0
LARGEST_ERROR = 0.16
LEAST_PRESENCE = 0.9
LENGTHWISE = 0.75


def main() -> None:
    """Measure and print."""
    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, WRIST
    from im2hands.keypoints.placing.joint_definitions import ALONG
    from im2hands.keypoints.reading.consensus import read_repeatedly
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--hands", type=int, default=260)
    parser.add_argument("--errors", action="store_true", help="the effect on lifted hands instead, in all modes")
    arguments = parser.parse_args()
    if arguments.errors:
        print_errors(arguments.sets, arguments.hands)
        return
    network = LandmarkNetwork()
    rows: list[list[tuple[float, float]]] = [[] for _ in range(21)]
    hands = 0
    for data in map(SceneSet, arguments.sets):
        for number in range(len(data)):
            scene = data.scene(number)
            if hands >= arguments.hands or data.info.modes[int(scene.mode)] not in MODES:
                continue
            camera, image = camera_of(scene), scene.image()
            for side in np.flatnonzero(scene.present):
                points = scene.keypoints[side].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                if palm < SMALLEST_PIXELS:
                    continue
                look = read_repeatedly(network, image, true[None])[0]
                error = float(np.linalg.norm(look.pixels - true, axis=1).mean()) / palm
                if error > LARGEST_ERROR or look.presence < LEAST_PRESENCE:
                    continue
                hands += 1
                metres = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                for k in range(21):
                    before = MIDDLE_MCP if k == WRIST else WRIST if k % 4 == 1 else k - 1
                    bone = true[k] - true[before]
                    length = float(np.linalg.norm(bone))
                    if length < LENGTHWISE * palm * float(np.linalg.norm(points[k] - points[before])) / metres:
                        continue
                    along = bone / length
                    across = np.array([-along[1], along[0]]) * (1 if side else -1)
                    off = (look.pixels[k] - true[k]) / palm
                    rows[k].append((float(off @ along), float(off @ across)))
    network.close()
    print(f"{hands} hands\n{'keypoint':>8}{'bones':>7}{'along':>8}{'across':>8}{'in use':>8}")
    for k, values in enumerate(rows):
        along, across = np.median(values, axis=0)
        print(f"{k:>8}{len(values):>7}{along:>8.3f}{across:>8.3f}{-ALONG[k]:>8.3f}")


def print_errors(sets: list[Path], most: int) -> None:
    """Lift hands with and without the change of definition, and print the errors."""
    from dataclasses import replace

    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
    from im2hands.keypoints.placing.solve import lift
    from im2hands.keypoints.reading.consensus import read_repeatedly
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

    network = LandmarkNetwork()
    errors: dict[str, list[tuple[float, float]]] = {"file": [], "mediapipe": []}
    for data in map(SceneSet, sets):
        for number in range(len(data)):
            scene = data.scene(number)
            camera, image = camera_of(scene), scene.image()
            for k in np.flatnonzero(scene.present):
                points = scene.keypoints[k].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                look = read_repeatedly(network, image, true[None])[0]
                if len(errors["file"]) >= most or np.linalg.norm(look.pixels - true, axis=1).mean() > READ * palm:
                    continue
                metres = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                for source, values in errors.items():
                    hand = lift([replace(look.detection(source), side=SIDES[k])], camera, metres).present()[0]
                    miss = np.linalg.norm(camera.project(hand.positions) - true, axis=1).mean() / palm
                    values.append((_aligned(hand.positions, points), float(miss)))
    network.close()
    print(f"{len(errors['file'])} hands{'':>12}aligned mm (mean, median)   picture palms (mean, median)")
    for source, values in errors.items():
        mean, median = np.mean(values, axis=0), np.median(values, axis=0)
        name = {"file": "as MediaPipe sets them", "mediapipe": "the bundled hand's"}[source]
        print(f"{name:<24}{mean[0] * 1000:>10.1f}{median[0] * 1000:>8.1f}{mean[1]:>20.3f}{median[1]:>8.3f}")


def _aligned(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of points (21, 3) after the best turn and shift of the first."""
    import numpy as np

    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return float(np.linalg.norm(a @ turn - b, axis=1).mean())


if __name__ == "__main__":
    main()
