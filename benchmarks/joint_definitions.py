"""Difference between MediaPipe's keypoints and the bundled hand's joints: ``benchmarks/joint_definitions.py SET...``.

SET is a folder of rendered scenes (``im2hands synthesize --kind crop``). Only unoccluded hands that the landmark
network reads accurately are measured. Prints, for each keypoint, the median offset from the true joint to MediaPipe's
keypoint, in palm lengths, along the bone that leads to the keypoint (for the wrist: from the middle knuckle) and across
it. Foreshortened bones are left out. ``im2hands.keypoints.placing.joint_definitions.ALONG`` is the negative of the
column "along"; the column "in use" is the negative of ``ALONG``.

With ``--errors``, every hand that is read with an error below half a palm is lifted with its true side and palm length,
once with MediaPipe's keypoints and once converted to the bundled hand's joints. Prints the keypoint errors of both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

READ = 0.5
"""Largest mean keypoint error of hands measured with ``--errors``, palm lengths."""

MODES = ("apart", "near", "single", "pinch")
"""Interaction modes in which hands do not occlude each other."""

SMALLEST_PIXELS = 60.0
"""Smallest palm length of a measured hand, pixels."""

LARGEST_ERROR = 0.16
"""Largest mean keypoint error of a measured hand, palm lengths."""

LEAST_PRESENCE = 0.9
"""Least presence probability of a measured hand."""

LENGTHWISE = 0.75
"""Least length of a bone in the picture, as a share of its length without foreshortening."""


def main() -> None:
    """Measure the offsets and print them."""
    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, WRIST
    from im2hands.keypoints.choosing.prior import HANDS
    from im2hands.keypoints.placing.joint_definitions import ALONG
    from im2hands.keypoints.reading.consensus import read_repeatedly
    from im2hands.keypoints.reading.network import LandmarkNetwork
    from im2hands.lab.datasets.scenes import SceneSet
    from im2hands.lab.evaluation.keypoints import camera_of, palm_pixels

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=260, metavar="N", help="measure N hands (default: 260)")
    parser.add_argument("--hands", default="both", choices=HANDS, help="left, right, or the hands of both sides")
    parser.add_argument("--errors", action="store_true", help="measure the effect on lifted hands, in all modes")
    arguments = parser.parse_args()
    if arguments.errors:
        print_errors(arguments.sets, arguments.count, arguments.hands)
        return
    network = LandmarkNetwork()
    rows: list[list[tuple[float, float]]] = [[] for _ in range(21)]
    hands = 0
    for data in map(SceneSet, arguments.sets):
        for number in range(len(data)):
            scene = data.scene(number)
            if hands >= arguments.count or data.info.modes[int(scene.mode)] not in MODES:
                continue
            camera, image = camera_of(scene), scene.image()
            for side in measured_sides(scene.present, arguments.hands):
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


def measured_sides(present: np.ndarray, hands: str) -> list[int]:
    """Return the sides of a scene that are measured: 0 left, 1 right.

    Parameters
    ----------
    present : (2,) bool
        Which hands the scene shows.
    hands : str
        "left" or "right" for that side alone; otherwise both sides.

    Returns
    -------
    list of int
    """
    from im2hands.core.hands import SIDES

    return [k for k, side in enumerate(SIDES) if present[k] and (hands not in SIDES or side == hands)]


def print_errors(sets: list[Path], most: int, hands: str) -> None:
    """Lift hands with and without the conversion of the keypoints, and print the errors.

    Parameters
    ----------
    sets : list of Path
        Scene sets.
    most : int
        Largest number of hands.
    hands : str
        Which sides, see ``measured_sides``.
    """
    from dataclasses import replace

    import numpy as np

    from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
    from im2hands.keypoints.placing.solve import place_hands
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
            for k in measured_sides(scene.present, hands):
                points = scene.keypoints[k].astype(np.float64)
                true, palm = camera.project(points), palm_pixels(points, camera)
                look = read_repeatedly(network, image, true[None])[0]
                if len(errors["file"]) >= most or np.linalg.norm(look.pixels - true, axis=1).mean() > READ * palm:
                    continue
                metres = float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))
                for source, values in errors.items():
                    hand = place_hands([replace(look.detection(source), side=SIDES[k])], camera, metres).present()[0]
                    miss = np.linalg.norm(camera.project(hand.positions) - true, axis=1).mean() / palm
                    values.append((_aligned(hand.positions, points), float(miss)))
    network.close()
    print(f"{len(errors['file'])} hands{'':>12}aligned mm (mean, median)   picture palms (mean, median)")
    for source, values in errors.items():
        mean, median = np.mean(values, axis=0), np.median(values, axis=0)
        name = {"file": "MediaPipe's keypoints", "mediapipe": "converted to joints"}[source]
        print(f"{name:<24}{mean[0] * 1000:>10.1f}{median[0] * 1000:>8.1f}{mean[1]:>20.3f}{median[1]:>8.3f}")


def _aligned(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two point sets (21, 3) after the best rigid alignment of the first to the second."""
    import numpy as np

    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return float(np.linalg.norm(a @ turn - b, axis=1).mean())


if __name__ == "__main__":
    main()
